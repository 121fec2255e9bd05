"""Lines that a rule matches, made from its tree: one for each of its alternatives, the rest as short as it may be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from .nodes import Alt, Capture, Cat, Group, Literal, Node, Repeat, Set

_WISHED = b"a0A/. -_@:x"
"""Bytes that stand for a set, the first that is in it."""
_BRANCHES = 8
_DEPTH = 3


def lines(node: Node) -> Iterator[bytes]:
    """Lines that the rule matches, the plainest first; perhaps some that only a backreference or an anchor forbids."""
    match node:
        case Literal(text):
            yield text
        case Set(bits):
            yield _byte(bits)
        case Alt(branches):
            for branch in branches:
                yield from itertools.islice(lines(branch), _BRANCHES)
        case Repeat(inner, low, high):
            for count in dict.fromkeys((max(low, 1), low, low + 2 if high is None else high)):
                if count <= low + _DEPTH:
                    yield from (text * count for text in itertools.islice(lines(inner), _BRANCHES))
        case Group(_, inner) | Capture(_, inner):
            yield from lines(inner)
        case Cat(parts):
            yield from _all_parts(parts)
        case _:
            yield b""


def _all_parts(parts: tuple[Node, ...]) -> Iterator[bytes]:
    """The plainest line, and then those in which one part is another than its plainest."""
    variants = [list(itertools.islice(lines(part), _BRANCHES)) or [b""] for part in parts]
    plain = [each[0] for each in variants]
    yield b"".join(plain)
    for at, each in enumerate(variants):
        for text in each[1:]:
            yield b"".join((*plain[:at], text, *plain[at + 1 :]))


def _byte(bits: int) -> bytes:
    """A byte of a set."""
    for byte in (*_WISHED, *range(256)):
        if bits >> byte & 1:
            return bytes([byte])
    return b""
