"""What a source's Manner makes of a batch that the matcher has judged.

A source that is read for its attacks alone has no line that is unexplained: what no attack rule takes is ignored, and
counted by ALONE in the place of a rule. Where lines are JSON objects, the time stands in one of their members; an
attack of a backlog that says no time is as old as it may be.

Owns: these. Never: hides an attack, a violation, or a line that could not be judged, for which it may be one;
looks into a line that nobody will see.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

from . import header, moment
from .model import Classified, Manner, Outcome, Verdict

ALONE = "read for attacks alone"
"""What stands in the place of a rule's name where hits are counted."""
_MILLISECONDS = 100_000_000_000
"""A number from here on counts milliseconds: as seconds, it would be in the year 5138."""


def dated(classified: Classified, manner: Manner, now: float, written: float | None = None) -> Classified:
    """`classified` with the times that JSON objects name, in lines that are not to be ignored for want of an attack.

    `written`: as of when an attack of a backlog counts that says no time: nobody is banned for what may be over.
    """
    if manner.time is None and written is None:
        return classified
    path = manner.time.split(".") if manner.time else None
    verdicts = (
        each if manner.alone and _says_nothing(each) else _dated(each, path, now, written)
        for each in classified.verdicts
    )
    return replace(classified, verdicts=tuple(verdicts))


def attacks_alone(classified: Classified, manner: Manner) -> Classified:
    """`classified` without what is unexplained, which is ignored, where the source is read for its attacks alone."""
    unexplained = classified.counts.get(Outcome.UNEXPLAINED, 0)
    if not manner.alone or not unexplained:
        return classified
    counts = Counter(classified.counts)
    counts[Outcome.IGNORED] += counts.pop(Outcome.UNEXPLAINED)
    kept = tuple(each for each in classified.verdicts if each.outcome is not Outcome.UNEXPLAINED)
    return replace(classified, counts=counts, hits={**classified.hits, ALONE: unexplained}, verdicts=kept)


def _says_nothing(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.UNEXPLAINED and not verdict.contexts


def _dated(verdict: Verdict, path: list[str] | None, now: float, written: float | None) -> Verdict:
    event = verdict.event
    if event.time is not None:
        return verdict
    time = None if path is None else _time(event.message, path, now)
    if time is None and (verdict.outcome is Outcome.ATTACK or verdict.contexts):
        time = written
    return verdict if time is None else verdict._replace(event=event._replace(time=time))


def _time(message: str, path: list[str], now: float) -> float | None:
    """What the member at `path` of a JSON object says; None where it says no time, or is not there."""
    try:
        found = json.loads(message[message.index("{") :])
    except (ValueError, RecursionError):
        return None
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    if isinstance(found, str):
        return header.parse(f"{found} -".encode("utf-8", "replace"), None, now).time
    if isinstance(found, int | float) and not isinstance(found, bool) and found < moment.END * 1000:
        return moment.meant(found / 1000 if found >= _MILLISECONDS else found)
    return None
