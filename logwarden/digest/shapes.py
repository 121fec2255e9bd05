"""Which lines are of one kind: an online template miner, for each program.

A message is a row of words, masked (`mask`). Rows of one program and one length that agree in half of their words are a
cluster (`cluster`), and its shapes are the kinds. In the family of Drain (He et al., 2017); telling a choice from a
variable part by how many words were seen in its place is Brain's idea (Yu et al., 2023), made to work line by line.

drain3 0.9.11 was measured and not taken: it put 0.72 of OpenSSH's and 0.62 of Linux's sample lines into their true
groups, read 8,000 to 60,000 lines/s, numbers its groups as they come (so that an id means nothing elsewhere), and wants
one exact old version of each of its dependencies.

Owns: the way from a message to its shape, in a few microseconds; the bounds of its memory; what is kept on disk.
Never: forgets a shape while it learns: where there are too many, what is new goes into one shape for the rest.
Fails: never. What `load` does not know how to read is as if it had not been kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..header import ANY_PROGRAM
from .cluster import Cluster, Row, Shape
from .mask import VARIABLE, Masked, split

NAMED = "user"
"""The word that a name follows, where daemons speak of one: a few users are no few kinds of line."""
_LEVELS = "TRACE DEBUG INFO NOTICE WARN WARNING ERR ERROR SEVERE CRIT CRITICAL FAILURE FATAL ALERT EMERG"
LEVELS = {form.format(level) for form in ("{}", "{}:", "[{}]") for level in _LEVELS.split()}
"""Words that end the header of a line that no known header begins."""
LETTERS = set("VDIWEF")
"""The same, where all before is stamp."""
HEADER, STAMP = 12, 2
"""Most words of such a header, and how many of them vary at least."""
SIMILAR = 0.5
"""Least agreement with a cluster that a row may join."""
MESSAGE = 1000
"""Characters of a message that count."""
SPEAKER = 2_000
"""Most clusters of one program, half of them kept: a stranger's lines of each length that share words with all take a
second."""
CLUSTERS, SHAPES = 256, 20_000
"""Most clusters of one program and length, and most shapes in all, while learning."""
KEPT_CLUSTERS, KEPT_SHAPES = 128, 5_000
"""Most of them that `dump` gives, those seen last: what an attack has filled is empty again in the next period."""
FORMAT = 3
"""Version of what `dump` gives: a new one for new masks too, for rows masked otherwise are never met again."""
CACHED_WORDS = 500_000
"""Words of the rows whose shape is remembered without a search."""


class _Bucket:
    """Clusters of one program and length. Rows unlike a known one in variable places alone are found by hash."""

    __slots__ = ("_speaking", "by_places", "clusters")

    def __init__(self) -> None:
        self.clusters: list[Cluster] = []
        self._speaking: dict[tuple[int, str], set[int]] = {}
        """Which clusters, by number, have a word in a place: no other can be near, and a flood of kinds has none."""
        self.by_places: dict[tuple[int, ...], dict[Row, Shape]] = {}

    def find(self, words: Row) -> Shape | None:
        """The shape that this row agrees with in all that is not variable."""
        for places, shapes in self.by_places.items():
            if shape := shapes.get(_with_variable(words, places)):
                return shape.root
        return None

    def nearest(self, words: Row) -> Cluster | None:
        """The cluster that a row may join."""
        near: set[int] = set().union(*(self._speaking.get(each, ()) for each in enumerate(words)))
        score, best = max(((self.clusters[number].similarity(words), -number) for number in near), default=(0.0, 0))
        return self.clusters[-best] if score >= SIMILAR else None

    def index(self, cluster: Cluster) -> None:
        """Make the shapes of a cluster found by hash, and itself by its words."""
        number = self.clusters.index(cluster)
        for place, column in enumerate(cluster.columns):
            for word in column or ():
                self._speaking.setdefault((place, word), set()).add(number)
        self.by_places.setdefault(cluster.places, {}).update(cluster.shapes)


def _with_variable(words: Row, places: tuple[int, ...]) -> Row:
    if not places:
        return words
    row = list(words)
    for place in places:
        row[place] = VARIABLE
    return tuple(row)


def _without_names(words: Row) -> Row:
    """What follows `user` is somebody's name."""
    return tuple(VARIABLE if before == NAMED else word for before, word in zip(("", *words), words, strict=False))


def _without_header(words: Row) -> Row:
    """The words of a line whose header nobody could read, with nothing in the places of its stamp, node and level: they
    say nothing of what kind it is, and would make all lines look alike."""
    stamps = 0
    for place, word in enumerate(words[:HEADER]):
        if (word in LEVELS and stamps >= STAMP) or (word in LETTERS and stamps == place > STAMP):
            return ("",) * (place + 1) + words[place + 1 :]
        if VARIABLE in word:
            stamps += 1
        elif word != word.upper():
            return words
    return words


class Shapes:
    """The shapes learned so far."""

    def __init__(self) -> None:
        self._masked = Masked()
        self._buckets: dict[tuple[str, int], _Bucket] = {}
        self._rest: dict[str, Shape] = {}
        self._of: Counter[str] = Counter()
        self._rows: dict[tuple[str, Row], Shape] = {}
        self._cached = 0
        self._count = 0

    def learn(self, program: str, message: str, time: float) -> Shape:
        """The shape of a line, a new one where it is like no other. `time` is when it was seen, POSIX seconds.

        A later line may show that two shapes are one: `root` of what was returned is the shape as known by then.
        """
        words = tuple(map(self._masked.__getitem__, split(message[:MESSAGE])))
        if NAMED in words:
            words = _without_names(words)
        if not program or program == ANY_PROGRAM:
            words = _without_header(words)
        row = (program, words)
        shape = self._rows.get(row)
        if shape is None:
            shape = self._search(_speaker(program), words, time)
            self._remember(row, shape)
        shape = shape.root
        if time > shape.last:
            shape.last = time
        return shape

    def get(self, name: str) -> Shape | None:
        """The shape of this id, also where it was the id of a shape that has become part of it."""
        return next((shape for shape in self._all() if name == shape.id or name in shape.aliases), None)

    def _search(self, program: str, words: Row, time: float) -> Shape:
        bucket = self._buckets.get((program, len(words))) or _Bucket()
        if shape := bucket.find(words):
            return shape
        if len(bucket.clusters) >= CLUSTERS or self._of[program] >= SPEAKER or self._count >= SHAPES:
            program = "" if self._count >= SHAPES else program
            if program not in self._rest:
                self._rest[program] = Shape.new(program, (VARIABLE,), time)
            return self._rest[program]
        self._buckets[program, len(words)] = bucket
        cluster = bucket.nearest(words)
        if cluster is None:
            bucket.clusters.append(cluster := Cluster(len(words)))
            self._of[program] += 1
        before = len(cluster.shapes)
        shape = cluster.add(program, words, time)
        self._count += len(cluster.shapes) - before
        bucket.index(cluster)
        return shape

    def _remember(self, row: tuple[str, Row], shape: Shape) -> None:
        self._cached += len(row[1]) + 1
        if self._cached > CACHED_WORDS:
            self._rows.clear()
            self._cached = 0
        self._rows[row] = shape

    # --- on disk ------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """What `load` takes, as plain data for JSON."""
        kept: list[tuple[str, Cluster]] = []
        for (program, _), bucket in self._buckets.items():
            latest = sorted(bucket.clusters, key=_last_seen, reverse=True)[:KEPT_CLUSTERS]
            kept += ((program, cluster) for cluster in latest)
        kept.sort(key=lambda each: _last_seen(each[1]), reverse=True)
        room = KEPT_SHAPES
        clusters = []
        of: Counter[str] = Counter()
        for program, cluster in kept:
            of[program] += 1
            if of[program] > SPEAKER // 2:
                continue
            room -= len(cluster.shapes)
            if room >= 0:
                clusters.append([program, *cluster.dump()])
        rest = [[shape.program, shape.first, shape.last] for shape in self._rest.values()]
        return {"format": FORMAT, "clusters": clusters, "rest": rest}

    @classmethod
    def load(cls, data: Any) -> Shapes:
        """The shapes that `dump` gave; none for anything else, such as another version's."""
        shapes = cls()
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            return shapes
        for program, columns, known in data["clusters"]:
            cluster = Cluster.load(program, columns, known)
            bucket = shapes._buckets.setdefault((program, len(columns)), _Bucket())
            bucket.clusters.append(cluster)
            shapes._of[program] += 1
            bucket.index(cluster)
            shapes._count += len(cluster.shapes)
        for program, first, last in data["rest"]:
            shapes._rest[program] = rest = Shape.new(program, (VARIABLE,), first)
            rest.last = last
        return shapes

    def _all(self) -> Iterator[Shape]:
        for bucket in self._buckets.values():
            for cluster in bucket.clusters:
                yield from cluster.shapes.values()
        yield from self._rest.values()


def _last_seen(cluster: Cluster) -> float:
    return max(shape.last for shape in cluster.shapes.values())


def _speaker(program: str) -> str:
    """Who chose the words: `sshd(pam_unix)` is the library pam_unix, which says the same in every program."""
    return program[program.rfind("(") + 1 : -1] if program.endswith(")") else program
