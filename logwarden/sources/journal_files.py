"""What the files of a journal say of themselves in their headers: whose entries they hold, and which.

Owns: the layout of a header, see systemd's "Journal File Format", and which files of a directory sd-journal reads.
Never: reads an entry, or holds a file open; opens one only where it was written to.
Fails: a file that cannot be read has no header; `Files.trouble` says why.
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_HEADER = struct.Struct("<8s64x16s64xQQQ8xQQ")
"""Signature, seqnum_id, n_entries, tail_entry_seqnum, head_entry_seqnum, head_ and tail_entry_realtime."""
_SIGNATURE = b"LPKSHHRH"
_NAMES = (".journal", ".journal~")
_TICK = 100_000_000  # ns in which a file may be written to again without another time; the kernel's clock has ticks
_MACHINE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class JournalFile:
    """A file with entries. `sequence` is whose numbers they bear (seqnum_id), from `head` to `tail`.

    `began` and `ended` in microseconds. `closed`: it was renamed for good, and nothing is appended any more.
    """

    path: str
    identity: tuple[int, int]  # device and inode
    sequence: str
    count: int
    head: int
    tail: int
    began: int
    ended: int
    closed: bool

    @property
    def stem(self) -> str:
        """The path as far as it is the same for all files of one writer, such as system or remote-HOST."""
        directory, name = os.path.split(self.path)
        return os.path.join(directory, name.partition("@")[0].removesuffix(".journal"))

    def still(self) -> bool:
        """Whether the path still leads to it."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.identity


class Files:
    """The files in some directories, and in those below that are named for a machine.

    `optional`: some may not exist.
    """

    def __init__(self, directories: Sequence[str], *, optional: bool = False) -> None:
        self._directories = directories
        self._optional = optional
        self._settled: dict[str, tuple[int, JournalFile]] = {}  # by path, with their mtime in ns
        self.trouble: dict[str, str] = {}
        """What could not be read at the last look, by path."""
        self.empty: set[str] = set()
        """The sequences of files that held no entry yet at the last look."""

    def look(self) -> dict[str, list[JournalFile]]:
        """The files as they are now, by sequence. Raises OSError where a directory cannot be read."""
        found: dict[str, list[JournalFile]] = {}
        before, self._settled = self._settled, {}
        self.trouble = {}
        self.empty = set()
        for directory in self._directories:
            try:
                for entry in _entries(directory, deeper=True):
                    if (file := self._file(entry, before.get(entry.path))) is not None:
                        found.setdefault(file.sequence, []).append(file)
            except FileNotFoundError:
                if not self._optional:
                    raise
        return found

    def _file(self, entry: os.DirEntry[str], before: tuple[int, JournalFile] | None) -> JournalFile | None:
        """Whoever appends tells so by truncating the file to the size it has, which sets its time."""
        try:
            status = entry.stat()
        except OSError:  # renamed, or a link to nothing
            return None
        modified, identity = status.st_mtime_ns, (status.st_dev, status.st_ino)
        if before is None or before[0] != modified or before[1].identity != identity:
            now = time.time_ns()
            if (file := self._header(entry.path)) is None:
                return None
            if now - modified < _TICK or file.identity != identity:
                return file
            before = modified, file
        self._settled[entry.path] = before
        return before[1]

    def _header(self, path: str) -> JournalFile | None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.trouble[path] = error.strerror or str(error)
            return None
        try:
            status, content = os.fstat(fd), os.pread(fd, _HEADER.size, 0)
        except OSError as error:
            self.trouble[path] = error.strerror or str(error)
            return None
        finally:
            os.close(fd)
        if len(content) < _HEADER.size:
            return None  # it is being made
        signature, sequence, count, tail, head, began, ended = _HEADER.unpack(content)
        if signature != _SIGNATURE:
            self.trouble[path] = "it is no journal"
            return None
        if not count:
            self.empty.add(sequence.hex())
            return None
        closed = "@" in os.path.basename(path) or path.endswith("~")
        identity = status.st_dev, status.st_ino
        return JournalFile(path, identity, sequence.hex(), count, head, tail, began, ended, closed)


def _entries(directory: str, *, deeper: bool) -> Iterator[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(_NAMES):
                yield entry
            elif deeper and _MACHINE.fullmatch(entry.name) and entry.is_dir():
                yield from _entries(entry.path, deeper=False)
