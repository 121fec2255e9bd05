"""Which of many rules may match a text, known without them: by how it begins, and by what stands in it.

To run one rule costs microseconds, to look a text up a tenth of that, and of thousands of rules one or two match a
line. So rules are filed under the first bytes of what they match, and are candidates where the line also holds the
texts without which they cannot match.

Owns: what is said of a rule's tree for that (`Signs`), and the files.
Never: runs a rule, or leaves out one that matches. It keeps nothing of the lines it sees.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .. import ere
from ..ere import Node
from ..ere.nodes import Alt, Assertion, At, Capture, Cat, Group
from .openings import Openings, openings

_SIZES = (16, 12, 9, 7, 5, 4, 3, 2, 1, 0)
"""Lengths of first bytes under which rules are filed: a line looks into one file of each that is in use."""
_SHORTEST = 3
"""Bytes of a text that is worth being looked for: `: ` is in every line."""
_LONGEST = 32
"""Bytes of a text that are looked for where many are: the rest tells little, and a regex has to be compiled of them."""
_MOST_TEXTS = 8
_MOST_CASES = 16
_MANY = 6
"""Texts of a file that are not looked for one by one before it is known that one of them is there."""


class Signs(NamedTuple):
    """What is known of all that a rule matches: it begins with one of `openings`, and each of `texts` stands in it."""

    openings: Openings
    texts: tuple[bytes, ...]


def signs(tree: Node, *, anywhere: bool) -> list[Signs]:
    """Signs of which one holds for whatever a tree matches at the start of a text, or `anywhere` in it."""
    return [_signs(case, anywhere=anywhere) for case in _cases(tree)]


def _signs(tree: Node, *, anywhere: bool) -> Signs:
    floats = anywhere and not (isinstance(tree, Cat) and tree.parts[:1] == (Assertion(At.LINE_START),))
    begins = frozenset({b""}) if floats else _cut(openings(tree))
    texts = {text for text in ere.required_texts(tree) if len(text) >= _SHORTEST}
    news = [text for text in texts if not all(text in opening for opening in begins)]
    return Signs(begins, tuple(sorted(news, key=len, reverse=True)[:_MOST_TEXTS]))


def _cut(texts: Openings) -> Openings:
    """The same openings at sizes in use, none of which begins with another."""
    cut = {text[: next(size for size in _SIZES if size <= len(text))] for text in texts}
    return frozenset(text for text in cut if not any(text[:size] in cut for size in range(len(text))))


def _cases(node: Node) -> list[Node]:
    """Trees that together match what `node` matches."""
    match node:
        case Alt(branches) if len(branches) <= _MOST_CASES:
            cases = [case for branch in branches for case in _cases(branch)]
        case Group(_, inner) | Capture(_, inner):
            cases = _cases(inner)
        case _:
            return [node]
    return cases if len(cases) <= _MOST_CASES else [node]


class Prefilter:
    """Rules by their signs."""

    def __init__(self, rules: Iterable[tuple[int, Sequence[Signs]]]) -> None:
        self._files: dict[bytes, _File] = {}
        for id_, cases in rules:
            for begins, texts in cases:
                for opening in begins:
                    self._files.setdefault(opening, _File()).add(id_, texts)
        self._sizes = sorted(set(map(len, self._files)))

    def candidates(self, text: bytes) -> list[int]:
        """The ids of the rules that may match `text`, none twice."""
        found: list[int] = []
        for size in self._sizes:
            if size > len(text):
                break
            if file := self._files.get(text[:size]):
                found += file.candidates(text)
        return found if len(found) < 2 else list(dict.fromkeys(found))


class _File:
    """Rules under the same first bytes, each with a text that it needs, and the others."""

    def __init__(self) -> None:
        self._entries: list[tuple[bytes, tuple[bytes, ...], int]] = []

    def add(self, id_: int, texts: tuple[bytes, ...]) -> None:
        self._entries.append((texts[0] if texts else b"", texts[1:], id_))

    def candidates(self, text: bytes) -> list[int]:
        if self._any and not self._any.search(text):
            return []
        found = [entry for entry in self._entries if entry[0] in text]
        return [id_ for _, others, id_ in found if all(other in text for other in others)] if found else []

    @functools.cached_property
    def _any(self) -> re.Pattern[bytes] | None:
        """What finds out at once that none of many entries applies: any of their texts, as one regex."""
        texts = {text[:_LONGEST] for text, _, _ in self._entries}
        return re.compile(_any_of(texts)) if len(texts) > _MANY and b"" not in texts else None


def _any_of(texts: Iterable[bytes]) -> bytes:
    """A regex of any of some texts as a tree of bytes, in which no place of a line is looked at twice in vain."""
    tails: dict[int, set[bytes]] = {}
    for text in texts:
        if not text:
            return b""
        tails.setdefault(text[0], set()).add(text[1:])
    branches = [re.escape(bytes([first])) + _any_of(rest) for first, rest in tails.items()]
    return branches[0] if len(branches) == 1 else b"(?:%s)" % b"|".join(branches)
