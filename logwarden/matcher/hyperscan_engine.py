"""Hyperscan: all patterns at once over a block of whole lines.

Owns: the scan, and what is made of its matches without a look at each (`_hyperscan`, which is C). What patterns look
like is `expressions`' affair.
Fails with a RuleError where a database does not fit this machine or this version of Hyperscan.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import RuleError
from . import lines
from ._hyperscan import Database, count, mark, select
from .engine import NEWLINE, SETTLED, Found, Match, Patience
from .patterns import Pattern
from .regex_engine import try_one


class HyperscanEngine:
    """A database, and the patterns that its ids stand for (None: for a rule that is not in force any more). Matches of
    the `loose` ones have to be confirmed. With a `gate`, it sees the lines alone in which that finds something."""

    def __init__(
        self,
        database: bytes,
        gate: bytes,
        slots: Sequence[Pattern | None],
        loose: Sequence[bool],
        patience: Patience,
    ) -> None:
        self.patterns = {id_: pattern for id_, pattern in enumerate(slots) if pattern is not None}
        self._doubtful = frozenset(id_ for id_, is_loose in enumerate(loose) if is_loose or id_ not in self.patterns)
        certain = {id_: pattern for id_, pattern in self.patterns.items() if id_ not in self._doubtful}
        self.plain = bytes(id_ in certain and certain[id_].is_plain for id_ in range(len(slots)))
        self.ignoring = bytes(id_ in certain and certain[id_].ignores for id_ in range(len(slots)))
        self.reopening = bytes(id_ not in certain or not certain[id_].ignores for id_ in range(len(slots)))
        self.names = ["" if pattern is None else pattern.name for pattern in slots]
        self._patience = patience
        try:
            self._database = Database(database, gate)
        except ValueError as error:
            raise RuleError(f"a compiled database that Hyperscan does not take: {error}") from error

    def scan(self, block: bytes) -> Found:
        """All matches in `block`."""
        return self.confirmed(block, select(self._database.scan(block), block, NEWLINE))

    def sweep(self, block: bytes) -> PackedMatches:
        """All matches in `block`; see Engine."""
        return PackedMatches(self, block, self._database.scan(block))

    def confirmed(self, block: bytes, matches: Sequence[Match]) -> Found:
        """`matches` without those that are none."""
        doubtful = self._doubtful
        found = Found([match for match in matches if match[1] not in doubtful], [])
        for match in [match for match in matches if match[1] in doubtful]:
            confirms = self._confirms(block, *match)
            if confirms is not False:
                (found.matches if confirms else found.late).append(match)
        return found

    def _confirms(self, block: bytes, end: int, id_: int) -> bool | None:
        """Whether a match is one; None where time ran out."""
        if (pattern := self.patterns.get(id_)) is None:
            return False
        line = block[block.rfind(b"\n", 0, end) + 1 : end]
        return try_one(self._patience, pattern, lines.view(line), len(line))


class PackedMatches:
    """What was found in a block: see Swept. What here is done for each match is done in C."""

    def __init__(self, engine: HyperscanEngine, block: bytes, matches: bytes) -> None:
        self._engine = engine
        self._block = block
        self._matches = matches

    def settle(self, unsettled: bytearray) -> None:
        mark(self._matches, self._engine.plain, SETTLED, unsettled)
        mark(self._matches, self._engine.ignoring, SETTLED, unsettled, self._block)

    def reopen(self, unsettled: bytearray) -> None:
        mark(self._matches, self._engine.reopening, NEWLINE, unsettled)

    def left(self, unsettled: bytearray) -> Found:
        return self._engine.confirmed(self._block, select(self._matches, unsettled, NEWLINE))

    def hits(self, unsettled: bytearray) -> dict[str, int]:
        return count(self._matches, unsettled, SETTLED, self._engine.names)
