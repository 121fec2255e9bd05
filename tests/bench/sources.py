"""How fast lines come in, and what waiting for them costs: `python -m tests.bench.sources [--idle SECONDS]`.

Files: from bytes on disk to batches, against reading the same bytes with the same block size. The journal: from a real
journal file to batches, against python-systemd's own loops over it. Idle: the processor time of a FileSource over 100
quiet files, and how often its threads woke. Medians of rounds; in a round each contestant runs once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from logwarden.model import Batch, Notice
from logwarden.sources.file import FileSource, FileSpec
from logwarden.sources.journal import Journal
from logwarden.sources.lines import BLOCK
from logwarden.sources.sdjournal import Selection
from logwarden.sources.tail import Tail

REMOTE = "/lib/systemd/systemd-journal-remote"
LINE = b"2026-11-22T17:00:00.%06d+00:00 host sshd[%d]: Accepted publickey for alice from 192.0.2.7 port 4242 ssh2\n"
ENTRY = b"""__REALTIME_TIMESTAMP=%d
__MONOTONIC_TIMESTAMP=%d
_BOOT_ID=0123456789abcdef0123456789abcdef
_MACHINE_ID=0123456789abcdef0123456789abcdef
_HOSTNAME=host
_TRANSPORT=syslog
_UID=0
_GID=0
_PID=%d
_COMM=sshd
_EXE=/usr/sbin/sshd
_CMDLINE=sshd: alice [priv]
_CAP_EFFECTIVE=1ffffffffff
_SELINUX_CONTEXT=unconfined
_SYSTEMD_CGROUP=/system.slice/ssh.service
_SYSTEMD_UNIT=ssh.service
_SYSTEMD_SLICE=system.slice
_SYSTEMD_INVOCATION_ID=0123456789abcdef0123456789abcdef
_SOURCE_REALTIME_TIMESTAMP=%d
PRIORITY=6
SYSLOG_FACILITY=4
SYSLOG_IDENTIFIER=sshd
SYSLOG_PID=%d
MESSAGE=Accepted publickey for alice from 192.0.2.7 port %d ssh2

"""
"""An entry with the fields that a journald of Debian 12 gives to one of a service."""
ROUNDS = 5
IDLE_FILES = 100

console = Console(highlight=False)


def rates(contestants: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Things a second of each, the median of the rounds."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            start = time.perf_counter()
            count = run()
            found[name].append(count / (time.perf_counter() - start))
    return {name: statistics.median(each) for name, each in found.items()}


def show(title: str, found: dict[str, float]) -> None:
    table = Table("", "a second", "ratio", title=title)
    first = next(iter(found.values()))
    for name, rate in found.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / first:.2f}")
    console.print(table)


def files(place: Path, lines: int) -> None:
    log = place / "app.log"
    with log.open("wb") as file:
        file.writelines(LINE % (number % 1_000_000, number % 30_000) for number in range(lines))

    def read() -> int:
        count = 0
        with log.open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                count += block.count(b"\n")
        return count

    def tail(continues: str | None = None) -> int:
        follower = Tail(str(log), continues=continues)
        count = sum(item.count for item in follower.poll(0.0) if isinstance(item, Batch))
        follower.close()
        return count

    contestants = {"read() and count": read, "Tail": tail, "Tail with `continues`": lambda: tail(r"\s")}
    show(f"files: {lines:,} lines", rates(contestants))


def journal(place: Path, entries: int) -> None:
    systemd = importlib.import_module("systemd.journal")

    export, path = place / "export", place / "x.journal"
    start = 1_795_366_800_000_000
    with export.open("wb") as file:
        for n in range(entries):
            pid = n // 7 % 30_000 + 1
            file.write(ENTRY % (start + n, n + 1, pid, start + n, pid, n % 60_000))
    subprocess.run([REMOTE, f"--output={path}", "--split-mode=none", str(export)], check=True, capture_output=True)
    export.unlink()
    paths = [str(found) for found in place.glob("x*.journal")]  # it rotates, too

    def loop(*fields: str) -> int:
        reader = systemd.Reader(files=paths)
        following, get, count = reader._next, reader._get, 0
        while following():
            for field in fields:
                get(field)
            count += 1
        reader.close()
        return count

    def high_level() -> int:
        reader = systemd.Reader(files=paths)
        count = sum(1 for _ in reader)
        reader.close()
        return count

    def ours() -> int:
        reader = Journal("journal", {"files": paths}, Selection(), cursor=None, from_start=True)
        count = sum(item.count for item in reader.poll(0.0) if isinstance(item, Batch))
        reader.close()
        return count

    five = ("MESSAGE", "SYSLOG_IDENTIFIER", "_PID", "_HOSTNAME", "_SYSTEMD_UNIT")
    nine = (*five, "_UID", "_COMM", "_TRANSPORT", "PRIORITY")
    contestants = {
        "_next and _get of 2 fields": lambda: loop(*five[:2]),
        "_next and _get of 5 fields": lambda: loop(*five),
        "_next and _get of the 9 that we use": lambda: loop(*nine),
        "for entry in Reader": high_level,
        "Journal: lines, provenance, batches": ours,
    }
    show(f"journal: {entries:,} entries of 22 fields", rates(contestants))


def idle(place: Path, seconds: float) -> None:
    specs = []
    for number in range(IDLE_FILES):
        path = place / f"{number}.log"
        path.write_text("a line\n")
        specs.append(FileSpec(str(path)))
    begun = threading.Event()

    def emit(item: Batch | Notice) -> None:
        if isinstance(item, Batch) and item.source == "files":
            begun.set()

    source = FileSource(specs)
    source.start(emit, {})
    begun.wait(10.0)
    wakes, spent = _switches(), time.process_time()
    threading.Event().wait(seconds)
    spent, wakes = time.process_time() - spent, _switches() - wakes
    source.stop()
    share = 100 * spent / seconds
    console.print(
        f"idle: {IDLE_FILES} files for {seconds:g} s: {share:.3f}% of a core, {wakes} wake-ups of its threads"
    )


def _switches() -> int:
    """Voluntary context switches of all threads but the main one: how often one of them went to sleep again."""
    tasks = [task for task in os.listdir("/proc/self/task") if task != str(os.getpid())]
    statuses = [Path(f"/proc/self/task/{task}/status").read_text() for task in tasks]
    return sum(int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for status in statuses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--idle", type=float, default=90.0, help="seconds")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        files(place, given.lines)
        journal(place, given.entries)
        idle(place, given.idle)


if __name__ == "__main__":
    main()
