"""Which of many rules may match a text, known without them: by how it begins, and by what stands in it.

To run one rule costs microseconds, to look a text up a tenth of that, and of thousands of rules one or two match a
line. So rules are filed under the first bytes of what they match, and are candidates where the line also holds the
texts without which they cannot match. All lines of a file are looked through at once.

Owns: what is said of a rule's tree for that (`Signs`), and the files.
Never: runs a rule, or leaves out one that matches. It keeps nothing of the lines it sees.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
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
_MOST_TEXTS = 3
_MOST_CASES = 16
_MANY = 32
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
        self._entries: dict[bytes, list[_Entry]] = {}
        for id_, cases in rules:
            for begins, texts in cases:
                for opening in begins:
                    self._entries.setdefault(opening, []).append((texts[0] if texts else b"", texts[1:], id_))
        self._opening = re.compile(rb"(%s).*\n" % _trie({b"", *self._entries}, longest=True)).findall
        self._files: dict[bytes, _File] = {}
        self._by_entries: dict[tuple[_Entry, ...], _File] = {}

    def candidates(self, texts: Sequence[bytes], indices: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
        """The ids of the rules that may match one of the texts with these indices, each with which of them, in order.
        A rule may come more than once, and the same text with it."""
        if not self._entries or not indices:
            return
        filed: defaultdict[_File, list[int]] = defaultdict(list)
        files = self._files
        block = _joined(texts, indices)
        for opening, index in zip(self._opening(block), indices, strict=True):
            filed[files.get(opening) or self._file(opening)].append(index)
        for file, those in filed.items():
            for id_ in file.always:
                yield id_, those
            if file.any_of:
                those = [index for index in those if file.any_of(texts[index])]
            if file.by_text and those:
                left = block if len(those) == len(indices) else _joined(texts, those)
                ends: list[int] = []
                for one, entries in file.by_text.items():
                    if one in left:
                        ends = ends or _ends(texts, those)
                        holding = [those[which] for which in _where(one, left, ends)]
                        yield from _narrowed(entries, texts, holding)

    def _file(self, opening: bytes) -> _File:
        """The file of texts for which `opening` is the longest of all that they begin with."""
        shorter = [opening[:size] for size in range(len(opening) + 1)]
        entries = tuple(entry for each in shorter for entry in self._entries.get(each, ()))
        if entries not in self._by_entries:
            self._by_entries[entries] = _File(entries)
        return self._files.setdefault(opening, self._by_entries[entries])


_Entry = tuple[bytes, tuple[bytes, ...], int]
"""A text that a rule needs, the others, and the rule's id."""


class _File:
    """Rules: those of which nothing more is known, and the others by the first of their texts. `any_of` finds any of
    these, where they are many, so that it takes one look to know that none applies."""

    def __init__(self, entries: Iterable[_Entry]) -> None:
        self.by_text: dict[bytes, list[tuple[tuple[bytes, ...], int]]] = {}
        for text, others, id_ in entries:
            self.by_text.setdefault(text, []).append((others, id_))
        self.always = dict.fromkeys(id_ for _, id_ in self.by_text.pop(b"", ()))
        self.any_of: Callable[[bytes], object] | None = None
        if len(self.by_text) > _MANY:
            self.any_of = re.compile(_trie({text[:_LONGEST] for text in self.by_text}, longest=False)).search


def _joined(texts: Sequence[bytes], indices: Iterable[int]) -> bytes:
    return b"\n".join([*[texts[index] for index in indices], b""])


def _ends(texts: Sequence[bytes], indices: Iterable[int]) -> list[int]:
    """Where each of the texts ends, behind its newline, in their `_joined`."""
    return list(itertools.accumulate([len(texts[index]) + 1 for index in indices]))


def _where(one: bytes, block: bytes, ends: Sequence[int]) -> Iterator[int]:
    """The numbers of the lines of a block that hold a text."""
    at = block.find(one)
    while at >= 0:
        which = bisect_right(ends, at)
        yield which
        at = block.find(one, ends[which])


def _narrowed(
    entries: Iterable[tuple[tuple[bytes, ...], int]], texts: Sequence[bytes], indices: Sequence[int]
) -> Iterator[tuple[int, Sequence[int]]]:
    """The entries, each with the texts that hold all of its others."""
    for others, id_ in entries:
        left = indices
        for other in others:
            left = [index for index in left if other in texts[index]]
        if left:
            yield id_, left


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
