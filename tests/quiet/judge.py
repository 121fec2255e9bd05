"""The same captured lines through logwarden and through logcheck, side by side."""

from __future__ import annotations

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
from .capture import Capture
from .faults import FAULTS
from .keep import keep

ROOT = Path(__file__).resolve().parents[2]
LOGCHECK_RULES = Path("/etc/logcheck")


class Line(NamedTuple):
    """A line of the journal, and whether logwarden reports it."""

    time: float
    text: str
    reported: bool


def judge(made: Capture) -> int:
    """Print the comparison; the exit status."""
    lines = list(_classified(made.journal))
    broken = min(began for began, _ in made.seeded.values())
    hour = [line for line in lines if made.steady <= line.time < broken]
    ours = [line.text for line in hour if line.reported]
    print(f"the first digest: {sum(line.reported for line in lines if line.time < made.steady)} lines reported")
    print(f"the hour after it: {len(hour)} lines; logwarden reports {len(ours)}:", *ours, sep="\n    ")
    keep("hour", (line.text for line in hour if not line.reported))
    theirs = _logcheck([line.text for line in hour])
    print(f"logcheck reports {len(theirs)} of the same {len(hour)} lines at level server")
    missed = _faults(lines, made)
    return int(bool(ours) or bool(missed) or 10 * len(ours) > len(theirs))


def _faults(lines: list[Line], made: Capture) -> list[str]:
    """The names of the faults that logwarden or logcheck missed."""
    since = min(began for began, _ in made.seeded.values())
    by_logcheck = _logcheck([line.text for line in lines if line.time >= since])
    missed, kept = [], []
    for fault in FAULTS:
        began, ended = made.seeded[fault.name]
        shown = [line for line in lines if began <= line.time <= ended and re.search(fault.shown, line.text)]
        ours, theirs = any(line.reported for line in shown), any(line.text.encode() in by_logcheck for line in shown)
        kept += [line.text for line in shown if line.reported][:1]
        if not ours or not (theirs or fault.logcheck_hides):
            missed.append(fault.name)
        said = "not in the journal" if not shown else f"logwarden {_word(ours)}, logcheck {_word(theirs)}"
        print(f"    {fault.name}{' (stand-in)' if fault.stand_in else ''}: {said}")
    both = len(FAULTS) - len(missed) - sum(fault.logcheck_hides for fault in FAULTS)
    print(f"{len(FAULTS)} faults; missed: {', '.join(missed) or 'none'}; reported by both: {both}")
    keep("faults", kept)
    return missed


def _word(reported: bool) -> str:
    return "reports it" if reported else "MISSED IT"


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
    if (why := logcheck_peer.why_not()) is not None:
        print(f"logcheck cannot be run: {why}")
        return set()
    with tempfile.TemporaryDirectory() as place:
        sections = logcheck_peer.report(
            LOGCHECK_RULES, "".join(f"{line}\n" for line in lines).encode(), "server", Path(place)
        )
    return set().union(*sections.values())
