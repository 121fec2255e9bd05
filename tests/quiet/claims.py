"""What `make quiet` claims, and whether it is so.

The hour after the first digest is quiet; each seeded fault is reported by logwarden and by logcheck; what logcheck
calls normal is declared so and is reported by logwarden; logwarden reports at most a tenth of logcheck's lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .faults import Fault

LEAST = 40
"""As many faults must be asked of both."""


class Seen(NamedTuple):
    """A fault: whether its line is in the journal at all, and who reports it."""

    fault: Fault
    logged: bool
    ours: bool
    theirs: bool

    def __str__(self) -> str:
        stand_in = " (stand-in)" if self.fault.stand_in else ""
        if not self.logged:
            return f"{self.fault.name}{stand_in}: not in the journal"
        return f"{self.fault.name}{stand_in}: logwarden {_word(self.ours)}, logcheck {_word(self.theirs)}"


def _word(reported: bool) -> str:
    return "reports it" if reported else "hides it"


def broken(ours: int, theirs: int, both: Sequence[Seen], alone: Sequence[Seen]) -> Iterator[str]:
    """Which claims are not so. `ours`, `theirs`: the lines of the quiet hour that are reported; `both`: the faults that
    logcheck must report too, `alone`: those that it hides."""
    if ours:
        yield f"the hour is not quiet: {ours} lines"
    if 10 * ours > theirs or not theirs:
        yield f"{ours} lines are more than a tenth of logcheck's {theirs}"
    if len(both) < LEAST:
        yield f"{len(both)} faults are asked of both, not {LEAST}"
    for each in (*both, *alone):
        if not each.ours:
            yield f"logwarden misses: {each}"
    for each in both:
        if not each.theirs:
            yield f"logcheck misses: {each}"
    for each in alone:
        if each.theirs:
            yield f"logcheck reports it too, so it is for both: {each}"
