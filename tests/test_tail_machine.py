"""Whatever a writer, logrotate and crashes do to a log in any order: each line once, in order, and no gap reported.

The writer is one process that appends, as syslog daemons do: after a rename it goes on with the old file until it is
told to reopen. What it has written is all the machine compares with.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from logwarden.model import Batch
from logwarden.sources.patience import DOZE, GRACE
from logwarden.sources.place import load
from logwarden.sources.tail import Tail

pytestmark = pytest.mark.slow


class LogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="logwarden-tail-"))
        self.log = self.directory / "app.log"
        self.writer = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.number = 0
        self.written: list[bytes] = [b""]  # lines; the last is the one being written
        self.split = False  # whether something has cut a line in two, as it must
        self.copied = 0  # how far copytruncate is: 1 the copy is made, 2 half of it is there, 3 all
        self.copy_at = self.log
        self.names, self.archive = "count", self.directory  # how rotated files are called, and where they are
        self.rotations = 0
        self.cursor: str | None = None
        self.read: list[bytes] = []
        self.gaps: list[str] = []
        self.now = 2_000_000_000.0  # long after: what is read is closed for being quiet
        self.tail = Tail(str(self.log))

    @initialize(
        beginning=st.booleans(),
        watchful=st.booleans(),
        names=st.sampled_from(["count", "count", "date", "link", "olddir"]),
    )
    def first_start(self, beginning: bool, watchful: bool, names: str) -> None:
        self.names = names
        if names == "olddir":
            self.archive = self.directory / "old"
            self.archive.mkdir()
        if names == "link":
            self.log.rename(self._archived())
            self.log.symlink_to(self._archived())
        if watchful:
            self.now = self.log.stat().st_mtime
        self.tail = Tail(str(self.log), beginning=beginning)
        self.poll()

    def _stamp(self, file: int | Path) -> None:
        """Something has been written to it."""

    # --- the writer ---------------------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        os.write(self.writer, data)
        self._stamp(self.writer)
        *whole, rest = (self.written.pop() + data).split(b"\n")
        self.written += [*whole, rest]

    @precondition(lambda self: self.copied < 3)
    @rule(count=st.integers(1, 5), padding=st.sampled_from([0, 0, 0, 40, 2000, 30_000]))
    def write_lines(self, count: int, padding: int) -> None:
        for _ in range(count):
            self.number += 1
            self._write(b"%d %b\n" % (self.number, b"." * padding))

    @precondition(lambda self: self.copied < 3)
    @rule()
    def write_half_a_line(self) -> None:
        self.number += 1
        self._write(b"(%d " % self.number)

    @precondition(lambda self: not self.copied)
    @rule()
    def reopen(self) -> None:
        """As told by postrotate; a line that was begun is never finished."""
        there = os.stat(self.log) if self.log.exists() else None
        if there is None or not os.path.samestat(there, os.fstat(self.writer)):
            os.close(self.writer)
            self.writer = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            if there is None:
                self._stamp(self.writer)
            self._cut()

    def _cut(self) -> None:
        if self.written[-1]:
            self.written.append(b"")
            self.split = True

    # --- logrotate ----------------------------------------------------------------------------------------------

    def _rotated(self) -> list[Path]:
        """Newest first."""
        live = os.path.realpath(self.log)
        found = [path for path in self.archive.iterdir() if path.is_file() and os.path.realpath(path) != live]
        newest = -1 if self.names in ("date", "link") else 1
        return sorted(found, key=lambda path: newest * int(re.findall(r"\d+", path.name)[0]))

    def _archived(self) -> Path:
        """What the next rotated file is called."""
        stamp = {"date": f".log-{20_260_101 + self.rotations}", "link": f"-{self.rotations}.txt"}
        return self.archive / f"app{stamp.get(self.names, '.log.1')}"

    def _shift(self) -> Path:
        """Make room for the next rotated file."""
        self.rotations += 1
        for path in reversed(self._rotated()):
            if self.names in ("count", "olddir"):
                number, *ending = path.name.removeprefix("app.log.").split(".")
                path.rename(path.with_name(".".join(["app.log", str(int(number) + 1), *ending])))
        return self._archived()

    def _follows(self) -> bool:
        """Whether the writer writes to the file at the path."""
        return self.log.exists() and os.path.samestat(self.log.stat(), os.fstat(self.writer))

    @precondition(lambda self: not self.copied and self._follows())
    @rule(create=st.booleans())
    def rename(self, create: bool) -> None:
        """Or move the link to a new file."""
        archived = self._shift()
        if self.names == "link":
            archived.touch()
            self._stamp(archived)
            moved = self.directory / "moved"
            moved.symlink_to(archived)
            moved.replace(self.log)
            return
        self.log.rename(archived)
        if create:
            self.log.touch()
            self._stamp(self.log)

    @precondition(lambda self: not self.copied and self.names != "link" and self._follows())
    @rule()
    def delete(self) -> None:
        """Once all of it was read; and the writer goes on at once: else nobody could know that nothing is lost."""
        self.poll()
        self.log.unlink()
        self.reopen()
        self.write_lines(1, 0)
        self.poll()

    @precondition(lambda self: not self.copied and self.names != "link" and self._follows())
    @rule()
    def delete_a_quiet_one(self) -> None:
        """All of it was read for an hour: nothing is lost, also where nobody writes before the next restart."""
        self.an_hour_passes()
        if self.tail._dozing:
            self.log.unlink()
            self.poll()
            self.restart()
            self.poll()
            self.reopen()

    @precondition(lambda self: self.copied < 3 and self.names != "link" and self._follows())
    @rule()
    def copy(self) -> None:
        """A step of copytruncate's copying. What the writer adds after the last and before the end is lost to all."""
        if not self.copied:
            self.copy_at = self._shift()
        content = self.log.read_bytes()
        self.copy_at.write_bytes(content[: [0, len(content) // 2, len(content)][self.copied]])
        self._stamp(self.copy_at)
        self.copied += 1

    @precondition(lambda self: self.copied == 3)
    @rule()
    def truncate(self) -> None:
        os.truncate(self.log, 0)
        self._stamp(self.log)
        self.copied = 0
        self._cut()

    @precondition(lambda self: not self.copied)
    @rule(which=st.integers(0, 3), ending=st.sampled_from(["gz", "xz"]))
    def compress(self, which: int, ending: str) -> None:
        plain = [path for path in self._rotated() if path.suffix not in (".gz", ".xz")]
        if which >= len(plain) or os.path.samestat(plain[which].stat(), os.fstat(self.writer)):
            return
        path, times = plain[which], plain[which].stat()
        packed = path.with_name(f"{path.name}.{ending}")
        packed.write_bytes({"gz": gzip, "xz": lzma}[ending].compress(path.read_bytes()))
        os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
        path.unlink()

    # --- the daemon ---------------------------------------------------------------------------------------------

    @rule(most=st.sampled_from([0, 1, 2, 1000, 1000]))
    def poll(self, most: int = 1000) -> None:
        """Poll, and be killed after `most` items."""
        items = self.tail.poll(self.now)
        for _ in range(most):
            item = next(items, None)
            if item is None:
                return
            if isinstance(item, Batch):
                self.read += item.block.split(b"\n")[:-1]
                self.cursor = item.cursor
                self.gaps += [notice.text for notice in item.notices]
            else:
                self.gaps.append(item.text)
        self.restart()

    @precondition(lambda self: self.cursor is not None)
    @rule()
    def restart(self) -> None:
        self.tail.close()
        self.tail = Tail(str(self.log), cursor=self.cursor)

    @rule()
    def time_passes(self) -> None:
        if self.written[-1] and not self._follows():
            self.split = True  # a line that nobody finishes within GRACE is handed over as it is
        self.now += GRACE

    @rule()
    def an_hour_passes(self) -> None:
        """A file that nobody writes to is closed, and found again after a restart too."""
        self.time_passes()
        self.now += DOZE
        self.poll()

    # --- the promise --------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_read_twice_or_out_of_order(self) -> None:
        assert b"".join(self.written).startswith(b"".join(self.read))
        assert not self.gaps

    def teardown(self) -> None:
        try:
            while 0 < self.copied < 3:
                self.copy()
            if self.copied:
                self.truncate()
            self.reopen()
            self._write(b"the end\n")
            for _ in range(3):
                self.poll()
                self.now += GRACE
            self._account()
        finally:
            self.tail.close()
            os.close(self.writer)
            shutil.rmtree(self.directory)

    def _account(self) -> None:
        assert b"".join(self.read) == b"".join(self.written)
        if not self.split:
            assert self.read == self.written[:-1]
        assert not self.gaps


class ExpiringLogMachine(LogMachine):
    """logrotate also removes the oldest file, whether it was read or not: what is lost for it is told, in a gap.

    So may be what is not lost, where the file that was read last is removed: see Bugs of `tail`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.expired = False  # whether lines were removed that had not been read
        self.removals = 0  # of those, or of what was read last: each may be a gap
        self.time = time.time_ns()
        self.still, self.stood = False, False  # whether the clock stands still, and ever did when files were removed

    def _stamp(self, file: int | Path) -> None:
        """No two files are as old as one another, unless the clock stands still, as the kernel's does between ticks."""
        self.time += 0 if self.still else 20_000_000
        os.utime(file, ns=(self.time, self.time))

    def _stands(self) -> bool:
        """Whether the cursor is in a file, and something was read of it or of that before: else nothing can tell."""
        before, at, _ = load(self.cursor) if self.cursor else (None, None, None)
        return at is not None and any(place and place.offset for place in (before, at))

    @precondition(lambda self: not self.copied and self.names != "link" and self._follows() and self._stands())
    @rule(
        lines=st.lists(st.integers(0, 1), min_size=1, max_size=3),
        keep=st.integers(1, 3),
        still=st.sampled_from([False, False, False, True]),
    )
    def rotate_away(self, lines: list[int], keep: int, still: bool) -> None:
        self.still, self.stood = still, self.stood or still
        for count in lines:
            self.write_lines(count, 0)
            self.rename(create=True)
            self.reopen()
        last = max(_numbers(b"".join(self.read)), default=0)
        removed = self._rotated()[keep:]
        newest = max((number for path in removed for number in _numbers(_text(path))), default=0)
        for path in removed:
            path.unlink()
        self.still = False
        self.removals += newest >= max(last, 1)
        self.expired |= newest > last

    @precondition(lambda self: not self.copied and self.names != "link" and self._follows() and self._stands())
    @rule(down=st.booleans(), rotated=st.booleans())
    def be_away_at_a_start(self, down: bool, rotated: bool) -> None:
        """The directory, as one that is mounted later."""
        away = self.directory.with_name(f"{self.directory.name}-away")
        self.directory.rename(away)
        self.directory.mkdir()
        self.restart()
        self.poll()
        self.removals += 1
        self.directory.rmdir()
        away.rename(self.directory)
        self.write_lines(1, 0)
        if rotated:
            self.rename(create=True)
            self.reopen()
        if down:
            self.restart()

    @invariant()
    def nothing_is_read_twice_or_out_of_order(self) -> None:
        numbers = _numbers(b"".join(self.read))
        assert numbers == sorted(set(numbers))
        assert len(self.gaps) <= self.removals
        if not self.expired and not self.stood:
            assert b"".join(self.written).startswith(b"".join(self.read))

    def _account(self) -> None:
        if not self.stood and b"".join(self.read) != b"".join(self.written):
            assert self.expired
            assert self.gaps


def _numbers(text: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"\d+", text)]


def _text(path: Path) -> bytes:
    return {".gz": gzip.decompress, ".xz": lzma.decompress}.get(path.suffix, bytes)(path.read_bytes())


TestLog = LogMachine.TestCase
TestExpiringLog = ExpiringLogMachine.TestCase
TestLog.settings = TestExpiringLog.settings = settings(max_examples=60, stateful_step_count=40)
