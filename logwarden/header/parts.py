"""A line taken apart, before it is text that a person reads."""

from __future__ import annotations

import re
from typing import NamedTuple

from .fragments import PROGRAM

ANY_PROGRAM = "*"
"""The program of a line whose header names none and which is to be tried against the rules of every program."""

_NOT_IN_TAG = dict.fromkeys(re.sub(PROGRAM, b"", bytes(range(256))), "_")


class Parts(NamedTuple):
    """A line taken apart; its text is the line's decoded as latin-1. The message is the line from `start` on.

    `program` consists of what PROGRAM allows, '_' in the place of anything else, or is `*`.
    """

    traditional: bool
    time: float | None
    host: str | None
    program: str | None
    pid: str | None
    start: int


def in_tag(program: str) -> str:
    """A name that a tag could have: '_' in the place of what it could not."""
    return program.translate(_NOT_IN_TAG)
