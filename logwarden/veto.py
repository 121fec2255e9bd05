"""No rule hides what journald says is an error, unless the rule says `priority: err`, or worse, on purpose.

Owns: that veto. It concerns lines whose priority the journal gives; a line of a file has none. Rules of logcheck's own
directories are left alone: there a rule hides what it matches, whatever its priority.
Never: costs a batch more than a look at its priorities where none of it is an error. What is ignored has no verdict,
unless it is a session's, so the errors of a batch, which are few, go through the matcher a second time, alone and with
all their verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from .matcher import Matcher
from .model import WARNING, Batch, Classified, Dialect, Outcome, Provenance, Verdict


def classify(matcher: Matcher, batch: Batch, now: float) -> Classified:
    """`Matcher.classify`, after the veto."""
    classified = matcher.classify(batch, now)
    errors = [index for index, known in enumerate(batch.provenance) if _is_error(known)]
    if not errors:
        return classified
    again = matcher.classify(_part(batch, errors), now, every=True).verdicts
    shown = [verdict for verdict in again if verdict.outcome is Outcome.IGNORED and _is_vetoed(verdict)]
    kept = [_unhidden(verdict) if _is_vetoed(verdict) else verdict for verdict in classified.verdicts]
    return replace(
        classified,
        counts=_counts(classified, len(shown)),
        hits=_hits(classified, shown),
        verdicts=(*kept, *(_unhidden(verdict) for verdict in shown if not verdict.contexts)),
    )


def _is_error(known: Provenance) -> bool:
    return known.priority is not None and known.priority < WARNING


def _part(batch: Batch, indices: Sequence[int]) -> Batch:
    """The lines of a batch with these numbers."""
    lines = batch.block.split(b"\n")
    block = b"".join(lines[index] + b"\n" for index in indices)
    return replace(batch, block=block, count=len(indices), provenance=tuple(batch.provenance[at] for at in indices))


def _is_vetoed(verdict: Verdict) -> bool:
    """Whether a rule hides the line, and may not."""
    rule, known = verdict.ignored_by, verdict.event.provenance
    if rule is None or known is None or known.priority is None:
        return False
    return rule.dialect is not Dialect.GREP and known.priority < min(WARNING, rule.worst)


def _unhidden(verdict: Verdict) -> Verdict:
    outcome = Outcome.UNEXPLAINED if verdict.outcome is Outcome.IGNORED else verdict.outcome
    return verdict._replace(outcome=outcome, ignored_by=None)


def _counts(classified: Classified, shown: int) -> Counter[Outcome]:
    counts = Counter(classified.counts)
    counts[Outcome.IGNORED] -= shown
    counts[Outcome.UNEXPLAINED] += shown
    return counts


def _hits(classified: Classified, shown: Sequence[Verdict]) -> dict[str, int]:
    """A rule that was overruled has not matched."""
    hits = dict(classified.hits)
    for verdict in shown:
        rule = str(verdict.ignored_by.where) if verdict.ignored_by else ""
        hits[rule] = hits.get(rule, 0) - 1
    return {rule: lines for rule, lines in hits.items() if lines > 0}
