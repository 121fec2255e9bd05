"""The portable engine: the `regex` package, rule by rule, each with a timeout.

Owns: rules that Hyperscan cannot take; all rules, where there is no Hyperscan. Of these only those that may match
a line (`dispatch`) are tried on it: one rule on all such lines of a block at once, for it is the call that costs; on
one line after the other where that takes too long.
Never: raises for a line. A rule that takes too long is noted (`engine.Patience`) and not tried again.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .. import header
from ..errors import RuleError
from . import lines
from .engine import NEWLINE, SETTLED, Found, Match, Patience
from .lines import View, Views
from .patterns import Pattern

if TYPE_CHECKING:
    from .dispatch import Dispatch


class RegexEngine:
    """Patterns, each tried on the lines that it may match."""

    def __init__(self, patterns: Sequence[Pattern], patience: Patience) -> None:
        self.patterns = dict(enumerate(patterns))
        self._patience = patience

    @functools.cached_property
    def _dispatch(self) -> Dispatch:
        from .dispatch import Dispatch  # with the first line that asks for it: it parses rules

        return Dispatch(self.patterns)

    def scan(self, block: bytes) -> Found:
        """All matches in `block`."""
        found = self.sweep(block)
        return Found([(end, id_) for id_, ends in found.ends.items() for end in ends], found.late)

    def sweep(self, block: bytes) -> ListedMatches:
        """All matches in `block`; see Engine."""
        views = lines.views(block)
        lengths = list(map(len, views.raws))
        ends = [end - 1 for end in itertools.accumulate(length + 1 for length in lengths)]
        found: dict[int, list[int]] = {}
        late: list[Match] = []
        for id_, matching, too_late in self.try_all(views, lengths):
            if matching:
                found[id_] = [ends[index] for index in matching]
            late.extend((ends[index], id_) for index in too_late)
        return ListedMatches(block, self.patterns, found, late)

    def try_all(self, views: Views, lengths: Sequence[int]) -> Iterator[tuple[int, Sequence[int], Sequence[int]]]:
        """The ids of the patterns, each with the lines that it matches, and with those on which it ran out of time.
        `lengths` are those of the lines."""
        longest = max(lengths, default=0)
        for id_, indices in self._dispatch.candidates(views).items():
            pattern = self.patterns[id_]
            part = pattern.part(views)
            if len(indices) > 1 and self._patience.allows(pattern, longest):
                matching = self._try(pattern, [part[index] for index in indices])
                if matching is not None:
                    yield id_, [indices[which] for which in matching], ()
                    continue
            yield id_, *self._try_each(pattern, part, indices, lengths)

    def _try_each(
        self, pattern: Pattern, part: Sequence[bytes], indices: Iterable[int], lengths: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """The same for one pattern, with one line after the other, so that it is known which of them takes so long."""
        matching: list[int] = []
        late: list[int] = []
        for index in indices:
            if self._patience.allows(pattern, lengths[index]):
                found = self._try(pattern, [part[index]])
                if found is None:
                    self._patience.lose(pattern, lengths[index])
                    late.append(index)
                elif found:
                    matching.append(index)
        return matching, late

    def _try(self, pattern: Pattern, texts: Sequence[bytes]) -> Sequence[int] | None:
        """Which of the texts a pattern matches; None where it ran out of time."""
        try:
            pattern.prepare()
        except RuleError:  # see `try_one`
            return ()
        started = self._patience.timer()
        try:
            return pattern.matching(texts)
        except TimeoutError:
            return None
        finally:
            self._patience.spend(pattern, started, texts)


class ListedMatches:
    """What was found in a block, and where the lines end that each pattern matches: see Swept."""

    def __init__(
        self, block: bytes, patterns: Mapping[int, Pattern], ends: Mapping[int, Sequence[int]], late: list[Match]
    ) -> None:
        self.ends = ends
        self.late = late
        self._block = block
        self._patterns = patterns

    def settle(self, unsettled: bytearray) -> None:
        for id_, ends in self.ends.items():
            pattern = self._patterns[id_]
            if pattern.ignores:
                for end in ends:
                    if pattern.is_plain or header.is_traditional(self._block, end):
                        unsettled[end] = SETTLED

    def reopen(self, unsettled: bytearray) -> None:
        for id_, ends in self.ends.items():
            if not self._patterns[id_].ignores:
                for end in ends:
                    unsettled[end] = NEWLINE
        for end, _ in self.late:
            unsettled[end] = NEWLINE

    def left(self, unsettled: bytearray) -> Found:
        left = [(end, id_) for id_, ends in self.ends.items() for end in ends if unsettled[end] == NEWLINE]
        return Found(left, self.late)

    def hits(self, unsettled: bytearray) -> Counter[str]:
        hits: Counter[str] = Counter()
        for id_, ends in self.ends.items():
            if count := [unsettled[end] for end in ends].count(SETTLED):
                hits[self._patterns[id_].name] += count
        return hits


def try_one(patience: Patience, pattern: Pattern, view: View, length: int) -> bool | None:
    """Whether `pattern` matches a line of `length` bytes; None where it ran out of time just now."""
    if not patience.allows(pattern, length):
        return False
    try:
        pattern.prepare_for_one()
    except RuleError:  # Hyperscan compiled it and the `regex` package does not
        return False
    started = patience.timer()
    try:
        return pattern.matches(view)
    except TimeoutError:
        patience.lose(pattern, length)
        return None
    finally:
        patience.spend(pattern, started, [view.raw or b""])
