"""How fast lines come in, and what waiting for them costs: `python -m tests.bench.sources [--idle SECONDS]`.

Files: from bytes on disk to batches, against reading the same bytes with the same block size. The journal: from a real
journal file to batches, against python-systemd's own loops over it. Medians of rounds; in a round each contestant runs
once. Catching up: a real daemon, from a file to committed state, and its memory, against the matcher alone on the same
lines. Bans: the seconds from the write of an attack to its ban while a daemon reads such a backlog. Idle: the processor
time of a daemon over 100 quiet files, and how often its threads woke.
Ratios last from machine to machine; things a second do not. What is by the clock is true on a machine that does nothing
else.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from logwarden import watch
from logwarden.config import load
from logwarden.model import BLOCK, Batch
from logwarden.sources.journal_reader import Journal
from logwarden.sources.sdjournal import Selection
from logwarden.sources.tail import Tail

from ..demo import stage
from ..small import ATTACKS
from . import corpus
from .goals import Found, table

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
CONFIG = """\
state: {place}/state
socket: {place}/control.sock
sources: {{files: [{files}]}}
rules: {{ignore: [{place}/ignore.d], attack: [{place}/attack.d]}}
bans: {{backend: dry-run, permit_documentation: true}}
digest: {{schedule: yearly, to: [you@web1.example]}}
"""
ROUNDS = 5
IDLE_FILES = 100
OURS = "Journal: lines, provenance, batches"
TIMERS = 2
"""Each goes off once a minute: the round of upkeep, and the sweep over files, for what inotify may have missed."""
ENTRIES = 100_000
"""Entries a second that are enough, however fast python-systemd is."""

console = Console(highlight=False)


def rates(contestants: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Things in a second of the core of each, the median of the rounds."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            start = time.process_time()
            count = run()
            found[name].append(count / (time.process_time() - start))
    return {name: statistics.median(each) for name, each in found.items()}


def show(title: str, found: dict[str, float]) -> None:
    speeds = Table(title, "a second", box=None)
    speeds.columns[1].justify = "right"
    for name, rate in found.items():
        speeds.add_row(name, f"{rate:,.0f}")
    console.print(speeds, "")


def files(place: Path, lines: int) -> list[Found]:
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

    found = rates({"read() and count": read, "Tail": tail, "Tail with `continues`": lambda: tail(r"\s")})
    show(f"files: {lines:,} lines", found)
    return [
        Found("Tail / read() and count", found["Tail"] / found["read() and count"]),
        Found("Tail with `continues` / Tail", found["Tail with `continues`"] / found["Tail"]),
    ]


def journal(place: Path, entries: int) -> list[Found]:
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
    theirs = {
        "_next and _get of 2 fields": lambda: loop(*five[:2]),
        "_next and _get of 5 fields": lambda: loop(*five),
        "_next and _get of our 9": lambda: loop(*nine),
        "for entry in Reader": high_level,
    }
    found = rates({**theirs, OURS: ours})
    show(f"journal: {entries:,} entries of 22 fields", found)
    ratio, enough = found[OURS] / max(found[name] for name in theirs), found[OURS] >= ENTRIES
    return [
        Found("Journal / python-systemd's fastest", ratio, 0.5, otherwise=f"{ENTRIES:,} a second", anyway=enough),
        *(Found(f"Journal / {name}", found[OURS] / found[name]) for name in theirs),
    ]


def prepare(place: Path, paths: Sequence[Path], rules: Sequence[str]) -> Path:
    """A daemon's config: these files from their beginning, these ignore rules, no mail and no bans."""
    (place / "ignore.d").mkdir()
    (place / "ignore.d" / "bench.rules").write_text("".join(rule + "\n" for rule in rules))
    (place / "attack.d").mkdir()
    files = ", ".join(f"{{path: {path}, from_start: true}}" for path in paths)
    config = place / "logwarden.yaml"
    config.write_text(CONFIG.format(place=place, files=files))
    return config


def committed(place: Path) -> int:
    """Lines that the daemon has accounted for."""
    with sqlite3.connect(f"file:{place}/state/state.db?mode=ro", uri=True) as db:
        return int(db.execute("SELECT coalesce(sum(lines), 0) FROM tally").fetchone()[0])


def backlog(place: Path, lines: int) -> tuple[Path, Path, Sequence[bytes]]:
    """A log of so many lines, or some fewer, a config whose rules are compiled, and the lines that the log repeats."""
    sample = corpus.lines(min(lines, 200_000))
    log = place / "backlog.log"
    with log.open("wb") as file:
        for _ in range(lines // len(sample)):
            file.writelines(sample)
    config = prepare(place, [log], [rule.regex for rule in corpus.rules()])
    (place / "attack.d" / "sshd.yaml").write_text(ATTACKS)
    (place / "state").mkdir(mode=0o750)  # as systemd does, so that `check` has where to put what it compiles
    argv = [str(stage.LOGWARDEN), "check", "--config", str(config)]
    subprocess.run(argv, check=False, capture_output=True)  # compiles: the daemon that does so itself stays larger
    return log, config, sample


def catching_up(place: Path, lines: int) -> list[Found]:
    """The first tenth is not measured: it holds the start."""
    log, config, sample = backlog(place, lines)
    lines -= lines % len(sample)
    pause = threading.Event().wait
    with stage.daemon(config) as process:
        while (before := committed(place)) < lines // 10:
            pause(0.002)
        begun, spent = time.monotonic(), _spent(process.pid)
        while (done := committed(place)) < lines:
            pause(0.01)
        rate = (done - before) / (time.monotonic() - begun)
        work = (done - before) / (_spent(process.pid) - spent)
        memory = _status(process.pid, "VmHWM"), _status(process.pid, "VmRSS")
    watched = watch.build(load(str(config)))
    blocks = _blocks(sample)
    begun, spent = time.monotonic(), time.process_time()
    for block in blocks:
        watched.matcher.classify(Batch("bench", block, block.count(b"\n"), ""), time.time())
    alone, effort = (len(sample) / each for each in (time.monotonic() - begun, time.process_time() - spent))
    begun, before_scan = time.monotonic(), os.times()
    argv = [str(stage.LOGWARDEN), "scan", "--jobs", "1", "--config", str(config), str(log)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    after_scan = os.times()
    scan = lines / (time.monotonic() - begun)
    cost = lines / sum(after_scan[i] - before_scan[i] for i in (2, 3))
    title = f"{lines:,} lines behind, {os.path.getsize(log) >> 20} MB"
    show(f"{title}, by the clock", {"scan --jobs 1": scan, "the matcher alone": alone, "file to commit": rate})
    show(f"{title}, by processor time", {"scan --jobs 1": cost, "the matcher alone": effort, "file to commit": work})
    return [
        Found("commit / scan --jobs 1, by the clock", rate / scan, 0.6),
        Found("commit / scan --jobs 1, by processor time", work / cost, 0.6),
        Found("commit / matcher, by processor time", work / effort),
        Found("memory while catching up (VmHWM)", memory[0] * 1024 / 1e6, 60, below=True, form="{:.1f} MB"),
        Found("memory afterwards (VmRSS)", memory[1] * 1024 / 1e6, form="{:.1f} MB"),
    ]


def bans(place: Path, lines: int) -> list[Found]:
    """One attacker after the other, while the first nine tenths of the backlog are read."""
    log, config, _ = backlog(place, lines)
    pause, waits, behind = threading.Event().wait, list[float](), list[int]()
    with stage.daemon(config) as process:
        while (done := committed(place)) < lines * 0.9:
            attacker = f"203.0.113.{len(waits) % 250 + 1}"
            stamp = datetime.now(UTC).isoformat()
            with log.open("a") as file:
                file.write(f"{stamp} host sshd[1]: Failed password for root from {attacker}\n" * 3)
            begun = time.monotonic()
            while not _is_banned(place, attacker):
                pause(0.002)
            waits.append(time.monotonic() - begun)
            behind.append(lines - done)
        memory = _status(process.pid, "VmHWM")
    console.print(
        f"bans while {lines:,} lines are read: {len(waits)} attackers in {sum(waits):.1f} s, the first {behind[0]:,} "
        "lines ahead\n"
    )
    return [
        Found("ban ahead of a backlog, median", statistics.median(waits), form="{:.2f} s"),
        Found("ban ahead of a backlog, at most", max(waits), form="{:.2f} s"),
        Found("memory meanwhile (VmHWM)", memory * 1024 / 1e6, 60, below=True, form="{:.1f} MB"),
    ]


def _is_banned(place: Path, address: str) -> bool:
    with sqlite3.connect(f"file:{place}/state/state.db?mode=ro", uri=True) as db:
        return bool(db.execute("SELECT 1 FROM ban WHERE prefix=?", (f"{address}/32",)).fetchall())


def _blocks(lines: Sequence[bytes]) -> list[bytes]:
    return [b"".join(lines[start : start + 2000]) for start in range(0, len(lines), 2000)]


def _status(pid: int, name: str) -> int:
    """A number of /proc/PID/status, all threads' own where it counts switches."""
    return int(Path(f"/proc/{pid}/status").read_text().split(f"\n{name}:")[1].split()[0])


def idle(place: Path, seconds: float) -> list[Found]:
    paths = [place / f"{number}.log" for number in range(IDLE_FILES)]
    for path in paths:
        path.write_text("a line\n")
    config = prepare(place, paths, ["*: nothing"])
    pause = threading.Event().wait
    with stage.daemon(config) as process:
        while committed(place) < IDLE_FILES:
            pause(0.01)
        pause(2.0)
        wakes, last, spent, begun = 0, _switches(process.pid), _spent(process.pid), time.monotonic()
        while time.monotonic() - begun < seconds:
            pause(1.0)
            now = _switches(process.pid)
            wakes, last = wakes + (now > last), now
        spent = _spent(process.pid) - spent
    what = f"idle, {IDLE_FILES} files, {seconds:g} s"
    return [
        Found(f"{what}, of a core", 100 * spent / seconds, 0.2, below=True, form="{:.3f}%"),
        Found("seconds a minute in which a thread woke", 60 * wakes / seconds, TIMERS + 1, below=True, form="{:.1f}"),
    ]


def _spent(pid: int) -> float:
    """Processor time of a process, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _switches(pid: int) -> int:
    """How often any thread of a process went to sleep again."""
    statuses = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for status in statuses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--backlog", type=int, default=1_000_000, help="lines that a daemon has to catch up")
    parser.add_argument("--idle", type=float, default=90.0, help="seconds")
    parser.add_argument("--only", choices=BENCHES, action="append", help="run only these")
    given = parser.parse_args()
    numbers = {
        "files": given.lines,
        "journal": given.entries,
        "catching_up": given.backlog,
        "bans": given.backlog,
        "idle": given.idle,
    }
    found = []
    for name in given.only or BENCHES:
        with tempfile.TemporaryDirectory(prefix="logwarden-bench-") as place:
            found += BENCHES[name](Path(place), numbers[name])
    console.print(table("sources", found))


BENCHES: dict[str, Callable[[Path, Any], list[Found]]] = {
    "files": files,
    "journal": journal,
    "catching_up": catching_up,
    "bans": bans,
    "idle": idle,
}


if __name__ == "__main__":
    main()
