"""Know a message again that came by another way too: the journal, and the file that rsyslog writes of it, both read.

The first sight of a message counts, by whichever source it comes. A later one by another source is its echo: a line
with the same program, pid, host and message, written at the same time give or take WINDOW. It is accounted for under
its source as ignored, by the rule ECHO, and nothing else happens. One by the same source is no echo: who says a thing
twice has said two things, and both have their echo.

Only lines that no rule hides come here: one that is hidden twice is read twice, ignored twice, and of no consequence.
Owns: what makes two lines one message (`sighting` remembers them). Never: asks the clock, stores: the consumer commits
sightings together with the lines, so a restart neither reports an echo nor swallows what is none.
Limits: CAPACITY messages are remembered, of all sources together. Where one source is further behind the other than
that many lines that no rule hides, its echoes are reported: twice, rather than not at all. A message that both know by
another pid, as where `logger --id` claims one, is two.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from .blake2 import blake2b
from .model import Classified, Outcome, Verdict
from .sighting import CAPACITY, KEY, Sighting, Sightings

ECHO = "the same message through another source"
"""What stands in the place of a rule's name where hits are counted."""
WINDOW = 5.0
"""Seconds between two stamps of one message: RFC 3164 has whole seconds, and syslogd stamps what it gets when it can.
"""
_COMPARED = 1_000  # characters: rsyslog cuts a message at 8 KiB, we cut a line that is too long, header and all
_ESCAPES = {code: f"#{code:03o}" for code in (*range(0x20), 0x7F)}  # rsyslog's $EscapeControlCharactersOnReceive


class Echoes:
    """The latest messages. `known` are sightings of a former process, oldest first; of one number, the last holds."""

    def __init__(self, known: Iterable[Sighting] = (), capacity: int = CAPACITY) -> None:
        self._latest = Sightings(capacity)
        for number, key, pid, time, sources in known:
            if number > self._latest.next:  # the first, or what was before it is lost
                self._latest = Sightings(capacity, number)
            if number == self._latest.next:
                self._latest.add(key, pid, time, sources)
            else:
                self._latest.show(number, sources)

    def sift(self, source: str, classified: Classified) -> tuple[Classified, tuple[Sighting, ...]]:
        """`classified` with its echoes ignored, and the sightings that are new or have changed."""
        kept: list[Verdict] = []
        echoes: list[Verdict] = []
        news: dict[int, Sighting] = {}
        for verdict in classified.verdicts:
            found, is_echo = self._sight(source, verdict)
            (echoes if is_echo else kept).append(verdict)
            if found is not None:
                news[found.number] = found
        if echoes:
            classified = replace(
                classified, counts=_counts(classified, echoes), hits=_hits(classified, echoes), verdicts=tuple(kept)
            )
        return classified, tuple(news.values())

    def _sight(self, source: str, verdict: Verdict) -> tuple[Sighting | None, bool]:
        event = verdict.event
        if event.time is None or not event.host or not event.program or verdict.outcome is Outcome.IGNORED:
            return None, False
        key = _key(event.host, event.program, verdict.outcome, event.message)
        echo = self._latest.again(key, source, event.pid, event.time - WINDOW, event.time + WINDOW)
        if echo is not None:
            return echo, True
        number = self._latest.add(key, event.pid, event.time, (source,))
        return Sighting(number, key, event.pid, event.time, (source,)), False


def _counts(classified: Classified, echoes: Iterable[Verdict]) -> dict[Outcome, int]:
    counts = Counter(classified.counts)
    for verdict in echoes:
        counts[verdict.outcome] -= 1
        counts[Outcome.IGNORED] += 1
    return dict(counts)


def _hits(classified: Classified, echoes: Iterable[Verdict]) -> dict[str, int]:
    hits = dict(classified.hits)
    for rule in _rules(echoes):
        hits[rule] = hits.get(rule, 0) - 1
    hits[ECHO] = hits.get(ECHO, 0) + sum(1 for _ in echoes)
    return {rule: lines for rule, lines in hits.items() if lines > 0}


def _rules(echoes: Iterable[Verdict]) -> Iterator[str]:
    """The attack rules that have matched these: they count a message once."""
    return (str(verdict.attack_by) for verdict in echoes if verdict.attack_by is not None)


def _key(host: str, program: str, outcome: Outcome, message: str) -> bytes:
    text = message.strip()[:_COMPARED]
    if not text.isprintable():
        text = text.translate(_ESCAPES)[:_COMPARED]
    parts = "\0".join((_host(host), program, outcome, text))
    return blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=KEY).digest()


@functools.lru_cache(maxsize=256)
def _host(name: str) -> str:
    """A host's first label, which syslogd and the kernel agree on; of an address, all of it."""
    label = name.partition(".")[0]
    return name if label.isdigit() or ":" in name else label.lower()
