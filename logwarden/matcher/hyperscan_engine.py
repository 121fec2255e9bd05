"""Hyperscan: all patterns at once over a block of whole lines.

Owns: how patterns become a database, and what Hyperscan refuses. Patterns are compiled with HS_FLAG_MULTILINE and end
where their line does, so that a match's end names its line and a match costs one callback.
Fails: a pattern that Hyperscan does not take is not in the engine; the caller gets it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import hyperscan

from ..ere import UnsupportedError
from ..errors import RuleError
from . import lines
from .engine import Found, Patience
from .patterns import Pattern
from .regex_engine import try_one

FLAGS = hyperscan.HS_FLAG_MULTILINE | hyperscan.HS_FLAG_ALLOWEMPTY


class HyperscanEngine:
    """A database and the patterns that its ids stand for; `loose` are the ids whose matches need to be confirmed."""

    def __init__(
        self, database: hyperscan.Database, patterns: Sequence[Pattern], loose: Iterable[int], patience: Patience
    ) -> None:
        self.patterns = patterns
        self._database = database
        self._scratch = hyperscan.Scratch(database)
        self._loose = frozenset(loose)
        self._patience = patience

    def scan(self, block: bytes) -> Found:
        """All matches in `block`."""
        ends: list[int] = []
        ids: list[int] = []

        def on_match(id_: int, _start: int, end: int, _flags: int, _context: object) -> None:
            ends.append(end)
            ids.append(id_)

        self._database.scan(block, match_event_handler=on_match, scratch=self._scratch)
        found = Found(ends, ids, [])
        return found if self._loose.isdisjoint(ids) else self._confirmed(block, found)

    def _confirmed(self, block: bytes, loose: Found) -> Found:
        found = Found([], [], [])
        for end, id_ in zip(loose.ends, loose.ids, strict=True):
            matches: bool | None = True
            if id_ in self._loose:
                line = block[block.rfind(b"\n", 0, end) + 1 : end]
                matches = try_one(self._patience, self.patterns[id_], lines.view(line), len(line))
            if matches:
                found.ends.append(end)
                found.ids.append(id_)
            elif matches is None:
                found.late.append((end, id_))
        return found


class Expression(NamedTuple):
    """A pattern as Hyperscan takes it. `loose`: it matches too much, and each match has to be confirmed."""

    pattern: Pattern
    text: bytes
    loose: bool


def expressions(patterns: Iterable[Pattern]) -> list[Expression]:
    """What Hyperscan may be asked to take: an expression of each pattern that has one."""
    return [each for pattern in patterns if (each := _expression(pattern)) is not None]


def taken(expressions: Iterable[Expression]) -> list[Expression]:
    """Those of `expressions` that Hyperscan does take, if need be in a loose form. Takes milliseconds for each."""
    good: list[Expression] = []
    for each in expressions:
        for candidate in (each, _loose(each.pattern)):
            if candidate and _compiles(candidate):
                good.append(candidate)
                break
    return good


def _expression(pattern: Pattern) -> Expression | None:
    try:
        return Expression(pattern, pattern.expression(), loose=False)
    except UnsupportedError:
        return _loose(pattern)


def _loose(pattern: Pattern) -> Expression | None:
    try:
        pattern.prepare()
        return Expression(pattern, pattern.expression(loose=True), loose=True)
    except RuleError:
        return None


def _compiles(expression: Expression) -> bool:
    try:
        compile_database([expression])
    except hyperscan.error:
        return False
    return True


def compile_database(expressions: Sequence[Expression]) -> hyperscan.Database:
    """A database whose ids are the indexes of `expressions`. Raises hyperscan.error."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    texts = [each.text for each in expressions]
    database.compile(expressions=texts, ids=list(range(len(texts))), flags=FLAGS)
    return database
