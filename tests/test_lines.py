"""Bytes become whole lines, the same ones however they are cut into chunks."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from logwarden.model import MAX_LINE
from logwarden.sources.lines import Skip, cut, join, split

LONG = b"x" * (MAX_LINE + 1)

texts = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([b"\n", b"\0", b"\0\0\0", b"\r\n", b"a line\n", b"x" * MAX_LINE, LONG, LONG * 3]),
    ),
    max_size=12,
).map(b"".join)


def plainly(text: bytes) -> list[bytes]:
    """What the lines of a whole text are, said as simply as can be."""
    return [re.sub(rb"\A\0+", b"", line)[: MAX_LINE + 1] for line in text.split(b"\n")[:-1]]


@given(texts, st.lists(st.integers(1, 3 * MAX_LINE), max_size=8))
def test_lines_are_the_same_however_the_text_arrives(text: bytes, arrivals: list[int]) -> None:
    text += b"\n"
    lines: list[bytes] = []
    offset, skip, seen = 0, Skip.NOTHING, 0
    for size in [*arrivals, len(text)]:
        seen = min(len(text), seen + size)
        while True:
            piece = cut(text[offset : min(seen, offset + 4 * MAX_LINE)], skip)
            lines += piece.block.split(b"\n")[:-1]
            assert piece.block.count(b"\n") == piece.count
            if not piece.used:
                break
            offset, skip = offset + piece.used, piece.skip
    assert lines == plainly(text)
    assert offset == len(text)


@given(texts, st.booleans(), st.booleans())
def test_the_quick_way_and_the_careful_way_agree(text: bytes, skipping: bool, final: bool) -> None:
    skip = Skip.LINE if skipping else Skip.NOTHING
    pieces = list(split(text, skip, final=final))
    done = cut(text, skip, final=final)
    assert done.block == b"".join(piece.text + b"\n" for piece in pieces if piece.text is not None)
    assert done.used == (pieces[-1].end if pieces else 0)


@given(texts)
def test_no_line_is_longer_than_may_be(text: bytes) -> None:
    done = cut(text, final=True)
    assert all(len(line) <= MAX_LINE + 1 for line in done.block.split(b"\n"))


def test_a_line_of_just_the_limit_is_whole_and_one_byte_more_is_cut() -> None:
    assert cut(b"x" * MAX_LINE + b"\n").block == b"x" * MAX_LINE + b"\n"
    assert cut(b"x" * MAX_LINE).used == 0
    assert cut(LONG).skip is Skip.LINE
    assert cut(LONG + b"yyy\nz\n").block == LONG + b"\nz\n"


def test_at_the_end_a_line_without_newline_is_a_line() -> None:
    assert cut(b"one\ntwo", final=True).block == b"one\ntwo\n"


def test_an_event_is_held_back_until_a_line_shows_that_it_is_over() -> None:
    pieces = list(split(b"a\n b\n c\nd\n e\n"))
    held = join(pieces, lambda line: line.startswith(b" "))
    assert held.block == b"a#012 b#012 c\n"
    assert held.used == len(b"a\n b\n c\n")
    assert join(pieces, lambda line: line.startswith(b" "), flush=True).block == b"a#012 b#012 c\nd#012 e\n"


@given(texts)
def test_joining_loses_no_short_line(text: bytes) -> None:
    pieces = [piece for piece in split(text, final=True) if piece.text is not None and len(piece.text) < 100]
    done = join(pieces, lambda line: line.startswith(b"\r"), flush=True)
    assert done.block.replace(b"#012", b"\n") == b"".join((piece.text or b"") + b"\n" for piece in pieces).replace(
        b"#012", b"\n"
    )
