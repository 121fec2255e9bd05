"""One log file, plain or compressed, open for reading at any offset of its text.

Owns: its descriptor. A compressed file is told by its first bytes, not by its name.
Never: follows a name after it was opened; writes; waits.
Fails: OSError where the file cannot be opened or read. Damage within a compressed file ends its text there, and
`damage` says what was found; so it does of a rotated file that we may not read, which has no text.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator

from .packed import DAMAGE, FORMATS, Stream

HEAD = 1024
"""First bytes of a file that identify it, or as many as have been read."""


class LogFile:
    """An open file. `path` is the name it had when it was opened; `device` and `inode` are its own while open."""

    packed = False
    damage: str | None = None

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd
        status = os.fstat(fd)
        self.device, self.inode = status.st_dev, status.st_ino

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes of text from `offset`; fewer only at the end. Raises OSError."""
        return os.pread(self._fd, size, offset)

    def stat(self) -> os.stat_result:
        """What fstat says now."""
        return os.fstat(self._fd)

    def end(self) -> int:
        """How long its text is."""
        return self.stat().st_size

    def name(self) -> str:
        """The path that it has now, links followed; that of a deleted file leads nowhere. See proc_pid_fd(5)."""
        try:
            return os.readlink(f"/proc/self/fd/{self._fd}")
        except OSError:
            return self.path

    def data_from(self, offset: int) -> int:
        """Where the next bytes that are no hole begin, at or after `offset`; the end of the file where none do."""
        try:
            return os.lseek(self._fd, offset, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole
            return max(offset, self.stat().st_size)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


class PackedFile(LogFile):
    """Its text is streamed: reading on is cheap, and so is going back within the last block."""

    packed = True

    def __init__(self, path: str, fd: int, opener: Callable[[int], Stream]) -> None:
        super().__init__(path, fd)
        self._opener = opener
        self._stream: Stream | None = None
        self._head = b""
        self._start = 0
        self._buffer = b""
        self._head = self.read_at(0, HEAD)  # asked for again and again; kept, so that it needs no new start

    def read_at(self, offset: int, size: int) -> bytes:
        if offset == 0 and size <= len(self._head):
            return self._head[:size]
        if offset < self._start or (self._stream is None and self.damage is None):
            self._rewind()
        while self._start + len(self._buffer) < offset:
            self._start += len(self._buffer)
            self._buffer = self._read(min(1 << 18, offset - self._start))
            if not self._buffer:
                return b""
        self._buffer = self._buffer[offset - self._start :]
        self._start = offset
        while len(self._buffer) < size and (more := self._read(size - len(self._buffer))):
            self._buffer += more
        return self._buffer[:size]

    def end(self) -> int:
        while self.read_at(self._start + len(self._buffer), 1 << 18):
            pass
        return self._start

    def data_from(self, offset: int) -> int:
        return offset

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        super().close()

    def _read(self, size: int) -> bytes:
        if self._stream is None or self.damage is not None:
            return b""
        try:
            return self._stream.read1(size)
        except DAMAGE as error:
            self.damage = str(error)
            return b""

    def _rewind(self) -> None:
        if self._stream is not None:
            self._stream.close()
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._stream, self.damage = None, None
        self._start, self._buffer = 0, b""
        try:
            self._stream = self._opener(os.dup(self._fd))
        except DAMAGE as error:  # nothing here can decompress it
            self.damage = str(error)


class SealedFile(LogFile):
    """A file that we may not read: no more is known of it than what stat says."""

    packed = True  # there is nothing to compare

    def __init__(self, path: str, damage: str) -> None:
        super().__init__(path, os.open(path, os.O_PATH | os.O_CLOEXEC))
        self.damage = damage

    def read_at(self, offset: int, size: int) -> bytes:  # noqa: ARG002 - as LogFile has them
        return b""

    def data_from(self, offset: int) -> int:
        return offset


def open_log(path: str) -> LogFile:
    """Open `path`, following links. Raises OSError, also where it is no regular file (a FIFO would block)."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        magic = os.pread(fd, 6, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else None
        opener = next((opener for start, opener in FORMATS.items() if magic and magic.startswith(start)), None)
        if magic is not None:
            return PackedFile(path, fd, opener) if opener else LogFile(path, fd)
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    raise OSError(0, "not a regular file", path)


def open_if_there(path: str) -> LogFile | None:
    """The file at `path`, or None where there is none. Raises OSError where there is one that cannot be opened."""
    try:
        return open_log(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def open_rotated(path: str) -> LogFile | None:
    """As `open_if_there`; one that we may not read is a SealedFile: no log goes on as long as it waits for that."""
    try:
        try:
            return open_log(path)
        except PermissionError as error:
            return SealedFile(path, error.strerror or str(error))
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def opened(path: str) -> Iterator[LogFile | None]:
    """The file at `path` for a look at it, or None where it cannot be opened."""
    try:
        log = open_rotated(path)
    except OSError:
        log = None
    try:
        yield log
    finally:
        if log is not None:
            log.close()
