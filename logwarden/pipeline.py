"""A batch's way from the source to the kernel, on one screen.

Owns: the order of things. What a batch does and the cursor behind it commit together; then the firewall is told.
Never: waits for anything remote.
Fails: with StateError where the database does not commit (a full disk). The bans are in force all the same, and what
was not committed waits in `uncommitted` for `commit`: nothing is judged twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .echo import Echoes, Sighting
from .firewall import Firewall
from .matcher import Matcher
from .model import Ban, Batch, Classified, Notice, NoticeKind, Outcome
from .state import State, Transaction
from .tracker import Spared, Tracker, counts


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch after the matcher and the tracker: all that is to be written down of it."""

    source: str
    cursor: str
    classified: Classified
    bans: tuple[Ban, ...]
    notices: tuple[Notice, ...]
    sightings: tuple[Sighting, ...] = ()


class Pipeline:
    """The stages in force. A reload replaces `matcher`, `tracker` and `echoes` between two batches.

    `echoes` is None where no two sources can show the same message.
    """

    def __init__(
        self, matcher: Matcher, tracker: Tracker, state: State, firewall: Firewall, echoes: Echoes | None = None
    ) -> None:
        self.matcher = matcher
        self.tracker = tracker
        self.state = state
        self.firewall = firewall
        self.echoes = echoes
        self.uncommitted: list[Judged] = []

    def process(self, batches: Sequence[Batch], now: float) -> None:
        """Account for every line of `batches`, and ban whom they convict."""
        judged = [self._judge(batch, now) for batch in batches]
        self.uncommitted += judged
        try:
            self.commit(now)
        finally:
            self.firewall.apply([ban for each in judged for ban in each.bans], now)

    def commit(self, now: float) -> None:
        """Write down what waits, all or nothing."""
        with self.state.transaction() as tx:
            period = tx.open_period(now)
            for judged in self.uncommitted:
                _write(tx, period, judged, now)
        self.uncommitted.clear()

    def _judge(self, batch: Batch, now: float) -> Judged:
        classified = self.matcher.classify(batch, now)
        sightings: tuple[Sighting, ...] = ()
        if self.echoes is not None:
            classified, sightings = self.echoes.sift(batch.source, classified)
        decisions = list(self._decisions(classified, now))
        bans = tuple(each for each in decisions if isinstance(each, Ban))
        spared = (each for each in decisions if isinstance(each, Spared))
        notices = tuple(Notice(NoticeKind.FIREWALL, each.prefix, each.why, now) for each in spared)
        return Judged(batch.source, batch.cursor, classified, bans, classified.notices + notices, sightings)

    def _decisions(self, classified: Classified, now: float) -> Iterator[Ban | Spared | None]:
        for verdict in classified.verdicts:
            if verdict.outcome is Outcome.ATTACK:
                yield self.tracker.record(verdict, now)


def _write(tx: Transaction, period: int, judged: Judged, now: float) -> None:
    tx.count(period, judged.source, judged.classified, now)
    for verdict in judged.classified.verdicts:
        if verdict.reported:
            tx.add_entry(period, verdict, now)
        if verdict.outcome is Outcome.ATTACK:
            tx.add_attack(verdict, now, counted=counts(verdict))
    for ban in judged.bans:
        tx.add_ban(period, ban)
    for notice in judged.notices:
        tx.add_notice(period, notice)
    tx.add_sightings(judged.sightings)
    tx.set_cursor(judged.source, judged.cursor, now)
