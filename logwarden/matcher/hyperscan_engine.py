"""Hyperscan: all patterns at once over a block of whole lines.

Owns: the scan. What patterns look like is `expressions`' affair.
Fails with a RuleError where a database does not fit this machine or this version of Hyperscan.
"""

from __future__ import annotations

from collections.abc import Sequence

import hyperscan

from ..errors import RuleError
from . import lines
from .engine import Found, Match, Patience, Swept
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
        self._special = self._doubtful.union(id_ for id_, pattern in self.patterns.items() if not pattern.is_plain)
        self._patience = patience
        try:
            self._database = hyperscan.loadb(database, hyperscan.HS_MODE_BLOCK)
            self._scratch = hyperscan.Scratch(self._database)
        except hyperscan.error as error:
            raise RuleError(f"a compiled database that Hyperscan does not take: {error}") from error

    def scan(self, block: bytes) -> Found:
        """All matches in `block`."""
        matches: list[Match] = []

        def on_match(id_: int, _start: int, end: int, _flags: int, _context: object) -> None:
            matches.append((end, id_))

        self._database.scan(block, match_event_handler=on_match, scratch=self._scratch)
        return self._confirmed(block, matches)

    def sweep(self, block: bytes, unsettled: bytearray) -> Swept:
        """All matches in `block`; see Engine. What `on_match` does is done for every line of the log."""
        swept, special = Swept([], [], [], []), list[Match]()
        rest, note_id, note_end = self._special, swept.ids.append, swept.ends.append

        def on_match(id_: int, _start: int, end: int, _flags: int, _context: object) -> None:
            if id_ in rest:
                special.append((end, id_))
            else:
                unsettled[end] = 0
                note_id(id_)
                note_end(end)

        self._database.scan(block, match_event_handler=on_match, scratch=self._scratch)
        swept.sort(self._confirmed(block, special), self.patterns, unsettled)
        return swept

    def _confirmed(self, block: bytes, matches: list[Match]) -> Found:
        """`matches` without those that are none."""
        found = Found([], [])
        doubtful = self._doubtful
        for end, id_ in matches:
            if id_ not in doubtful:
                found.matches.append((end, id_))
                continue
            match self._confirms(block, end, id_):
                case True:
                    found.matches.append((end, id_))
                case None:
                    found.late.append((end, id_))
        return found

    def _confirms(self, block: bytes, end: int, id_: int) -> bool | None:
        """Whether a match is one; None where time ran out."""
        if (pattern := self.patterns.get(id_)) is None:
            return False
        line = block[block.rfind(b"\n", 0, end) + 1 : end]
        return try_one(self._patience, pattern, lines.view(line), len(line))
