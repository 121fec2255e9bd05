"""How the texts that a rule's tree matches begin, as far as that can be spelled out in a few literal texts.

Never: guesses. What cannot be spelled out ends the beginning; a beginning that ends at once is the empty text.
"""

from __future__ import annotations

from ..ere import Node
from ..ere.nodes import Alt, Assertion, Capture, Cat, Group, Literal, Repeat, Set

_MOST = 64
_LONGEST = 32

Openings = frozenset[bytes]

_Reached = frozenset[tuple[bytes, bool]]
"""Beginnings, each with whether what comes next in the tree stands right behind it."""
_START: _Reached = frozenset({(b"", True)})


def openings(node: Node) -> Openings:
    """Texts, at most _MOST: whatever `node` matches begins with one of them."""
    return frozenset(text for text, _ in _advance(node, _START))


def spelled_out(node: Node) -> Openings | None:
    """All texts that `node` matches, where these are few and short; the place where they stand is not looked at."""
    reached = _advance(node, _START)
    return frozenset(text for text, _ in reached) if all(goes_on for _, goes_on in reached) else None


def _advance(node: Node, reached: _Reached) -> _Reached:
    """What is reached behind `node`, where `reached` was before it."""
    if not any(goes_on for _, goes_on in reached):
        return reached
    match node:
        case Literal(text):
            return _extended(reached, [text])
        case Set(bits):
            return _extended(reached, _members(bits)) if bits.bit_count() <= _MOST else _ended(reached)
        case Cat(parts):
            for part in parts:
                reached = _advance(part, reached)
            return reached
        case Alt(branches):
            return _limited(frozenset().union(*(_advance(branch, reached) for branch in branches)), reached)
        case Repeat(inner, 0, 1):
            return _limited(reached | _advance(inner, reached), reached)
        case Repeat(inner, low, high) if low:
            for _ in range(min(low, _LONGEST)):
                before, reached = reached, _advance(inner, reached)
                if reached == before:  # and so it stays
                    break
            return reached if high == low <= _LONGEST else _ended(reached)
        case Group(_, inner) | Capture(_, inner):
            return _advance(inner, reached)
        case Assertion():
            return reached
    return _ended(reached)


def _extended(reached: _Reached, texts: list[bytes]) -> _Reached:
    found = {each for each in reached if not each[1]}
    for before, goes_on in reached:
        if goes_on:
            found.update((before + text, len(before + text) < _LONGEST) for text in texts)
    return _limited(frozenset(found), reached)


def _limited(found: _Reached, reached: _Reached) -> _Reached:
    """`found`, or, where that is too much, no more than was `reached` before."""
    return found if len(found) <= _MOST else _ended(reached)


def _ended(reached: _Reached) -> _Reached:
    return frozenset((text, False) for text, _ in reached)


def _members(bits: int) -> list[bytes]:
    return [bytes([byte]) for byte in range(256) if bits >> byte & 1]
