"""The portable engine: the `regex` package, line by line, each rule with a timeout.

Owns: rules that Hyperscan cannot take; all rules, where there is no Hyperscan. Of these only those that may match
a line (`dispatch`) are tried on it.
Never: raises for a line. A rule that takes too long is noted (`engine.Patience`) and not tried again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ..errors import RuleError
from . import lines
from .dispatch import Dispatch
from .engine import NEWLINE, SETTLED, Found, Patience
from .lines import View
from .patterns import Pattern


class RegexEngine:
    """Patterns, tried one by one on each line of those that may match it."""

    def __init__(self, patterns: Sequence[Pattern], patience: Patience) -> None:
        self.patterns = dict(enumerate(patterns))
        self._patience = patience
        self._dispatch = Dispatch(self.patterns)

    def scan(self, block: bytes) -> Found:
        """All matches in `block`."""
        found = Found([], [])
        start = 0
        while (end := block.find(b"\n", start)) >= 0:
            for id_, matches in self.try_all(lines.view(block[start:end]), end - start):
                (found.matches if matches else found.late).append((end, id_))
            start = end + 1
        return found

    def sweep(self, block: bytes) -> ListedMatches:
        """All matches in `block`; see Engine."""
        return ListedMatches(self.patterns, self.scan(block))

    def try_all(self, view: View, length: int) -> Iterator[tuple[int, bool]]:
        """The ids of the patterns that match a line of `length` bytes, and with False of those that ran out of time."""
        for id_ in self._dispatch.candidates(view):
            matches = try_one(self._patience, self.patterns[id_], view, length)
            if matches is not False:
                yield id_, matches is True


class ListedMatches:
    """What was found in a block: see Swept."""

    def __init__(self, patterns: Mapping[int, Pattern], found: Found) -> None:
        self._patterns = patterns
        self._found = found

    def settle(self, unsettled: bytearray) -> None:
        for end, id_ in self._found.matches:
            if self._patterns[id_].is_plain:
                unsettled[end] = SETTLED

    def reopen(self, unsettled: bytearray) -> None:
        for end, id_ in self._found.matches:
            if not self._patterns[id_].ignores:
                unsettled[end] = NEWLINE
        for end, _ in self._found.late:
            unsettled[end] = NEWLINE

    def left(self, unsettled: bytearray) -> Found:
        return Found([match for match in self._found.matches if unsettled[match[0]] == NEWLINE], self._found.late)

    def hits(self, unsettled: bytearray) -> Counter[str]:
        return Counter(self._patterns[id_].name for end, id_ in self._found.matches if unsettled[end] == SETTLED)


def try_one(patience: Patience, pattern: Pattern, view: View, length: int) -> bool | None:
    """Whether `pattern` matches a line of `length` bytes; None where it ran out of time just now."""
    if not patience.allows(pattern, length):
        return False
    started = patience.timer()
    try:
        return pattern.matches(view)
    except TimeoutError:
        patience.lose(pattern, length)
        return None
    except RuleError:  # Hyperscan compiled it and the `regex` package does not
        return False
    finally:
        patience.spend(pattern, started)
