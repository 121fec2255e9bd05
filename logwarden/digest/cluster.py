"""Rows of words that agree in most places, and the shapes among them.

A place where rows differ is a choice (opened, closed) while few words were seen there, and each choice is a shape of
its own. It is variable (a user's name) once there are more, or where one is masked and the others fit its mask: then
the shapes that differ in it alone become one, under the name of the eldest.

Owns: that decision, and the name of a shape. Never: knows programs, limits its own number.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .mask import VARIABLE, mask, measures, pieces
from .model import Part

CHOICES = 4
"""Most words in a place that are told apart. 3 to 5 do nearly alike on real logs of three systems and on invented ones
in the manner of a dozen more: with fewer, a thing's states become one kind; with more, each of a few users has one."""
BEGINNINGS = 16
"""The same of capitalised first words: Starting, Stopped, Reloading. Whatever a line begins with is seldom a name."""
MASKED_WEIGHT = 0.3
"""What agreement in a word without letters counts, where one with letters counts 1."""
ALIASES = 8
"""Most names of merged shapes that the one which remains still answers to."""

_LETTER = re.compile(r"[^\W\d_]")
_SPACE = re.compile(r"(\s+)")

Row = tuple[str, ...]


@dataclass(slots=True, eq=False)
class Shape:
    """A kind of line. `id` is made of its first line's words: the same on every host and after every restart.

    `words` are its template; `first` and `last` when a line of it was seen, POSIX seconds. `merged` is the shape that
    it has become part of, if any; `aliases` are ids of shapes that have become part of this one.
    """

    id: str
    program: str
    words: Row
    first: float
    last: float
    merged: Shape | None = None
    aliases: list[str] = field(default_factory=list)

    @classmethod
    def new(cls, program: str, words: Row, time: float) -> Shape:
        """A shape seen for the first time."""
        text = "\0".join((program, *words)).encode("utf-8", "surrogatepass")
        return cls(hashlib.sha256(text).hexdigest()[:8], program, words, time, time)

    @property
    def root(self) -> Shape:
        """This shape, or the one that it has become part of."""
        shape = self
        while shape.merged is not None:
            shape = shape.merged
        return shape

    @property
    def template(self) -> str:
        """Its words, with `<*>` for what varies."""
        return " ".join(filter(None, self.words))

    def absorb(self, younger: Shape) -> None:
        """Make `younger` part of this shape."""
        younger.merged = self
        self.first, self.last = min(self.first, younger.first), max(self.last, younger.last)
        self.aliases = [*self.aliases, younger.id, *younger.aliases][:ALIASES]

    def mark(self, message: str, places: Collection[int] | None = None) -> tuple[Part, ...]:
        """`message`, a line of this shape, in pieces: variable is what varies in the words at `places`.

        Without `places`: in every word that the template knows as variable.
        """
        parts: list[Part] = []
        texts = _SPACE.split(message.strip())
        for place in reversed(measures(texts[::2])):
            texts[2 * place - 2 : 2 * place + 1] = ["".join(texts[2 * place - 2 : 2 * place + 1])]
        for number, piece in enumerate(texts):
            place, between = divmod(number, 2)
            word = self.words[place] if place < len(self.words) else ""
            chosen = VARIABLE in word if places is None else place in places
            parts += _variable(piece, word) if chosen and not between else [Part(piece)]
        return _joined(parts)


class Cluster:
    """Similar rows of one length. For each place the words seen there, in the order they came; None: it is variable."""

    __slots__ = ("columns", "labels", "shapes")

    def __init__(self, width: int) -> None:
        self.columns: list[list[str] | None] = [[] for _ in range(width)]
        self.labels = [VARIABLE] * width
        self.shapes: dict[Row, Shape] = {}

    def similarity(self, words: Row) -> float:
        """How much of what is not variable agrees: 0 to 1."""
        total = same = 0.0
        for column, word in zip(self.columns, words, strict=True):
            if column is not None and not ("" == word == column[0]):
                weight = 1.0 if _LETTER.search(word) else MASKED_WEIGHT
                total += weight
                if word in column:
                    same += weight
        return same / total if total else 0.0

    @property
    def places(self) -> tuple[int, ...]:
        """The places where anything may stand."""
        return tuple(place for place, column in enumerate(self.columns) if column is None)

    def add(self, program: str, words: Row, time: float) -> Shape:
        """The shape of a row, a new one where it has chosen as none before."""
        opened = [place for place, word in enumerate(words) if self._opens(place, word)]
        if opened:
            self._merge()
        key = self._key(words)
        if key not in self.shapes:
            self.shapes[key] = Shape.new(program, self._labelled(key), time)
        return self.shapes[key]

    def dump(self) -> tuple[list[list[str] | str], list[list[Any]]]:
        """Columns (the words seen; a label where variable) and shapes, as plain data."""
        columns = [label if column is None else column for column, label in zip(self.columns, self.labels, strict=True)]
        known = [[shape.id, list(row), shape.first, shape.last, shape.aliases] for row, shape in self.shapes.items()]
        return columns, known

    @classmethod
    def load(cls, program: str, columns: Sequence[list[str] | str], known: Iterable[Sequence[Any]]) -> Cluster:
        """The cluster that `dump` gave."""
        cluster = cls(len(columns))
        for place, column in enumerate(columns):
            if isinstance(column, str):
                cluster.columns[place], cluster.labels[place] = None, column
            else:
                cluster.columns[place] = column
        for name, row, first, last, aliases in known:
            words = cluster._labelled(tuple(row))
            cluster.shapes[tuple(row)] = Shape(name, program, words, first, last, aliases=aliases)
        return cluster

    def _opens(self, place: int, word: str) -> bool:
        """Take a word in its place; whether that made the place variable."""
        column = self.columns[place]
        if column is None or word in column:
            return False
        few = BEGINNINGS if not place and word[:1].isupper() else CHOICES
        if len(column) < few and not any(_fits(word, other) or _fits(other, word) for other in column):
            column.append(word)
            return False
        self.labels[place] = _label([*column, word])
        self.columns[place] = None
        return True

    def _merge(self) -> None:
        """Make one of the shapes that no choice tells apart any more."""
        shapes, self.shapes = self.shapes, {}
        for row, shape in shapes.items():
            key = self._key(row)
            elder = self.shapes.setdefault(key, shape)
            if elder is not shape:
                elder.absorb(shape)
            elder.words = self._labelled(key)

    def _key(self, words: Row) -> Row:
        return tuple(VARIABLE if column is None else word for column, word in zip(self.columns, words, strict=True))

    def _labelled(self, key: Row) -> Row:
        return tuple(
            label if column is None else word
            for column, label, word in zip(self.columns, self.labels, key, strict=True)
        )


def _fits(word: str, masked: str) -> bool:
    """Whether `word` could stand where `masked` does: `rhost=` and `rhost=<*>`, `root` and `<*>`."""
    before, found, rest = masked.partition(VARIABLE)
    after = rest.rpartition(VARIABLE)[2]
    long_enough = len(word) >= len(before) + len(after)
    return bool(found) and long_enough and word.startswith(before) and word.endswith(after)


def _label(words: Sequence[str]) -> str:
    """What all words begin and end with, as far as it is no letter or digit, around `<*>`: `user=<*>`, `(<*>)`."""
    start = _common(words)
    end = _common([word[len(start) :][::-1] for word in words])[::-1]
    before = re.sub(r"\w+\Z|<\*>?\Z|<\Z", "", start)
    after = re.sub(r"\A\w+|\A<?\*>|\A>", "", end)
    return VARIABLE if VARIABLE in before + after else f"{before}{VARIABLE}{after}"


def _common(words: Sequence[str]) -> str:
    """What all words begin with."""
    differs = (place for place, letters in enumerate(zip(*words, strict=False)) if len(set(letters)) > 1)
    return words[0][: next(differs, min(map(len, words)))]


def _variable(piece: str, word: str) -> list[Part]:
    """A word of a message in pieces, the variable ones told by its mask or else by the template's word."""
    if mask(piece) == word:
        return [Part(text, variable=hidden) for text, hidden in pieces(piece)]
    before, _, rest = word.partition(VARIABLE)
    after = rest.rpartition(VARIABLE)[2]
    if not _fits(piece, word):
        return [Part(piece, variable=True)]
    end = len(piece) - len(after)
    return [Part(before), Part(piece[len(before) : end], variable=True), Part(after)]


def _joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Neighbours of one kind as one, and none empty."""
    joined: list[Part] = []
    for part in parts:
        if joined and joined[-1].variable == part.variable:
            joined[-1] = Part(joined[-1].text + part.text, part.variable)
        elif part.text:
            joined.append(part)
    return tuple(joined)
