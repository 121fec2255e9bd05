"""How a line is shown to the engines, and what a rule may look at in it.

The patterns know the traditional layouts (`header.HEADER`). A line whose header or tag is of another kind is shown a
second time, in a canonical form: a traditional header that says nothing, then tag and message.

Owns: that form. It is never mixed with raw lines, so that no raw line can be taken for it. And for whom it is: a rule
of logcheck's for what follows a header has no word for a line that has none, nor a second one where it has seen the
line.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .. import header
from ..header import Parts

_HEADER = b"Jan  1 00:00:00 - "
_TRADITIONAL = re.compile(header.HEADER)
_TAG = rb"(?:(%s)(?:%s)?: )?" % (header.PROGRAM, header.PID)
_LINE = re.compile(rb"(%s)%s" % (header.HEADER, _TAG))
_LINES = re.compile(rb"^(?:%s(%s(.*))|.*)\n" % (header.HEADER, _TAG), re.MULTILINE)


def canonical(line: bytes, parts: Parts) -> bytes:
    """The canonical form of `line`, whose tag stands in front only where its program is known."""
    message = line[parts.start :]
    if not has_program(parts):
        return _HEADER + message
    tag = parts.program if parts.pid is None else f"{parts.program}[{parts.pid}]"
    return b"%s%s: %s" % (_HEADER, (tag or "").encode("latin-1"), message)


def has_program(parts: Parts) -> bool:
    """Whether it is known which program wrote the line: not none, and not any."""
    return parts.program is not None and parts.program != header.ANY_PROGRAM


def has_other_header(line: bytes, parts: Parts) -> bool:
    """Whether a line has a header, and none that the patterns know: behind one that they know they have seen the tag as
    it is written (`su:x`, `su[1] x`), as grep does."""
    return parts.start > 0 and (parts.host is None or not _TRADITIONAL.match(line))


class View(NamedTuple):
    """The parts of a line that a rule may look at; None: there is no such part.

    `text` is what follows the header: tag and message. `program` is `*` where it may be any.
    """

    raw: bytes | None
    text: bytes | None
    program: bytes | None
    message: bytes | None


class Views(NamedTuple):
    """The same of many lines: each part of each line, and which of the lines have it, by their indices. What stands
    in the place of a part that a line has not means nothing."""

    raws: Sequence[bytes]
    texts: Sequence[bytes]
    messages: Sequence[bytes]
    with_raw: Sequence[int]
    with_text: Sequence[int]
    with_message: Mapping[bytes | None, Sequence[int]]
    """By program."""


def views(block: bytes) -> Views:
    """What rules see of each line of a block of whole lines."""
    raws = block.split(b"\n")[:-1]
    texts, programs, messages = zip(*_LINES.findall(block), strict=True) if raws else ((), (), ())
    with_text = [index for index, text in enumerate(texts) if text or _LINE.match(raws[index])]
    with_message: defaultdict[bytes | None, list[int]] = defaultdict(list)
    for index, program in enumerate(programs):
        with_message[program].append(index)
    with_message.pop(b"", None)
    return Views(raws, texts, messages, range(len(raws)), with_text, with_message)


def message_views(shown: Sequence[tuple[bytes, Parts]]) -> Views:
    """What native rules see of lines whose program is not known."""
    with_message: defaultdict[bytes | None, list[int]] = defaultdict(list)
    for index, (_, parts) in enumerate(shown):
        with_message[None if parts.program is None else parts.program.encode("latin-1")].append(index)
    nothing = (b"",) * len(shown)
    return Views(nothing, nothing, [line[parts.start :] for line, parts in shown], (), (), with_message)


def view(line: bytes) -> View:
    """What rules see of a line that is shown to an engine."""
    found = _LINE.match(line)
    if not found:
        return View(line, None, None, None)
    return View(line, line[found.end(1) :], found[2], line[found.end() :] if found[2] else None)
