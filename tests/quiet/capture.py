"""What the machine said: its journal, in three parts, and the instant at which each fault was seeded."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from .claims import undone
from .faults import FAULTS, OOM, OURS_ALONE
from .machine import HERE, Machine
from .tree import BUILD, tree

READY = """
for port in 25 80 3306 5432 8891 9090 10024 11332; do
    for n in $(seq 120); do (: < /dev/tcp/127.0.0.1/$port) 2> /dev/null && break; sleep 1; done
done
sleep 3
journalctl --sync
"""
"""What a systemd that is done with starting says nothing of: whether the daemons have done so."""
SERVICES = 25
"""As many must run, so that to be quiet means something."""
GLUTTON = "x = []\nwhile True: x.append(bytes(1 << 20))"


class Capture(NamedTuple):
    """A journal file; POSIX seconds of the first digest, and of the begin and the end of each fault; what of the hour's
    use did not work."""

    journal: Path
    steady: float
    seeded: dict[str, tuple[float, float]]
    undone: list[str]


def capture() -> Capture:
    """Boot, use, break and end a machine: three to five minutes."""
    place = BUILD / "capture"
    subprocess.run(["rm", "-rf", place], check=True)
    place.mkdir(parents=True)
    with Machine(tree(), "mail") as machine:
        failed = machine.run("systemctl", "--failed", "--plain", "--no-legend", check=False).strip()
        _say(f"booted; failed units: {failed or 'none'}")
        machine.bash(READY, timeout=150.0)
        steady = time.time()
        unused = list(undone(_use(machine, steady)))
        for each in unused:
            _say(f"not used: {each}")
        running = machine.run("systemctl", "list-units", "--type=service", "--state=running", "--plain", "--no-legend")
        services = len(running.splitlines())
        _say(f"used for {time.time() - steady:.0f} s; {services} services run")
        if services < SERVICES:
            raise SystemExit(f"quiet: {SERVICES} services must run")
        seeded = {fault.name: _seed(machine, fault.name, fault.script) for fault in (*FAULTS, *OURS_ALONE)}
        _say(f"{len(seeded)} faults seeded")
        machine.bash("journalctl -o export > /tmp/export")
        export = machine.fetch("/tmp/export")
    journal = place / "quiet.journal"
    append(journal, export)
    return Capture(journal, steady, seeded, unused)


def append(journal: Path, export: bytes) -> None:
    """Add what `journalctl -o export` printed to a journal file, made where there is none."""
    argv = ["/lib/systemd/systemd-journal-remote", f"--output={journal}", "--split-mode=none", "-"]
    subprocess.run(argv, input=export, check=True, capture_output=True)


def _use(machine: Machine, start: float) -> str:
    script = f"START={int(start)}\n" + (HERE / "inside" / "use.sh").read_text()
    return machine.bash(script, check=False, timeout=400.0)


def _seed(machine: Machine, name: str, script: str) -> tuple[float, float]:
    began = time.time()
    if name == OOM:
        _run_out_of_memory()
    else:
        machine.bash(script, check=False, timeout=150.0)
    machine.bash("sleep 0.7; journalctl --sync", check=False)
    return began, time.time()


def _run_out_of_memory() -> None:
    """Have the kernel kill a process of ours that wants more than its control group may have."""
    first = Path("/sys/fs/cgroup/memory")
    group = Path(tempfile.mkdtemp(prefix="logwarden-", dir=first if first.exists() else "/sys/fs/cgroup"))
    try:
        limit = "memory.limit_in_bytes" if first.exists() else "memory.max"
        (group / limit).write_text("33554432")
        argv = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec python3 -c "$1"', str(group), GLUTTON]
        subprocess.run(argv, timeout=60, check=False, capture_output=True)
    finally:
        group.rmdir()


def _say(text: str) -> None:
    print(f"quiet: {text}", flush=True)
