"""Log files as programs write them and logrotate rotates them.

The writer appends, some lines in two writes, and opens its log anew where postrotate asks it to, which logrotate waits
for: what a writer adds to a file that is being compressed, no reader can be blamed for. For the same reason it is held
while copytruncate works: what is written between logrotate's copy and its truncate is lost before anybody sees it.
Nor is a file removed before it was read.
"""

from __future__ import annotations

import os
import random
import select
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .lines import Kind, Ledger, Line, Pace, lines

MODES = {
    "create": "create",
    "create.gz": "create\ncompress",
    "create.delayed": "create\ncompress\ndelaycompress",
    "create.dated": "create\ndateext\ndateformat -%Y%m%d-%s",
    "create.named": "create\ndateext\ndateformat -%Y%m%d-%s\nextension .log\ncompress",
    "create.xz": "create\ncompress\ncompresscmd /usr/bin/xz\ncompressoptions -1\ncompressext .xz",
    "nocreate.zst": "nocreate\ncompress\ncompresscmd /usr/bin/zstd\ncompressoptions -q\ncompressext .zst",
    "copied": "copytruncate",
    "copied.gz": "copytruncate\ncompress",
    "copied.delayed": "copytruncate\ncompress\ndelaycompress",
    "copied.dated": "copytruncate\ndateext\ndateformat -%Y%m%d-%s\ncompress",
    "kept": "copy\nrotate 3",
    "kept.gz": "copy\ncompress\nrotate 3",
    "moved": "renamecopy",
    "moved.gz": "renamecopy\ncompress",
    "away": "create\nolddir old",
    "away.gz": "create\ncompress\nolddir old",
    "away.copied": "copytruncate\nolddir old",
    "trace": "create\ncompress",
    "twin": "create\ncompress\ndelaycompress",
}
"""What logrotate is told of each log. Of `kept`, which goes on growing, few copies are made. `trace` holds events of
several lines; what `twin` holds, journald too."""
HOST = socket.gethostname()
KEPT = 200
"""Rotated files that are kept: more than come while the daemon is dead, or comes to nothing on a busy machine.
And no more: logrotate renames each of them each time, and thrice a second that is what keeps a machine busy."""
SPARED = 20
"""The oldest of these, which must have been read when one is removed: the daemon must find where it stands."""


@dataclass
class Paths:
    """Where a log and what belongs to it are."""

    place: Path
    name: str

    @property
    def log(self) -> Path:
        return self.place / "log" / f"{self.name}.log"

    def beside(self, what: str) -> Path:
        return self.place / "logrotate" / f"{self.name}.{what}"


class LogFile:
    """One log, its writer's thread, and logrotate for it."""

    def __init__(
        self,
        place: Path,
        name: str,
        seed: int,
        rate: float,
        read: Callable[[str], int],
        also: Callable[[str, str], None] | None = None,
    ) -> None:
        """`read` says how many lines of a source were accounted for; `also` gets each line's program and message."""
        self.name = name
        self._read = read
        self._also = also
        self._rotated: deque[int] = deque(maxlen=KEPT - SPARED)  # lines written by then, at most, of each rotation
        self.ledger = Ledger(name)
        self.rotations = 0
        self.path = Paths(place, name).log
        self._chance = random.Random(f"{seed} {name}")
        self._pace = Pace(self._chance, rate)
        self._still = threading.Lock()
        self._configure(Paths(place, name))
        self._fd = self._open()
        self._thread = threading.Thread(target=self._write, name=name)

    @property
    def source(self) -> str:
        return f"file:{self.path}"

    def _configure(self, paths: Paths) -> None:
        for directory in (paths.log.parent / "old", paths.beside("conf").parent):
            directory.mkdir(mode=0o755, exist_ok=True)
        self._conf, self._state = paths.beside("conf"), paths.beside("state")
        ask, self._answer = paths.beside("ask"), paths.beside("answer")
        for fifo in (ask, self._answer):
            os.mkfifo(fifo)
        self._asked = os.open(ask, os.O_RDWR | os.O_NONBLOCK)
        script = f"postrotate\necho reopen > {ask}; read _ < {self._answer}\nendscript"
        mode = MODES[self.name]
        held = mode if "copytruncate" in mode else f"{mode}\n{script}"
        self._conf.write_text(f"{self.path} {{\nrotate {KEPT}\n{held}\n}}\n")
        self._conf.chmod(0o644)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more lines; rotations must have ended."""
        self._pace.over.set()
        if self._thread.is_alive():
            self._thread.join()

    def rotate(self) -> None:
        """As cron would do it, but for what would remove lines that nobody has read.

        Raises RuntimeError where logrotate fails, but for a second rotation in one second.
        """
        if len(self._rotated) == self._rotated.maxlen and self._read(self.source) < self._rotated[0]:
            return
        argv = ["logrotate", "-f", "-s", str(self._state), str(self._conf)]
        with self._still if "copytruncate" in MODES[self.name] else nullcontext():
            done = subprocess.run(argv, check=False, capture_output=True, text=True)
        if done.returncode and "already exists, skipping rotation" not in done.stderr:
            raise RuntimeError(f"logrotate: {done.stderr}")
        if not done.returncode:
            self.rotations += 1
            self._rotated.append(self.ledger.written + 1)  # one may not be in the ledger yet

    # --- the writer's thread --------------------------------------------------------------------------------

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def _write(self) -> None:
        source = lines(self.name, self._chance)
        for burst, pause in self._pace.bursts():
            for _ in range(burst):
                line = next(source)
                with self._still:
                    self._append(self._text(line))
                if self._also is not None:
                    self._also(line.program, line.message)
                self.ledger.enter(line)
                self._reopen_if_asked()
            if select.select([self._asked], [], [], pause)[0]:
                self._reopen_if_asked()

    def _text(self, line: Line) -> bytes:
        stamp = datetime.now(UTC).isoformat(timespec="microseconds")
        text = f"{stamp} {HOST} {line.program}[{os.getpid()}]: {line.message}\n"
        if self.name == "trace" and line.kind is Kind.UNEXPLAINED:
            text += "  at one\n  at two\n"
        return text.encode()

    def _append(self, text: bytes) -> None:
        """Write it, one in ten in two parts: whatever becomes of the file between them, both go to the same."""
        if self._chance.random() < 0.1:
            at = self._chance.randrange(len(text))
            os.write(self._fd, text[:at])
            self._pace.over.wait(self._chance.random() * 0.005)
            text = text[at:]
        os.write(self._fd, text)

    def _reopen_if_asked(self) -> None:
        try:
            asked = os.read(self._asked, 64)
        except BlockingIOError:
            return
        os.close(self._fd)
        self._fd = self._open()
        for _ in asked.splitlines():
            self._answer.write_text("done\n")


class Cron:
    """Rotates one log after another, at random, in a thread of its own."""

    def __init__(self, logs: list[LogFile], seed: int, interval: float) -> None:
        """`interval`: seconds between two rotations, on average."""
        self._logs = logs
        self._chance = random.Random(f"{seed} cron")
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cron")
        self.trouble: str | None = None
        """What ended it before its time."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._over.wait(self._chance.expovariate(1 / self._interval)):
                log = self._chance.choice(self._logs)
                for _ in range(self._chance.choice((1, 1, 1, 2, 3))):
                    log.rotate()
        except RuntimeError as error:
            self.trouble = str(error)
