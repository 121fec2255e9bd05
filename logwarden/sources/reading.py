"""An open file that is being read, and how far.

Owns: the bytes by which the file is known, and what is held back: half a line, or the last event of a log with
continuation lines. Never: looks beyond its own file; closes it.
Fails: OSError where the file cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ConfigError
from ..model import BLOCK, MAX_LINE
from .lines import Cut, Skip, cut, join, split
from .logfile import HEAD, LogFile
from .place import TAIL, Place, digest

HOLD = 1.0
"""Seconds that the last event of a log with continuation lines waits for more of it."""
_PATIENCE = 0.1  # seconds for one match of `continues`, a pattern from the config on a text from anyone

Continues = Callable[[bytes], bool]
"""Whether a line continues the one before it."""


def continuation(pattern: str) -> Continues:
    """A line that starts with a match continues the line before it. Raises ConfigError where it does not compile."""
    import regex  # few logs have lines that continue others

    try:
        compiled = regex.compile(pattern.encode())
    except regex.error as error:
        raise ConfigError(f"continues: {pattern!r}: {error}") from error

    def continues(line: bytes) -> bool:
        try:
            return compiled.match(line, timeout=_PATIENCE) is not None
        except TimeoutError:
            return False

    return continues


class Reading:
    """Mutable; `place` says where it stands."""

    def __init__(self, log: LogFile, offset: int = 0, skip: Skip = Skip.NOTHING) -> None:
        self.log = log
        self.skip = skip
        self.modified = log.stat().st_mtime_ns
        self.seen = offset
        """How long the text was when last looked at."""
        self.hold: tuple[int, float] | None = None
        """The end of the text held back for what may follow, and until when."""
        self._jump(offset)

    def _jump(self, offset: int) -> None:
        self.offset = offset
        self.head = self.log.read_at(0, min(HEAD, offset))
        self.tail = self.log.read_at(offset - min(TAIL, offset), min(TAIL, offset))

    # --- what is known of the file ------------------------------------------------------------------------------

    def place(self, *, done: bool = False) -> Place:
        """Where it stands now."""
        log, head, tail = self.log, digest(self.head), digest(self.tail)
        return Place(log.device, log.inode, self.offset, head, tail, self.modified, int(self.skip), done)

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

    # --- reading on ---------------------------------------------------------------------------------------------

    def look(self) -> bytes | None:
        """The bytes that follow, up to BLOCK, without being done with them. None: it no longer holds what was read."""
        found = self.log.stat()
        chunk = self.log.read_at(self.offset, BLOCK)
        if not self.log.packed and not self.fits(self.log):  # asked after the reading, so that the chunk is its too
            return None
        self.seen = max(0 if self.log.packed else found.st_size, self.offset + len(chunk))
        self.modified = found.st_mtime_ns
        return chunk

    def take(self, chunk: bytes, now: float, continues: Continues | None, *, final: bool) -> Cut | None:
        """Be done with the whole lines, or events, of `chunk`, which follows; None where there is none.

        `final`: nothing will follow, so a last line without newline is a line.
        """
        piece = self._cut(chunk, now, continues, final=final and len(chunk) < BLOCK)
        if piece.used:
            self._advance(chunk, piece.used, piece.skip)
            return piece
        if len(chunk) < BLOCK:
            return None
        return self._over_hole()

    def _advance(self, chunk: bytes, used: int, skip: Skip) -> None:
        if len(self.head) < HEAD:
            self.head = (self.head + chunk[: min(used, HEAD)])[:HEAD]
        self.tail = (self.tail + chunk[max(0, used - TAIL) : used])[-TAIL:]
        self.offset += used
        self.skip = skip

    def _cut(self, chunk: bytes, now: float, continues: Continues | None, *, final: bool) -> Cut:
        if continues is None:
            return cut(chunk, self.skip, final=final)
        end = self.offset + len(chunk)
        if self.hold is None or self.hold[0] != end or self.hold[1] - now > HOLD:  # or the clock was set back
            self.hold = (end, now + HOLD)
        over = now >= self.hold[1]
        pieces = list(split(chunk, self.skip, final=final))
        piece = join(pieces, continues, self.skip, flush=final or over)
        if not piece.used and len(chunk) == BLOCK:
            piece = join(pieces, continues, self.skip, flush=True)
        if self.offset + piece.used == end or (over and not piece.used):
            self.hold = None
        return piece

    def _over_hole(self) -> Cut | None:
        """The next block holds NULs only: go on where something else begins, if anything does."""
        start = self.offset
        offset = self.log.data_from(start)
        while chunk := self.log.read_at(offset, BLOCK):
            if text := chunk.lstrip(b"\0"):
                self._jump(offset + len(chunk) - len(text))
                return Cut(b"", 0, 0, self.skip, self.offset - start)
            offset = self.log.data_from(offset + len(chunk))
        return None


def line_start(log: LogFile, end: int) -> int:
    """Where the line begins that is unfinished at `end`; `end` itself where none is."""
    before = log.read_at(max(0, end - MAX_LINE), min(MAX_LINE, end))
    return end - len(before) + before.rfind(b"\n") + 1
