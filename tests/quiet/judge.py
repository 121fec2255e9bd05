"""The same captured lines through logwarden and through logcheck, side by side."""

from __future__ import annotations

import itertools
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from logwarden import matcher, rules, veto
from logwarden.model import Batch, Event, Outcome
from logwarden.sources.journal_reader import Journal
from logwarden.sources.sdjournal import EVERYTHING

from .. import logcheck_peer
from . import claims
from .capture import Capture
from .claims import Seen
from .faults import FAULTS, OURS_ALONE, Fault
from .keep import keep
from .mailed import ROOT, mailed

LOGCHECK_RULES = Path("/etc/logcheck")


class Line(NamedTuple):
    """A line of the journal, and whether logwarden reports it."""

    time: float
    text: str
    reported: bool


def judge(made: Capture) -> int:
    """Print the comparison, and which claims it breaks; the exit status."""
    if (why := logcheck_peer.why_not()) is not None:
        print(f"logcheck cannot be run: {why}")
        return 1
    lines = list(_classified(made.journal))
    since = min(began for began, _ in made.seeded.values())
    hour = [line for line in lines if made.steady <= line.time < since]
    ours = [line.text for line in hour if line.reported]
    theirs = _logcheck([line.text for line in hour])
    print(f"the first digest: {sum(line.reported for line in lines if line.time < made.steady)} lines reported")
    print(f"the hour after it: {len(hour)} lines; logwarden reports {len(ours)}:", *ours, sep="\n    ")
    print(f"logcheck reports {len(theirs)} of the same {len(hour)} lines at level server")
    after = [line for line in lines if line.time >= since]
    by_logcheck = _logcheck([line.text for line in after])
    both = [_seen(fault, made.seeded[fault.name], after, by_logcheck) for fault in FAULTS]
    alone = [_seen(fault, made.seeded[fault.name], after, by_logcheck) for fault in OURS_ALONE]
    print(f"{len(both)} faults, for both to report:", *both, sep="\n    ")
    print(f"{len(alone)} more, which logcheck-database calls normal:")
    for each in alone:
        print(f"    {each}: {each.fault.why}")
    digest = mailed(made.journal, made.steady, since)
    print(f"the daemon's digest of the hour: {digest or 'none'}")
    keep("hour", (line.text for line in hour if not line.reported))
    keep("faults", _first(made, after))
    wrong = list(claims.broken(len(ours), len(theirs), both, alone, undone=made.undone, digest=digest))
    for claim in wrong:
        print(f"quiet: BROKEN: {claim}")
    if not wrong:
        print(f"quiet: the hour is quiet, and {len(both)} of {len(both)} faults are reported by both")
    return int(bool(wrong))


def _seen(fault: Fault, times: tuple[float, float], lines: list[Line], by_logcheck: set[bytes]) -> Seen:
    shown = [line for line in lines if _shows(fault, times, line)]
    return Seen(
        fault,
        bool(shown),
        any(line.reported for line in shown),
        any(line.text.encode() in by_logcheck for line in shown),
    )


def _shows(fault: Fault, times: tuple[float, float], line: Line) -> bool:
    return times[0] <= line.time <= times[1] and re.search(fault.shown, line.text) is not None


def _first(made: Capture, lines: list[Line]) -> Iterator[str]:
    """A reported line of each fault."""
    for fault in (*FAULTS, *OURS_ALONE):
        reported = (line.text for line in lines if line.reported and _shows(fault, made.seeded[fault.name], line))
        yield from itertools.islice(reported, 1)


def _classified(journal: Path) -> Iterator[Line]:
    ruleset = rules.load(ignore=[str(ROOT / "ignore.d")], attack=[str(ROOT / "attack.d")], level="server")
    made = matcher.compile(ruleset, portable=True)
    source = Journal("journal", {"files": [str(journal)]}, EVERYTHING, cursor=None, from_start=True)
    now = time.time()
    for batch in source.poll(now):
        if isinstance(batch, Batch) and batch.count:
            reported = {each.event.raw for each in veto.classify(made, batch, now).verdicts if each.reported}
            for each in made.classify(batch, now, every=True).verdicts:
                event = each.event
                if _is_a_neighbours(event):
                    continue
                shown = event.raw in reported or each.outcome is Outcome.QUARANTINED
                yield Line(event.time or 0.0, event.raw, shown)
    source.close()


def _is_a_neighbours(event: Event) -> bool:
    """Whether another process of the host wrote it to /dev/kmsg, which all machines on a kernel share."""
    return event.provenance is not None and event.provenance.transport == "kernel" and event.program != "kernel"


def _logcheck(lines: list[str]) -> set[bytes]:
    """The lines that logcheck reports at level server, with logcheck-database."""
    with tempfile.TemporaryDirectory() as place:
        sections = logcheck_peer.report(
            LOGCHECK_RULES, "".join(f"{line}\n" for line in lines).encode(), "server", Path(place)
        )
    return set().union(*sections.values())
