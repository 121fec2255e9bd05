"""Which of many rules may match a text, known without them: by how it begins, and by what stands in it.

To run one rule costs microseconds, to look a text up a tenth of that, and of thousands of rules one or two match a
line. So rules are filed under the first bytes of what they match, and are candidates where the line also holds the
texts without which they cannot match.

Owns: what is said of a rule's tree for that (`Signs`), and the files.
Never: runs a rule, or leaves out one that matches. It keeps nothing of the lines it sees.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .. import ere
from ..ere import Node
from ..ere.nodes import Alt, Assertion, At, Capture, Cat, Group
from .openings import Openings, openings

_OPENING = 16
"""First bytes under which rules are filed."""
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
    news = [text for text in _texts(tree) if not all(text in opening for opening in begins)]
    return Signs(begins, tuple(sorted(news, key=len, reverse=True)[:_MOST_TEXTS]))


def _texts(tree: Node) -> set[bytes]:
    return {text for text in ere.required_texts(tree) if len(text) >= _SHORTEST}


def _cut(texts: Openings) -> Openings:
    """The same openings, none of which begins with another."""
    cut = {text[:_OPENING] for text in texts}
    return frozenset(text for text in cut if not any(text[:size] in cut for size in range(len(text))))


def _cases(node: Node) -> list[Node]:
    """Trees that together match what `node` matches."""
    match node:
        case Alt(branches) if len(branches) <= _MOST_CASES:
            cases = [case for branch in branches for case in _cases(branch)]
        case Group(_, inner) | Capture(_, inner):
            cases = _cases(inner)
        case Cat(parts):
            return _combined(parts)
        case _:
            return [node]
    return cases if len(cases) <= _MOST_CASES else [node]


def _combined(parts: Sequence[Node]) -> list[Node]:
    """The cases of one part after the other, of those whose every case has a text to look for."""
    cases: list[tuple[Node, ...]] = [()]
    for part in parts:
        each = _cases(part)
        if len(cases) * len(each) > _MOST_CASES or not all(map(_texts, each)):
            each = [part]
        cases = [(*before, one) for before in cases for one in each]
    return [Cat(case) for case in cases]


class Prefilter:
    """Rules by their signs."""

    def __init__(self, rules: Iterable[tuple[int, Sequence[Signs]]]) -> None:
        self._entries: dict[bytes, list[_Entry]] = {b"": []}
        for id_, cases in rules:
            for begins, texts in cases:
                for opening in begins:
                    self._entries.setdefault(opening, []).append((texts[0] if texts else b"", texts[1:], id_))
        self._opening = re.compile(_trie(self._entries, longest=True)).match
        self._files: dict[bytes, _File] = {}

    def candidates(self, text: bytes) -> list[int]:
        """The ids of the rules that may match `text`, none twice."""
        opening = self._opening(text)[0]  # type: ignore[index]  # one of them is empty
        file = self._files.get(opening) or self._file(opening)
        found = list(file.always)
        if file.any_of is None or file.any_of.search(text):
            for one, others, id_ in file.entries:
                if one in text:
                    for other in others:
                        if other not in text:
                            break
                    else:
                        found.append(id_)
        return found if len(found) < 2 else list(dict.fromkeys(found))

    def _file(self, opening: bytes) -> _File:
        """The file of texts for which `opening` is the longest of all that they begin with."""
        shorter = [opening[:size] for size in range(len(opening) + 1)]
        entries = [entry for each in shorter for entry in self._entries.get(each, ())]
        always = [id_ for text, _, id_ in entries if not text]
        texts = {text[:_LONGEST] for text, _, _ in entries if text}
        any_of = re.compile(_trie(texts, longest=False)) if len(texts) > _MANY else None
        return self._files.setdefault(opening, _File(always, [entry for entry in entries if entry[0]], any_of))


_Entry = tuple[bytes, tuple[bytes, ...], int]
"""A text that a rule needs, the others, and the rule's id."""


class _File(NamedTuple):
    """Rules: those of which nothing more is known, and the others. `any_of` finds any of the first texts of these,
    where they are many, so that it takes one look to know that none applies."""

    always: list[int]
    entries: list[_Entry]
    any_of: re.Pattern[bytes] | None


def _trie(texts: Iterable[bytes], *, longest: bool) -> bytes:
    """A regex of the longest (else the shortest) of some texts, as a tree of bytes: it looks at no byte twice."""
    tails: dict[int, set[bytes]] = {}
    for text in texts:
        tails.setdefault(text[0] if text else -1, set()).add(text[1:])
    ends = tails.pop(-1, None) is not None
    if not tails or (ends and not longest):
        return b""
    branches = [re.escape(bytes([first])) + _trie(rest, longest=longest) for first, rest in tails.items()]
    return b"(?:%s)%s" % (b"|".join(branches), b"?" if ends else b"")
