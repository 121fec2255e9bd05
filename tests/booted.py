"""A real systemd, booted in half a second over an overlay of this machine's root: services, journal, sandbox and all.

    with booted(tmp_path, seed=tree) as machine:
        machine.run("systemctl", "start", "ssh.service")
        machine.until(lambda: "listening" in machine.journal("-u", "ssh"))

Inside: ipset, iptables, nft, journald, timers, Type=notify, WatchdogSec and every sandboxing directive work, in
namespaces of its own of each kind. Limits of memory and of tasks by cgroup are not enforced. What is written there goes
to a tmpfs; when the block ends every process in it is killed and all of it is gone.
Skips the test, with its reason, where systemd or root is missing or no cgroup2 can be written.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_suffix(".sh")
UNSHARE = ("unshare", "--fork", "--pid", "--kill-child", "--mount", "--uts", "--ipc", "--net", "--cgroup")
ENVIRONMENT = (
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM=dumb",
    "LANG=C.UTF-8",
    "SYSTEMD_PAGER=cat",
    "SYSTEMD_COLORS=0",
)
PATIENCE = 60.0
"""Seconds that something in the machine may take: as a rule a tenth of one; more on a busy host."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A booted system. `init` is its PID 1, as the host counts."""

    init: int

    @property
    def root(self) -> Path:
        """Its files, seen from outside: to put one there or to read one. Absolute symlinks in it lead astray."""
        return Path(f"/proc/{self.init}/root")

    def argv(self, *command: str) -> list[str]:
        """What runs `command` in the machine, as root, from outside."""
        enter = ["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"]
        return [*enter, "env", "-i", *ENVIRONMENT, *command]

    def run(self, *command: str, check: bool = True, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run `command` in the machine, as root, and wait for it. Fails with its output, unless `check` is False."""
        done = subprocess.run(
            self.argv(*command), capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def out(self, *command: str) -> str:
        """What `command` printed."""
        return self.run(*command).stdout

    def journal(self, *arguments: str) -> str:
        """What `journalctl` shows with these arguments, e.g. "-u", "cron", "-o", "cat"."""
        return self.out("journalctl", "--no-pager", "-q", *arguments)

    def until(self, true: Callable[[], object], what: str = "", patience: float = PATIENCE) -> None:
        """Wait until `true` is; fails with `what`, and with the end of the journal, when it takes too long."""
        deadline = time.monotonic() + patience
        while not true():
            assert time.monotonic() < deadline, f"{what or 'it'} did not come to pass:\n{self.journal('-n', '60')}"
            time.sleep(0.05)


def why_not() -> str | None:
    """Why no system can be booted here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    if not os.path.exists("/sbin/init") or not shutil.which("systemctl"):
        return "systemd is not installed"
    return None if _cgroups() else "no cgroup2 is mounted that can be written to"


def _cgroups() -> Path | None:
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    places = (Path(fields[1]) for fields in mounts if fields[2] == "cgroup2" and "rw" in fields[3].split(","))
    return next((place for place in places if os.access(place, os.W_OK)), None)


@contextmanager
def booted(place: Path, *seeds: Path, name: str = "warden") -> Iterator[Machine]:
    """A system named `name`, with what each of `seeds` (trees like a root) holds copied over its files before it boots.
    `place` is an empty directory, such as tmp_path, for a log of the boot and mount points."""
    if reason := why_not():
        pytest.skip(reason)
    cgroups = _cgroups()
    assert cgroups is not None
    group = cgroups / f"logwarden-test-{os.getpid()}-{name}"
    group.mkdir(exist_ok=True)
    argv = [*UNSHARE, "--propagation", "private", "sh", str(SCRIPT), str(place), name, *map(str, seeds)]
    enter = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group), *argv]
    with (
        (place / "boot.log").open("wb") as log,
        subprocess.Popen(enter, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            yield _awaited(process, place / "boot.log")
        finally:
            _end(process, group)


def _awaited(process: subprocess.Popen[bytes], log: Path) -> Machine:
    """The machine, when its systemd says that it is up."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if (init := _init(process.pid)) is not None:
            machine = Machine(init)
            done = machine.run("systemctl", "is-system-running", "--wait", check=False)
            if done.stdout.strip() in ("running", "degraded"):
                return machine
        time.sleep(0.02)
    pytest.fail(f"no system came up: {log.read_text(errors='replace')[-2000:]}")


def _init(parent: int) -> int | None:
    """The process that `unshare` forked, once it is systemd's."""
    with suppress(OSError, ValueError, IndexError):
        child = int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])
        if Path(f"/proc/{child}/cmdline").read_bytes().startswith((b"/sbin/init", b"/lib/systemd")):
            return child
    return None


def _end(process: subprocess.Popen[bytes], group: Path) -> None:
    """Kill PID 1, and with it all that lives in its namespaces; its parent buries it. Then remove the cgroups."""
    for victim in (_init(process.pid), process.pid):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            if victim is not None and process.poll() is None:
                os.kill(victim, signal.SIGKILL)
                process.wait(PATIENCE if victim == process.pid else 5)
    deadline = time.monotonic() + PATIENCE
    while group.exists() and time.monotonic() < deadline:
        for path, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):  # something in it is still dying
                os.rmdir(path)
        time.sleep(0.02)
