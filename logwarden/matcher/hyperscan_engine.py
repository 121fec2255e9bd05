"""Hyperscan: all patterns at once over a block of whole lines.

Owns: the scan. What patterns look like is `expressions`' affair.
Fails with a RuleError where a database does not fit this machine or this version of Hyperscan.
"""

from __future__ import annotations

from collections.abc import Sequence

import hyperscan

from ..errors import RuleError
from . import lines
from .engine import Found, Patience
from .patterns import Pattern
from .regex_engine import try_one


class HyperscanEngine:
    """A database, and the patterns that its ids stand for (None: for a rule that is not in force any more). Matches of
    the `loose` ones have to be confirmed."""

    def __init__(
        self, database: bytes, slots: Sequence[Pattern | None], loose: Sequence[bool], patience: Patience
    ) -> None:
        self.patterns = {id_: pattern for id_, pattern in enumerate(slots) if pattern is not None}
        self._doubtful = frozenset(id_ for id_, is_loose in enumerate(loose) if is_loose or id_ not in self.patterns)
        self._patience = patience
        try:
            self._database = hyperscan.loadb(database, hyperscan.HS_MODE_BLOCK)
            self._scratch = hyperscan.Scratch(self._database)
        except hyperscan.error as error:
            raise RuleError(f"a compiled database that Hyperscan does not take: {error}") from error

    def scan(self, block: bytes) -> Found:
        """All matches in `block`."""
        ends: list[int] = []
        ids: list[int] = []

        def on_match(id_: int, _start: int, end: int, _flags: int, _context: object) -> None:
            ends.append(end)
            ids.append(id_)

        self._database.scan(block, match_event_handler=on_match, scratch=self._scratch)
        found = Found(ends, ids, [])
        return found if self._doubtful.isdisjoint(ids) else self._confirmed(block, found)

    def _confirmed(self, block: bytes, doubtful: Found) -> Found:
        found = Found([], [], [])
        for end, id_ in zip(doubtful.ends, doubtful.ids, strict=True):
            match self._confirms(block, end, id_):
                case True:
                    found.ends.append(end)
                    found.ids.append(id_)
                case None:
                    found.late.append((end, id_))
        return found

    def _confirms(self, block: bytes, end: int, id_: int) -> bool | None:
        """Whether a match is one; None where time ran out."""
        if id_ not in self._doubtful:
            return True
        if (pattern := self.patterns.get(id_)) is None:
            return False
        line = block[block.rfind(b"\n", 0, end) + 1 : end]
        return try_one(self._patience, pattern, lines.view(line), len(line))
