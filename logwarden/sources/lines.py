"""Cut a chunk of bytes into whole lines, and join continuation lines into events. Pure.

Owns: what a line is. It ends at a newline; a `\\r` before it stays. One longer than MAX_LINE is cut to MAX_LINE + 1
bytes, and the rest of it is skipped without being held. A run of NULs at its start is dropped: that is what a
crash, or a writer that does not append after copytruncate, leaves before the first real byte.
Never: decodes. Bytes are data.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..model import BLOCK, MAX_LINE

FULL = BLOCK - MAX_LINE - 2
"""Bytes after which nothing more is added to a block, so that it stays below BLOCK with the line that came last."""

NEWLINE = b"#012"
"""How a newline within an event is written: rsyslog's way, and so what rules are already written for."""


class Skip(enum.IntFlag):
    """What of the bytes ahead belongs to a line that was already handed over, cut."""

    NOTHING = 0
    LINE = 1
    EVENT = 2


@dataclass(frozen=True, slots=True)
class Cut:
    """Whole lines out of a chunk: `used` bytes of it are done with, the rest must be read again with more behind it."""

    block: bytes
    count: int
    used: int
    skip: Skip = Skip.NOTHING
    nuls: int = 0
    """NUL bytes dropped from the starts of lines."""


NOTHING = Cut(b"", 0, 0)


def cut(chunk: bytes, skip: Skip = Skip.NOTHING, *, final: bool = False) -> Cut:
    """Take the whole lines off `chunk`. `final`: nothing will follow, so a last line without newline is a line."""
    start = 0
    if skip & Skip.LINE:
        start = chunk.find(b"\n") + 1
        if not start:
            return Cut(b"", 0, len(chunk), skip)
    end = chunk.rfind(b"\n") + 1
    plain = len(chunk) - end <= MAX_LINE and not (final and end < len(chunk))
    if plain and b"\0" not in chunk and not _any_long(chunk, start, end):
        return Cut(chunk[start:end], chunk.count(b"\n", start, end), end)
    pieces = list(split(chunk, skip, final=final))
    texts = [piece.text for piece in pieces if piece.text is not None]
    return Cut(
        b"".join(text + b"\n" for text in texts),
        len(texts),
        pieces[-1].end if pieces else start,
        pieces[-1].skip if pieces else Skip.NOTHING,
        sum(piece.nuls for piece in pieces),
    )


def _any_long(chunk: bytes, start: int, end: int) -> bool:
    """Whether a line within is longer than MAX_LINE: hop from newline to newline, each as far on as one may be."""
    while end - start > MAX_LINE:
        newline = chunk.rfind(b"\n", start, start + MAX_LINE + 1)
        if newline < 0:
            return True
        start = newline + 1
    return False


class Piece(NamedTuple):
    """One line without its newline (None: NULs only, no line yet) and the offset in the chunk that stands behind it."""

    text: bytes | None
    end: int
    skip: Skip = Skip.NOTHING
    nuls: int = 0


def split(chunk: bytes, skip: Skip = Skip.NOTHING, *, final: bool = False) -> Iterator[Piece]:
    """The lines of `chunk` one by one: the careful way that `cut` takes where the quick one does not do."""
    start = 0
    if skip & Skip.LINE:
        start = chunk.find(b"\n") + 1
        if not start:
            yield Piece(None, len(chunk), skip)
            return
        yield Piece(None, start, skip & ~Skip.LINE)
    while (newline := chunk.find(b"\n", start)) >= 0:
        text = chunk[start:newline].lstrip(b"\0")
        yield Piece(text[: MAX_LINE + 1], newline + 1, nuls=newline - start - len(text))
        start = newline + 1
    rest = chunk[start:]
    text = rest.lstrip(b"\0")
    nuls = len(rest) - len(text)
    if len(text) > MAX_LINE:
        yield Piece(text[: MAX_LINE + 1], len(chunk), Skip.LINE, nuls)
    elif text and final:
        yield Piece(text, len(chunk), nuls=nuls)
    elif text and nuls:  # NULs with nothing behind them may yet be written over: those stay
        yield Piece(None, start + nuls, nuls=nuls)


def join(
    pieces: list[Piece], continues: Callable[[bytes], object], skip: Skip = Skip.NOTHING, *, flush: bool = False
) -> Cut:
    """Join each piece that `continues` accepts to the one before it, as one event with NEWLINE between.

    The last event is held back, since more of it may follow, unless `flush` says that none will or it is too long
    already. A first piece that continues an event handed over before stands alone, or is dropped where that
    event was cut for its length.
    """
    events: list[tuple[bytes, int]] = []
    used, after, swallow = 0, skip & Skip.LINE, bool(skip & Skip.EVENT)
    nuls = 0
    for piece in pieces:
        after = piece.skip & Skip.LINE
        nuls += piece.nuls
        if piece.text is None:
            used = piece.end if not events else used
            continue
        if events and continues(piece.text):
            events[-1] = ((events[-1][0] + NEWLINE + piece.text)[: MAX_LINE + 1], piece.end)
        elif not events and swallow and continues(piece.text):
            used = piece.end
        else:
            events.append((piece.text, piece.end))
            swallow = False
    if events and not flush and len(events[-1][0]) <= MAX_LINE:
        events.pop()
        after = Skip.NOTHING
    elif events:
        swallow = len(events[-1][0]) > MAX_LINE
    block = b"".join(text + b"\n" for text, _ in events)
    return Cut(block, len(events), events[-1][1] if events else used, after | (Skip.EVENT if swallow else 0), nuls)
