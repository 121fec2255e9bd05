"""A place in a file, and how to know the file again whatever it is called by then.

A file is its content: its first bytes, and the bytes just before the place, which together no other file has;
device and inode only settle what content cannot (nothing read yet). The cursor of a file source is two places, as
JSON: the one in the file being read, and the one in the file before it in the rotation chain; and the directory into
which rotation moves them, if it does.

Owns: the cursor's format. Never: decides where to go on; see `tail`.
Fails: ValueError for a cursor that is none of ours.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from ..blake2 import blake2b
from .logfile import HEAD, LogFile

TAIL = 256
"""Bytes before the place that tell a file grown on from one emptied and written anew."""


def digest(data: bytes) -> str:
    """What stands for `data` in a place: 64 bits of BLAKE2b."""
    return blake2b(data, digest_size=8).hexdigest()


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
        return len(tail) == size and digest(tail) == self.tail

    def begins(self, log: LogFile) -> bool:
        """Whether `log` starts as the file did, however long it is."""
        size = min(HEAD, self.offset)
        head = log.read_at(0, size)
        return len(head) == size > 0 and digest(head) == self.head

    def gone(self) -> Place:
        """Of a file that is nowhere, which was said: nothing tells of a loss by it again. Should it come back, with a
        file system that was away, its content is still known."""
        return replace(self, inode=0, done=True)

    @property
    def is_gone(self) -> bool:
        """Whether it is what `gone` returned."""
        return not self.inode

    def same_inode(self, device: int, inode: int) -> bool:
        return (self.device, self.inode) == (device, inode)


def dump(before: Place | None, at: Place | None, olddir: str | None = None) -> str:
    """The cursor: JSON of the two places, and of the directory where rotated files go, where that is another."""
    places: dict[str, object] = {"v": 1, "before": before and _plain(before), "at": at and _plain(at)}
    return json.dumps(places if olddir is None else places | {"olddir": olddir}, separators=(",", ":"))


def _plain(place: Place) -> dict[str, object]:
    return {name: getattr(place, name) for name in Place.__slots__}  # asdict() copies deeply: half the cost of a batch


def load(cursor: str) -> tuple[Place | None, Place | None, str | None]:
    """What a cursor was made of, (before, at, olddir). Raises ValueError where it is not one that `dump` wrote."""
    try:
        found = json.loads(cursor)
        if found["v"] != 1:
            raise ValueError(f"version {found['v']}")
        before, at = (found[key] and Place(**found[key]) for key in ("before", "at"))
        return before, at, found.get("olddir")
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a cursor of a file: {error}") from error
