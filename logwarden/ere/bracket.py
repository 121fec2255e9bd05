"""Bracket expressions, `[...]`, exactly as GNU grep reads them in the C locale.

Source: POSIX.1-2017, XBD 9.3.5, and where that leaves it open the behaviour of GNU grep 3.8, which the tests ask.
Fails with a RuleError in grep's own words.
"""

from __future__ import annotations

import functools
import re

from ..errors import RuleError
from .nodes import ANY, CLASSES, NEWLINE

_PLAIN = re.compile(rb"\[\^?+\]?+(?:\[:[a-z]+:\]|[^\]\[])*\]")
_UNMATCHED = "unmatched ["
_RANGE = "invalid range end"
_NAME_LIMIT = 32  # longest name between [: and :], as in glibc


def read(pattern: bytes, start: int) -> tuple[int, int, bool]:
    """The bracket expression that opens at `start`: the mask of its bytes, where it ends, and whether it names
    a collating element, which sends grep from its automaton to its other engine."""
    if plain := _PLAIN.match(pattern, start):
        bits, end, named = _read_cached(plain[0])
        return bits, start + end, named
    return _Bracket(pattern, start).read()


@functools.lru_cache(maxsize=1024)
def _read_cached(text: bytes) -> tuple[int, int, bool]:
    """The same few brackets make up most of a rule base."""
    return _Bracket(text, 0).read()


class _Bracket:
    """One pass over one bracket expression."""

    def __init__(self, pattern: bytes, start: int) -> None:
        self.pattern = pattern
        self.at = start + 1
        self.named = False
        self.literals = b""  # its single characters so far
        self.compound = False  # a class, a range or a collating element was seen

    def read(self) -> tuple[int, int, bool]:
        inverted = self.peek() == b"^"
        self.at += inverted
        bits = self.element()
        while self.peek() != b"]":
            bits |= self.element()
        self.refuse_bare_class()
        return (ANY & ~bits if inverted else bits & ~NEWLINE), self.at + 1, self.named

    def peek(self) -> bytes:
        if self.at >= len(self.pattern):
            raise RuleError(_UNMATCHED)
        return self.pattern[self.at : self.at + 1]

    def element(self) -> int:
        """One character, range, class or collating element. A ']' that comes first is a character."""
        low, bits = self.atom()
        if low is None or self.peek() != b"-":
            return bits
        after = self.pattern[self.at + 1 : self.at + 2]
        if after == b"]":
            return bits
        self.at += 1
        self.peek()
        high, _ = self.atom(ends_range=True)
        self.compound = True
        if high is None or low > high:
            raise RuleError(_RANGE)
        return (1 << high + 1) - (1 << low)

    def atom(self, *, ends_range: bool = False) -> tuple[int | None, int]:
        """A character with its mask, or None with the mask of a class, which can be no end of a range."""
        opening = self.pattern[self.at : self.at + 2]
        if opening in (b"[:", b"[.", b"[="):
            return self.symbol(opening[1:], self.symbol_name(opening[1:]))
        character = self.peek()
        first = self.pattern[self.at - 1 : self.at] in (b"[", b"^") and not self.literals and not self.compound
        self.at += 1
        if character == b"-" and not (first or ends_range) and self.peek() != b"]":
            raise RuleError(_RANGE)
        self.literals += character
        return character[0], 1 << character[0]

    def symbol_name(self, kind: bytes) -> bytes:
        closing = self.pattern.find(kind + b"]", self.at + 2)
        name = self.pattern[self.at + 2 : closing]
        if closing < 0 or len(name) >= _NAME_LIMIT or closing + 2 >= len(self.pattern):
            raise RuleError(_UNMATCHED)
        self.at = closing + 2
        return name

    def symbol(self, kind: bytes, name: bytes) -> tuple[int | None, int]:
        self.compound = True
        if kind == b":":
            if name not in CLASSES:
                raise RuleError(f"invalid character class name [:{name.decode('latin-1')}:]")
            return None, CLASSES[name]
        self.named = True
        if len(name) != 1:
            raise RuleError("invalid collation character")
        return (name[0] if kind == b"." else None), 1 << name[0]

    def refuse_bare_class(self) -> None:
        """`[:space:]` for `[[:space:]]`: grep will not have it."""
        if self.compound or not self.literals.strip(b":"):
            return
        if self.literals.startswith(b":") and self.literals.endswith(b":"):
            raise RuleError("character class syntax is [[:space:]], not [:space:]")
