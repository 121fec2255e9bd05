"""A systemd-journald of our own, in a mount namespace in which /run and /var/log/journal are ours."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .lines import Ledger, Line, Pace, lines

JOURNALD = "/lib/systemd/systemd-journald"
CONFIG = """[Journal]
Storage=persistent
RateLimitIntervalSec=0
ForwardToSyslog=no
ForwardToWall=no
ReadKMsg=no
Audit=no
SystemMaxUse=1G
SystemMaxFileSize=2M
"""
SCRIPT = """set -eu
mount -t tmpfs run /run
mkdir -p /run/systemd/journal
touch /run/systemd/journal/flushed
mount --bind "$1/journal" /var/log/journal
mount --bind "$1/journald.conf" /etc/systemd/journald.conf
exec "$2"
"""
"""`flushed` says that /var is there: the journal is persistent from the start."""
PATIENCE = 10.0


def lacking() -> str | None:
    """Why there can be no journald here; None where there can."""
    if importlib.util.find_spec("systemd") is None:
        return "no python-systemd"
    for path in (JOURNALD, "/var/log/journal", "/etc/systemd/journald.conf"):
        if not os.path.exists(path):
            return f"no {path}"
    tried = subprocess.run([*_namespace(), "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() or None


def _namespace() -> list[str]:
    return ["unshare", "--mount", "--propagation", "private", *([] if os.geteuid() == 0 else ["--map-root-user"])]


class Journald:
    """A running journald, and how to write to it. `directory` holds its journal; `settings` come after CONFIG."""

    def __init__(self, place: Path, settings: str = "") -> None:
        self.directory = place / "journal"
        self.directory.mkdir()
        (place / "journald.conf").write_text(CONFIG + settings)
        argv = [*_namespace(), "bash", "-c", SCRIPT, "journald", str(place), JOURNALD]
        self._process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        self.run = Path(f"/proc/{self._process.pid}/root/run/systemd/journal")
        """Its sockets."""
        door = self.run / "socket"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        deadline = time.monotonic() + PATIENCE
        while not self._connected(door):
            if time.monotonic() > deadline:
                self.stop()
                raise SystemExit("journald did not start")
            time.sleep(0.01)

    def _connected(self, door: Path) -> bool:
        try:
            self._socket.connect(str(door))
        except OSError:
            return False
        return any(self.directory.rglob("*.journal"))

    def write(self, program: str, message: str, **fields: str) -> None:
        """As sd_journal_send(3): the native protocol, one datagram an entry."""
        given = {"PRIORITY": "6", "SYSLOG_IDENTIFIER": program, **fields}
        text = "".join(f"{name}={value}\n" for name, value in given.items()).encode()
        raw = message.encode()
        self._socket.send(text + b"MESSAGE\n" + len(raw).to_bytes(8, "little") + raw + b"\n")

    def enter(self, *argv: str) -> list[str]:
        """The command that runs `argv` where journald runs; only root can."""
        return ["nsenter", "--mount", f"--target={self._process.pid}", *argv]

    def signal(self, number: int) -> None:
        """SIGUSR2 rotates the journal, SIGRTMIN+1 writes it to the disk."""
        self._process.send_signal(number)

    def wait_for(self, message: str) -> None:
        """Return when the last entry is `message`."""
        argv = ["journalctl", "--quiet", f"--directory={self.directory}", "--output=cat", "--lines=1"]
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() != message:
            assert time.monotonic() < deadline, f"journald did not write {message!r}"

    def rotate(self) -> None:
        """Begin new journal files, and return when that is done."""
        before = set(self.directory.rglob("*.journal"))
        self.signal(signal.SIGUSR2)
        deadline = time.monotonic() + PATIENCE
        while not set(self.directory.rglob("*.journal")) > before:  # the old one renamed, and the new one there
            assert time.monotonic() < deadline, "journald did not rotate"
            time.sleep(0.005)

    def vacuum(self) -> None:
        """Delete all files but the one that is written."""
        argv = ["journalctl", "--quiet", f"--directory={self.directory}", "--vacuum-files=1"]
        subprocess.run(argv, check=True, capture_output=True)

    def stop(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait()


class JournalLog:
    """Lines written to a journald, from a thread of its own."""

    name = "journal"

    def __init__(self, journald: Journald, seed: int, rate: float) -> None:
        self.ledger = Ledger(self.name)
        self.source = f"journal:{journald.directory}"
        self._journald = journald
        self._chance = random.Random(f"{seed} journal")
        self._pace = Pace(self._chance, rate)
        self._thread = threading.Thread(target=self._write, name=self.name)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._pace.over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _write(self) -> None:
        source = lines(self.name, self._chance)
        for burst, pause in self._pace.bursts():
            for line in (next(source) for _ in range(burst)):
                self._enter(line)
            self._pace.over.wait(pause)

    def _enter(self, line: Line) -> None:
        self._journald.write(line.program, line.message)
        self.ledger.enter(line)


class Sweeper:
    """Rotates a journal, and deletes files of it, as a vacuum does: those of which all has been read.

    `ledgers`: what is written to it; `read`: how many lines of that have been accounted for, at least.
    """

    def __init__(self, journald: Journald, ledgers: Sequence[Ledger], read: Callable[[], int], seed: int) -> None:
        self.swept = 0
        self._chance = random.Random(f"{seed} sweeper")
        self._journald, self._ledgers, self._read = journald, ledgers, read
        self._old: list[Path] = []
        self._goal = 0

    def sweep(self) -> None:
        """Delete old files, the first time that they must have been read; begin new ones, every other time."""
        if self._read() >= self._goal:
            for path in self._old:
                path.unlink()
            self.swept += len(self._old)
            self._old = list(self._journald.directory.rglob("*@*.journal"))
            # what they hold was written before; of each writer, one line may not be in its ledger yet
            self._goal = sum(ledger.written for ledger in self._ledgers) + len(self._ledgers)
        if self._chance.random() < 0.5:
            self._journald.signal(signal.SIGUSR2)
