"""A place in a file, and how to know the file again whatever it is called by then.

A file is its content: its first bytes, and the bytes just before the place, which together no other file has;
device and inode only settle what content cannot (nothing read yet). The cursor of a file source is two places, as
JSON: the one in the file being read, and the one in the file before it in the rotation chain.

Owns: the cursor's format. Never: decides where to go on; see `tail`.
Fails: ValueError for a cursor that is none of ours.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from .lines import Skip
from .logfile import HEAD, LogFile

TAIL = 256
"""Bytes before the place that tell a file grown on from one emptied and written anew."""


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Place:
    """`offset` bytes into the text of a file that began with `head` and had `tail` before the offset (hashes)."""

    device: int
    inode: int
    offset: int
    head: str
    tail: str
    modified: int
    """The file's own modification time, ns, when it was last read."""
    skip: int = 0
    done: bool = False
    """Nobody will write to it any more."""

    def fits(self, log: LogFile) -> bool:
        """Whether `log` holds all that was read so far. False for a place at 0: nothing was, so nothing tells."""
        if not self.offset or not self.begins(log):
            return False
        size = min(TAIL, self.offset)
        tail = log.read_at(self.offset - size, size)
        return len(tail) == size and _hash(tail) == self.tail

    def begins(self, log: LogFile) -> bool:
        """Whether `log` starts as the file did, however long it is."""
        size = min(HEAD, self.offset)
        head = log.read_at(0, size)
        return len(head) == size > 0 and _hash(head) == self.head

    def same_inode(self, device: int, inode: int) -> bool:
        return (self.device, self.inode) == (device, inode)


class Reading:
    """An open file that is being read, and how far. Mutable; `place` says where it stands."""

    def __init__(self, log: LogFile, offset: int = 0, skip: Skip = Skip.NOTHING) -> None:
        self.log = log
        self.skip = skip
        self.modified = log.stat().st_mtime_ns
        self.seen = offset
        """How long the text was when last looked at."""
        self.hold: tuple[int, float] | None = None
        """The end of the text held back for what may follow, and until when."""
        self.jump(offset)

    def jump(self, offset: int) -> None:
        """Stand at `offset`, whatever comes before it."""
        self.offset = offset
        self.head = self.log.read_at(0, min(HEAD, offset))
        self.tail = self.log.read_at(offset - min(TAIL, offset), min(TAIL, offset))

    def advance(self, data: bytes, skip: Skip) -> None:
        """`data` follows what was read before, and is done with."""
        if len(self.head) < HEAD:
            self.head = (self.head + data)[:HEAD]
        self.tail = (self.tail + data[-TAIL:])[-TAIL:]
        self.offset += len(data)
        self.skip = skip

    def intact(self) -> bool:
        """Whether the file still holds what was read. A compressed one never changes."""
        return self.log.packed or self.fits(self.log)

    def fits(self, log: LogFile) -> bool:
        """As Place.fits, by the bytes themselves; true at offset 0."""
        at = self.offset - len(self.tail)
        return log.read_at(0, len(self.head)) == self.head and log.read_at(at, len(self.tail)) == self.tail

    def begins(self, log: LogFile) -> bool:
        """As Place.begins, also for a file shorter than `head`: one whole line of it is the least that tells."""
        head = log.read_at(0, len(self.head))
        return b"\n" in head and self.head.startswith(head)

    def same_inode(self, device: int, inode: int) -> bool:
        return (self.log.device, self.log.inode) == (device, inode)

    def place(self, *, done: bool = False) -> Place:
        """Where it stands now."""
        log = self.log
        return Place(
            log.device, log.inode, self.offset, _hash(self.head), _hash(self.tail), self.modified, int(self.skip), done
        )


def dump(before: Place | None, at: Place | None) -> str:
    """The cursor: JSON of the two places."""
    return json.dumps({"v": 1, "before": before and asdict(before), "at": at and asdict(at)}, separators=(",", ":"))


def load(cursor: str) -> tuple[Place | None, Place | None]:
    """The places of a cursor, (before, at). Raises ValueError where it is not one that `dump` wrote."""
    try:
        found = json.loads(cursor)
        if found["v"] != 1:
            raise ValueError(f"version {found['v']}")
        before, at = (found[key] and Place(**found[key]) for key in ("before", "at"))
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a cursor of a file: {error}") from error
    return before, at
