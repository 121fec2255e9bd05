"""What `make quiet` claims, and whether it is so.

What the machine has is used, and all of that works; the hour after the first digest is quiet, and a daemon that reads
it mails nothing; each seeded fault is reported by logwarden and by logcheck; what logcheck calls normal is declared so
and is reported by logwarden; logwarden reports at most a tenth of logcheck's lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .faults import Fault

LEAST = 40
"""As many faults must be asked of both."""
UNDONE = "did not work: "
OVER = "the hour is over"
"""What inside/use.sh says of each thing that fails, and last of all."""


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


def undone(said: str) -> Iterator[str]:
    """What of the hour's use did not work, of all that inside/use.sh printed."""
    *lines, last = said.splitlines() or [""]
    for line in lines:
        if line.startswith(UNDONE):
            yield line.removeprefix(UNDONE)
    if last != OVER:
        yield f"the hour ended early: {last}"


def broken(
    ours: int, theirs: int, both: Sequence[Seen], alone: Sequence[Seen], *, undone: Sequence[str], digest: str
) -> Iterator[str]:
    """Which claims are not so. `ours`, `theirs`: the lines of the quiet hour that are reported; `both`: the faults that
    logcheck must report too, `alone`: those that it hides; `undone`: what was used in vain; `digest`: what the daemon
    would mail of the hour."""
    for each in undone:
        yield f"not used: {each}"
    if digest:
        yield "the daemon has a mail to send after the hour"
    if ours:
        yield f"the hour is not quiet: {ours} lines"
    if 10 * ours > theirs or not theirs:
        yield f"{ours} lines are more than a tenth of logcheck's {theirs}"
    if len(both) < LEAST:
        yield f"{len(both)} faults are asked of both, not {LEAST}"
    for seen in (*both, *alone):
        if not seen.ours:
            yield f"logwarden misses: {seen}"
    for seen in both:
        if not seen.theirs:
            yield f"logcheck misses: {seen}"
    for seen in alone:
        if seen.theirs:
            yield f"logcheck reports it too, so it is for both: {seen}"
