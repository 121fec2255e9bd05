"""Lines to Events."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Container
from typing import cast

from ..model import Event
from . import stamp
from .fragments import FRACTION, HEADER, HOST, PID, PID_TEXT, PROGRAM, RFC_3164, RFC_3339, SECOND, STAMP, ZONE
from .parts import ANY_PROGRAM, Parts, in_tag

_IS_TRADITIONAL = re.compile(rb"%s%s(?:%s)?: " % (HEADER, PROGRAM, PID))
_LINES = re.compile(
    (
        rb"^(?:(?:(%s):(%s)|(%s):(%s)(%s)|%s) (%s) (%s)(?:\[(%s)\])?: (.*)|.*)$"
        % (RFC_3164, SECOND, RFC_3339, FRACTION, ZONE, STAMP, HOST, PROGRAM, PID_TEXT)
    ).decode("latin-1"),
    re.MULTILINE,
)
_LONGEST_PID = 18


def parse(line: bytes, program: str | None, now: float) -> Event:
    """What `line`, without its newline, says. `program` names the program of a line that names none ('*': any).

    A stamp without a year is of the year that puts it last, but not more than a day after `now`; one without a zone
    is in local time. A carriage return at the end is no part of the message.
    """
    line = line.removesuffix(b"\r")
    return event(line, take_apart(line, program, now))


def event(line: bytes, parts: Parts) -> Event:
    """`parts` of `line` as text: UTF-8, with backslash escapes for what is not."""
    text = line.decode("latin-1")
    _, when, host, program, pid, start = parts
    return _decoded(Event(when, host, program, _pid(pid), text[start:], text))


def take_apart(line: bytes, program: str | None, now: float, known: Container[str] = ()) -> Parts:
    """The same for those who go on with bytes. `known` are programs that rules name: where a line may be of any (`*`),
    what its message could begin with too is a tag if it is one of these."""
    text = line.decode("latin-1").replace("\n", " ")
    minute, second, iso_minute, iso_second, zone, host, tag, pid, message = _LINES.match(text).groups()  # type: ignore[union-attr] # it matches anything
    if not tag:
        return _unusual()(text, program_name(program), now, known)
    when = _when(minute, second, iso_minute, iso_second, zone, now)
    return Parts(True, when, host, tag, pid, len(text) - len(message))


@functools.cache
def _unusual() -> Callable[[str, str | None, float, Container[str]], Parts]:
    """What takes apart the lines that are not traditional: where there are none, its regexes need not be compiled."""
    from .unusual import take_apart

    return take_apart


def read(
    block: bytes, ends: list[int], program: str | None, now: float, known: Container[str] = ()
) -> tuple[list[Event], dict[int, Parts]]:
    """The Event of each line of `block` that ends at one of `ends`, and the Parts of those that are not traditional, by
    index.

    As `parse` and `take_apart`, at a tenth of their price where there are many lines.
    """
    events = _divided(block, ends, now)
    others: dict[int, Parts] = {}
    for index in [index for index, found in enumerate(events) if found is None]:
        line = line_at(block, ends[index])
        parts = take_apart(line, program, now, known)
        events[index] = event(line, parts)
        if not parts.traditional:
            others[index] = parts
    return cast("list[Event]", events), others


def line_at(block: bytes, end: int) -> bytes:
    """The line of `block` that ends at this offset, without its newline."""
    return block[block.rfind(b"\n", 0, end) + 1 : end]


def _divided_here(block: bytes, ends: list[int], now: float) -> list[Event | None]:
    """The Event of each line that ends there; None where its header is not traditional."""
    if not ends:
        return []
    text = b"\n".join(line_at(block, end) for end in ends).decode("latin-1")
    events: list[Event | None] = []
    record = tuple.__new__  # half the price of Event(...)
    for raw, (minute, second, iso_minute, iso_second, zone, host, tag, pid, message) in zip(
        text.split("\n"), _LINES.findall(text), strict=True
    ):
        if tag:
            when = _when(minute, second, iso_minute, iso_second, zone, now)
            events.append(record(Event, (when, host, tag, _pid(pid) if pid else None, message, raw, None)))
        else:
            events.append(None)
    return events if text.isascii() else [None if each is None else _decoded(each) for each in events]


def _divided_in_c(block: bytes, ends: list[int], now: float) -> list[Event | None]:
    """The same, but None also where it is not sure."""
    return _traditional.divide(block, ends, Event, stamp.start, functools.partial(stamp.yearless, now=now))


try:
    from . import _traditional
except ImportError:  # built without a compiler
    _divided = _divided_here
else:
    _divided = _divided_in_c


def _when(minute: str, second: str, iso_minute: str, iso_second: str, zone: str, now: float) -> float | None:
    if minute:
        return stamp.yearless(minute, second, now)
    return stamp.absolute(iso_minute, iso_second, zone) if iso_minute else None


def is_traditional(block: bytes, end: int) -> bool:
    """Whether the line of `block` that ends at this offset has a traditional header and a tag."""
    return _IS_TRADITIONAL.match(block, block.rfind(b"\n", 0, end) + 1, end) is not None


def program_name(name: str | None) -> str | None:
    """The name of a program, given in UTF-8, as the rules see it in a line."""
    if name is None or name == ANY_PROGRAM:
        return name
    return in_tag(name.encode("utf-8", "surrogateescape").decode("latin-1")) or None


def _pid(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) <= _LONGEST_PID else None


def _decoded(found: Event) -> Event:
    """An event whose text is still the bytes'."""
    if found.raw.isascii() and (found.program is None or found.program.isascii()):
        return found
    program = None if found.program is None else _text(found.program)
    return found._replace(program=program, message=_text(found.message), raw=_text(found.raw))


def _text(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8", "backslashreplace")
