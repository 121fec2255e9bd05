"""The Debian package, installed in a system that is booted for it: what tests of the service share."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from booted import Machine, booted, why_not

ROOT = Path(__file__).parent.parent
SERVICE = "logwarden.service"
CONFIG = "etc/logwarden/logwarden.yaml"
ENFORCE = """
bans: {mode: enforce, permit_documentation: true}
digest: {schedule: '04:00', to: [root]}
"""


@contextmanager
def building(base: Path) -> Iterator[Path]:
    """Where packages are kept that the tests build, to this worker alone. `base`: of its temporary directories."""
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "deb"  # with xdist one for each worker
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place


def build(place: Path) -> Path:
    """Build the package, and have lintian's word on it; put it into `place`."""
    built = subprocess.run([ROOT / "packaging/deb.sh"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return Path(shutil.copy(next((ROOT / "dist").glob("*.deb")), place))


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built once by whichever worker comes first."""
    if reason := why_not() or (None if shutil.which("dh_python3") else "debhelper and dh-python are not installed"):
        pytest.skip(reason)
    with building(tmp_path_factory.getbasetemp()) as place:
        return next(place.glob("*.deb"), None) or build(place)


@pytest.fixture
def machine(deb: Path, tmp_path: Path) -> Iterator[Machine]:
    """A system with the package's file in it, and an MTA that delivers to root's mailbox."""
    place, seed = tmp_path / "place", tmp_path / "seed"
    place.mkdir()
    (seed / "root").mkdir(parents=True)
    shutil.copy(deb, seed / "root/logwarden.deb")
    with booted(place, seed) as system:
        yield system


def install(machine: Machine, file: str = "logwarden.deb") -> None:
    machine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "-i", f"/root/{file}", timeout=300)


def shows(machine: Machine, name: str) -> str:
    return machine.out("systemctl", "show", SERVICE, "-p", name, "--value").strip()


def active(machine: Machine) -> bool:
    return shows(machine, "ActiveState") == "active" and shows(machine, "SubState") == "running"


def status(machine: Machine) -> dict[str, object]:
    answer: dict[str, object] = json.loads(machine.out("logwarden", "status", "--json"))
    return answer


def read(machine: Machine) -> int:
    """How many lines have been read since the installation."""
    return sum(each["read"] for each in status(machine)["sources"].values())  # type: ignore[attr-defined]


def attack(machine: Machine, address: str) -> None:
    for port in range(6):
        line = f"Failed password for root from {address} port {4000 + port} ssh2"
        machine.run("logger", "-t", "sshd", f"--id={4000 + port}", line)


def banned(machine: Machine, address: str) -> bool:
    names = machine.out("ipset", "list", "-name").split()
    return any(machine.run("ipset", "test", name, address, check=False).returncode == 0 for name in names)


def enforce(machine: Machine, config: str = ENFORCE) -> None:
    (machine.root / CONFIG).write_text(config)
    machine.run("systemctl", "reload", SERVICE)
    machine.until(lambda: status(machine)["mode"] == "enforce", "the reload")


def killed(machine: Machine, signal: str) -> None:
    """Send the daemon a signal, and wait until systemd has started it anew."""
    before, pid = int(shows(machine, "NRestarts")), shows(machine, "MainPID")
    machine.run("kill", f"-{signal}", pid)
    machine.until(lambda: int(shows(machine, "NRestarts")) > before and active(machine), f"a restart after SIG{signal}")
