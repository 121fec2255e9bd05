"""`make torture`: lines are written and rotated while the daemon is killed again and again; each of them counts once.

    python -m tests.torture [--kills N] [--seed N] [--life SECONDS] [--rate N]

Writers append numbered lines to a log for each of logrotate's modes, to a journald of our own, and to both at once;
logrotate runs all the time; the journal is rotated now and then, and its files are deleted once they have been read;
the mail server fails at random; the daemon gets SIGKILL at random instants, its start among them, and is started again.
In the end each line must be in exactly one place, once: unexplained, attack and quarantined ones by their own text,
ignored ones by the counts of their source and of the rule that hid them; what came both ways, as one event and its
echo; and the mails must tell the same, to everybody.

A seed repeats all that is drawn by lot; which thread runs when is the kernel's to say. Exit status 1 where a line is
missing or repeated; the directory is kept then.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .account import Account, Row
from .files import MODES, Cron, LogFile
from .journald import Journald, JournalLog, Sweeper, lacking
from .lines import ATTACKS, RULES
from .post import RECIPIENTS, Post

CONFIG = """\
state: {place}/state
socket: {place}/control.sock
host: web1
sources:
  journal: {journal}
  files:
    - {{path: {place}/log/trace.log, from_start: true, continues: '\\s'}}
    - {{path: {place}/log/*.log, from_start: true}}
rules: {{ignore: [{place}/ignore.d], attack: [{place}/attack.d]}}
bans: {{backend: dry-run, permit_documentation: true}}
digest: {{schedule: '*:*:*', to: [{to}]}}
mail: {{host: 127.0.0.1, port: {port}, timeout: 1s}}
retention: {{size: 64GB}}
"""
"""It keeps each line until the end: a thousand deaths write more than what is kept by default."""
PATIENCE = 60.0
"""Seconds without any progress after which we stop waiting for the daemon to catch up."""
LIFE = 0.9
"""Seconds that a daemon lives on average, once it is at work, where `--life` says nothing else."""

console = Console(highlight=False, width=120)
_pause = threading.Event().wait


class Victim:
    """The daemon, which is killed and started again."""

    def __init__(self, place: Path) -> None:
        self._argv = [
            sys.executable,
            "-X",
            "faulthandler",
            "-m",
            "logwarden",
            "run",
            "--config",
            str(place / "logwarden.yaml"),
        ]
        self._said = (place / "daemon.err").open("ab")
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(place / "notify"))
        self._notices.settimeout(PATIENCE)
        self._environment = {**os.environ, "NOTIFY_SOCKET": str(place / "notify")}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._argv, stderr=self._said, env=self._environment)

    def wait_until_ready(self) -> None:
        """It is at work. Raises SystemExit where it does not come to that; where it stands then it has written down."""
        try:
            while b"READY=1" not in self._notices.recv(4096):
                pass
        except TimeoutError as error:
            self.end(signal.SIGABRT)
            raise SystemExit(f"the daemon is not ready after {PATIENCE:g} s: see {self._said.name}") from error

    def end(self, number: int) -> None:
        """Send a signal that ends it. Raises SystemExit where something else had ended it before."""
        if self._process is None:
            return
        if (status := self._process.poll()) is not None:
            raise SystemExit(f"the daemon ended by itself with status {status}: see {self._said.name}")
        self._process.send_signal(number)
        self._process.wait()
        self._process = None
        self._forget_notices()

    def _forget_notices(self) -> None:
        """The next READY is to be the next daemon's."""
        self._notices.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._notices.recv(4096)
        self._notices.settimeout(PATIENCE)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._said.close()
        self._notices.close()


def until(progress: Callable[[], int], goal: int) -> None:
    """Wait for `progress` to reach `goal`, or to stand still for PATIENCE seconds."""
    seen, deadline = progress(), time.monotonic() + PATIENCE
    while seen < goal and time.monotonic() < deadline:
        _pause(0.05)
        if (now := progress()) != seen:
            seen, deadline = now, time.monotonic() + PATIENCE


def prepare(place: Path, port: int, journald: Journald | None) -> None:
    """The daemon's config and rules."""
    journal = f"{{directories: [{journald.directory}]}}" if journald else "false"
    for directory in ("log", "ignore.d", "attack.d", "logrotate"):
        (place / directory).mkdir(mode=0o755)
    (place / "logwarden.yaml").write_text(
        CONFIG.format(place=place, port=port, journal=journal, to=", ".join(RECIPIENTS))
    )
    (place / "ignore.d" / "app.rules").write_text(RULES)
    (place / "attack.d" / "sshd.yaml").write_text(ATTACKS)


def torment(victim: Victim, kills: int, life: float, chance: random.Random, sweep: Callable[[], None]) -> None:
    """Kill it, one time in five while it starts."""
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("killing", total=kills)
        for _ in range(kills):
            victim.start()
            if chance.random() < 0.2:
                _pause(chance.random() * 1.5)
            else:
                victim.wait_until_ready()
                _pause(chance.expovariate(1 / life))
            sweep()
            victim.end(signal.SIGKILL)
            _pause(chance.expovariate(1 / 0.2))
            bar.advance(task)


def run(place: Path, given: argparse.Namespace) -> bool:
    """The whole torture. Returns whether each line was accounted for once."""
    chance, post, account = random.Random(f"{given.seed} kills"), Post(given.seed), Account(place / "state")
    why_not = lacking()
    if why_not:
        console.print(f"without a journal: {why_not}")
    journald = None if why_not else Journald(place)
    with post.served() as port:
        prepare(place, port, journald)
        names = [name for name in MODES if name != "twin"]
        files = [LogFile(place, name, given.seed, given.rate, account.lines) for name in names]
        twins = [LogFile(place, "twin", given.seed, given.rate, account.lines, journald.write)] if journald else []
        files += twins
        logs: list[LogFile | JournalLog] = [
            *files,
            *([JournalLog(journald, given.seed, given.rate)] if journald else []),
        ]
        sweeper = (
            Sweeper(journald, [log.ledger for log in (*twins, logs[-1])], account.journal, given.seed)
            if journald
            else None
        )
        cron, victim = Cron(files, given.seed, interval=0.5), Victim(place)
        try:
            victim.start()
            until(lambda: len(account.ask("SELECT source FROM cursor WHERE source!='files'")), len(logs))
            victim.end(signal.SIGTERM)
            for thread in (*logs, cron):
                thread.start()
            torment(victim, given.kills, given.life, chance, sweeper.sweep if sweeper else lambda: None)
            for thread in (cron, *logs):
                thread.stop()
            written = sum(log.ledger.written for log in (*logs, *twins))
            catch_up(place, victim, account, post, written)
        finally:
            for thread in (cron, *logs):
                thread.stop()
            victim.close()
            if journald:
                journald.stop()
    if cron.trouble:
        raise SystemExit(cron.trouble)
    rotations, swept = sum(log.rotations for log in files), sweeper.swept if sweeper else 0
    did = f"{given.kills} kills, {rotations} rotations, {swept} journal files deleted, {len(post.taken)} mails"
    return report(account, logs, post, did)


def catch_up(place: Path, victim: Victim, account: Account, post: Post, written: int) -> None:
    """Let it read what is left, tell all of it, and deliver what it could not."""
    victim.start()
    until(lambda: account.read() - account.own(), written)
    subprocess.run(
        [sys.executable, "-m", "logwarden", "digest", "--now", "--config", str(place / "logwarden.yaml")],
        check=True,
        capture_output=True,
    )
    victim.end(signal.SIGTERM)
    post.healthy = True
    with sqlite3.connect(place / "state" / "state.db") as db:
        db.execute("UPDATE outbox SET next=0")
    victim.start()
    until(lambda: -len(account.ask("SELECT 1 FROM outbox WHERE delivered IS NULL")), 0)
    victim.end(signal.SIGTERM)


def report(account: Account, logs: Sequence[LogFile | JournalLog], post: Post, did: str) -> bool:
    """Print the table, and what is wrong. Returns whether nothing is."""
    rows = account.rows(logs)
    show(rows)
    wrong = account.buckets(logs) + account.echoes(logs) + [f"gap: {gap}" for gap in account.gaps()]
    for row in rows:
        for what in ("missing", "repeated", "misplaced"):
            if found := getattr(row, what):
                wrong.append(f"{row.log}: {len(found)} {what}: {', '.join(found[:5])}")
    wrong += post.missed()
    counted = sum((row.counted for row in rows), Counter[str]())
    kept = tuple(counted[outcome] for outcome in ("attack", "unexplained", "quarantined"))
    if post.told() != kept:
        wrong.append(f"the mails tell of {post.told()} attack, unexplained and quarantined lines, the state of {kept}")
    console.print(did)
    console.print("the mail server: " + ", ".join(f"{trick} {count}" for trick, count in post.tricks.items()))
    for text in wrong:
        console.print(f"[red]{text}[/]")
    return all(row.right for row in rows) and not wrong


def show(rows: Sequence[Row]) -> None:
    outcomes = ("ignored", "attack", "unexplained", "quarantined")
    table = Table("log", "written", "read", *outcomes, "missing", "repeated", title="Every line, once")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        counts = (row.written, row.counted.total(), *(row.counted[outcome] for outcome in outcomes))
        wrong = (len(row.missing), len(row.repeated))
        table.add_row(row.log, *map("{:,}".format, (*counts, *wrong)), style="" if row.right else "red")
    console.print(table)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    options.add_argument("--life", type=float, default=LIFE, help="seconds that it lives on average")
    options.add_argument("--rate", type=float, default=60, help="lines a second of each log")
    given = options.parse_args()
    console.print(f"seed {given.seed}: repeat with --seed {given.seed} --kills {given.kills}")
    place = Path(tempfile.mkdtemp(prefix="logwarden-torture-"))
    place.chmod(0o755)
    if not run(place, given):
        raise SystemExit(f"NOT every line is in one place, once; see {place}")
    shutil.rmtree(place)
    console.print("every line is in exactly one place, once")


if __name__ == "__main__":
    main()
