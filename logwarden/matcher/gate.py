"""The texts without one of which a rule cannot match: what keeps the lines of every other program from attack rules.

Nine lines of ten hold none of the texts that attack rules need, and Hyperscan finds a thousand plain texts eight times
as fast as it matches the rules themselves. So these stand in a database of their own, which sees only the lines that
the texts let through.

Never: guesses. A rule of which no such text is known, or none long enough, is matched against every line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .. import ere
from ..ere import Node
from ..ere.nodes import Alt, Cat, Group, Literal, Repeat
from .openings import openings

SHORTEST = 4
"""Bytes of a text: shorter ones are in too many lines."""
LONG = 12
"""Bytes that tell as much as more of them would."""

Texts = frozenset[bytes]
_Said = (Literal, Alt, Group)
"""What may begin with a text that tells something: no address does."""


def texts(tree: Node) -> Texts | None:
    """Texts of which at least one stands in whatever `tree` matches; None where they are unknown or too short."""
    found = _best(_ways(tree))
    return found if found and _shortest(found) >= SHORTEST else None


def expressions(needed: Iterable[Texts]) -> list[bytes]:
    """As patterns for Hyperscan, what it has to look for. A text that another one stands in is enough for both."""
    every = set().union(*needed)
    return [ere.emit(Literal(text), "hyperscan") for text in sorted(every) if not _holds_another(text, every)]


def _holds_another(text: bytes, every: set[bytes]) -> bool:
    parts = (text[start:end] for start in range(len(text)) for end in range(start + SHORTEST, len(text) + 1))
    return any(part in every and part != text for part in parts)


def _ways(node: Node) -> Iterator[Texts]:
    """Sets of texts of which each would do."""
    match node:
        case Group(_, inner):
            yield from _ways(inner)
        case Repeat(inner, low, _) if low:
            yield from _ways(inner)
        case Alt(branches):
            each = [_best(_ways(branch)) for branch in branches]
            if all(each):
                yield frozenset().union(*each)
        case Cat(parts):
            for before, part in enumerate(parts, start=-1):
                if isinstance(part, _Said) and not (before >= 0 and isinstance(parts[before], Literal)):
                    yield openings(Cat(parts[before + 1 :]))
                yield from _ways(part)
        case Literal(text):
            yield frozenset({text})


def _best(ways: Iterable[Texts]) -> Texts:
    """The longest, and of those the fewest; empty where there are none."""
    return max(ways, key=lambda each: (min(_shortest(each), LONG), -len(each)), default=frozenset())


def _shortest(found: Texts) -> int:
    return min(map(len, found), default=0)
