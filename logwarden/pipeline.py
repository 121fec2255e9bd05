"""A batch's way from the source to the kernel, on one screen.

Owns: the order of things. What a batch does and the cursor behind it commit together; then the firewall is told.
What a source far behind has read ahead of its backlog (`Ahead`) is judged for its bans alone; all else of it waits for
its turn.
Never: waits for anything remote.
Fails: with StateError where the database does not commit (a full disk). The bans are in force all the same, and what
was not committed waits in `uncommitted` for `commit`: nothing is judged twice. What waits is bounded by HELD bytes.
Past them the pipeline is `adrift`: it goes on to judge and to ban, and keeps of each batch nothing but its bans, so
that the cursor stays where it is. Once the database takes everything again, the sources go back to it (`landed`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from . import header, manner, veto
from .actions import Actions
from .correlation import Correlation
from .echo import Echoes
from .errors import StateError
from .firewall import Firewall
from .latency import Histogram
from .logins import Logins
from .matcher import Matcher
from .model import Ahead, Ban, Batch, Classified, Location, Notice, NoticeKind, Outcome, Refusal, Verdict
from .notices import Owed
from .own import Own
from .resolver import Answer, Resolver
from .sighting import Sighting
from .silence import Roll, found, speakers
from .state import State, Transaction
from .tracker import Hit, Spared, Tracker

HELD = 16_777_216
"""Bytes, as `Judged.weight` estimates them, that may wait for the database."""
BANS = 100_000
"""Bans that are remembered while adrift. Of more, the oldest last until the kernel's set is next reconciled."""
BY_NAME = 1_000
"""Hits against whom a name led to that wait for the database. Of more, the oldest do not count after a restart."""
TAKEN_BACK = 4_000
"""Hits that were taken back and wait for the database to say so. Of more, the oldest count again after a restart."""
CLOSER = 0.05
"""Seconds between two closer looks at a batch: each takes half a millisecond for a whole block."""
HEAD = 256
"""Bytes of a source's last line that are kept: its header is in them."""
RETRY = 5.0
"""Seconds until the next try after the database did not commit."""


class Judged(NamedTuple):
    """A batch after the matcher and the tracker: what is to be written down of it. `read`: its lines, counted apart."""

    source: str
    cursor: str
    read: int
    classified: Classified
    bans: tuple[Ban, ...]
    notices: tuple[Notice, ...]
    counted: tuple[bool, ...]
    """Of each attack line in order, whether it counts against its address."""
    sightings: tuple[Sighting, ...] = ()

    @property
    def hits(self) -> Iterator[tuple[Verdict, bool]]:
        """The attack lines, and whether they count."""
        return zip(_attacks(self.classified), self.counted, strict=True)

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes, roughly."""
        lines = self.classified.verdicts
        return 1_000 + 100 * len(self.classified.hits) + sum(600 + 2 * len(line.event.raw) for line in lines)


class Pipeline:
    """The stages in force. A reload `adopt`s a matcher and a tracker between two batches, and replaces `echoes`.

    `echoes` is None where no two sources can show the same message. `notices` are owed to the open period's digest:
    the next commit takes them along. `latest` has of each source its last line, cut, the program that the batch named,
    and when it was judged. `suspended` are the ignore rules that ran out of time: not in force until a reload.
    """

    def __init__(
        self,
        matcher: Matcher,
        tracker: Tracker,
        state: State,
        firewall: Firewall,
        roll: Roll,
        notices: Owed,
        echoes: Echoes | None = None,
    ) -> None:
        self.matcher = matcher
        self.tracker = tracker
        self.state = state
        self.firewall = firewall
        self.roll = roll
        self.notices = notices
        self.echoes = echoes
        self.uncommitted: list[Judged] = []
        self.adrift = False
        self.stalled: str | None = None
        """Why the database does not commit, while it does not."""
        self.next_try = 0.0
        self.latest: dict[str, tuple[bytes, str | None, float]] = {}
        self.logins: Logins | None = None
        self.resolver: Resolver | None = None
        self.own: Own | None = None
        self.made = 0
        """Bans made since the start, by attack rules."""
        self.actions: Actions | None = None
        self.suspended: list[Refusal] = []
        self.latency = Histogram()
        self._correlation = Correlation()
        self._looked = 0.0
        self._weight = 0
        self._bans: list[Ban] = []
        self._by_name: list[tuple[Verdict, bool]] = []
        self._taken_back: list[Verdict] = []

    def adopt(self, matcher: Matcher, tracker: Tracker) -> None:
        """Judge by other rules from now on."""
        self.matcher, self.tracker = matcher, tracker
        self.suspended.clear()

    def process(
        self, batches: Sequence[Batch], now: float, ahead: Sequence[Ahead] = (), answers: Sequence[Answer] = ()
    ) -> None:
        """Account for every line of `batches`, and ban whom they, or what was read `ahead`, or what the `answers` say
        of names that lines had, convict."""
        foreseen = [ban for each in ahead for ban in self._foresee(each, now)]
        foreseen += [ban for each in answers for ban in self._resolved(each, now)]
        self._bans[:] = [*self._bans, *foreseen][-BANS:]
        judged = [self._judge(batch, now) for batch in batches]
        kept = [] if self.adrift else judged
        if self.adrift:
            self._remember(judged)
        self.uncommitted += kept
        try:
            self.commit(now)
        finally:
            if self.uncommitted:
                self._bound(kept)
            bans = foreseen + [ban for each in judged for ban in each.bans]
            self.made += len(bans)
            try:
                self.firewall.apply(bans, now)
            finally:
                if self.actions and bans:
                    self.actions.banned(bans)

    def commit(self, now: float) -> None:
        """Write down what waits, all or nothing. After a failure there is none but every RETRY seconds."""
        if self.waits(now):
            return
        try:
            with self.state.transaction() as tx:
                period = tx.open_period(now)
                for judged in self.uncommitted:
                    _write(tx, period, judged, now)
                tx.add_attacks(self._by_name, now)
                for verdict in self._taken_back:
                    tx.take_back(verdict)
                tx.add_bans(period, self._bans)
                for notice in self.notices:
                    tx.add_notice(period, notice)
        except StateError as error:
            self.stall(str(error), now)
            raise
        self.stalled, self.next_try, self._weight = None, 0.0, 0
        self.uncommitted.clear()
        self._bans.clear()
        self._by_name.clear()
        self._taken_back.clear()
        self.notices.clear()

    def stall(self, why: str, now: float) -> None:
        """The database refuses: commit nothing before RETRY seconds are over."""
        self.stalled, self.next_try = why, now + RETRY

    def waits(self, now: float) -> bool:
        """Whether the next try is still to come."""
        return self.next_try - RETRY <= now < self.next_try

    @property
    def owes(self) -> bool:
        """Whether something waits for the database, if only the news that it commits again."""
        return bool(self.uncommitted or self._bans or self._by_name or self.notices or self.adrift or self.stalled)

    def unwritten(self) -> list[Ban]:
        """The bans in force of which the database does not know yet."""
        return [*self._bans, *(ban for judged in self.uncommitted for ban in judged.bans)]

    def lift(self, prefixes: Collection[str], now: float) -> None:
        """End those of the unwritten bans that are on one of `prefixes`; they are written as over."""
        self.uncommitted[:] = [each._replace(bans=tuple(_ended(each.bans, prefixes, now))) for each in self.uncommitted]
        self._bans[:] = _ended(self._bans, prefixes, now)

    def unwritten_hits(self, now: float) -> list[Hit]:
        """The hits that count and of which the database does not know yet; `now` where a line has no time."""
        taken_back = set(map(id, self._taken_back))
        return [
            Hit(
                now if event.time is None else min(event.time, now),
                rule.file,
                address,
                rule.score,
                event.host or "",
                rule,
                event.raw,
            )
            for verdict, counted in chain(self._by_name, *(judged.hits for judged in self.uncommitted))
            if counted and id(verdict) not in taken_back
            for event, rule, address in [(verdict.event, verdict.attack_by, verdict.address)]
            if rule and address
        ]

    def lag(self) -> dict[str, float]:
        """By source, the seconds that its last line had been written when it was judged; not where it has no time."""
        return {source: max(0.0, judged - written) for source, written, judged in self._written(self.latest)}

    def observe(self, sources: Iterable[str], now: float) -> None:
        """What was judged last of these sources is in force, `now`: how long has that taken since it was written?"""
        for _, written, _ in self._written({source for source in sources if source in self.latest}):
            self.latency.observe(now - written)

    def _written(self, sources: Iterable[str]) -> Iterator[tuple[str, float, float]]:
        """When the last line of each had been written, where it says so, and when it was judged."""
        for source in sources:
            line, program, judged = self.latest[source]
            written = header.parse(line, program, judged).time
            if written is not None:
                yield source, written, judged

    def landed(self, tracker: Tracker) -> None:
        """The sources go back to the committed cursors, and `tracker` knows what is committed: nothing counts twice."""
        for ban in self.unwritten():
            tracker.note_ban(ban)
        self.tracker, self.adrift = tracker, False
        self._correlation.count_anew()
        if self.resolver:
            self.resolver.forget()

    def shift(self, by: float, now: float) -> None:
        """The clock has jumped by so many seconds, to `now`: what is remembered keeps its age, and a ban its length."""
        self.tracker.shift(by)
        self.tracker.leap(by, now)
        self.roll.shift(by)
        self._correlation.shift(by)
        if self.resolver:
            self.resolver.shift(by)
        self.next_try = 0.0
        self.uncommitted[:] = [each._replace(bans=tuple(_moved(each.bans, by))) for each in self.uncommitted]
        self._bans[:] = _moved(self._bans, by)

    def _bound(self, new: Sequence[Judged]) -> None:
        """Of the `new` ones, which are the last, keep what memory may hold; of the others their bans alone."""
        for at, each in enumerate(new, start=len(self.uncommitted) - len(new)):
            self._weight += each.weight
            if self._weight > HELD and at:
                self._remember(self.uncommitted[at:])
                del self.uncommitted[at:]
                self.adrift = True
                break

    def _remember(self, judged: Sequence[Judged]) -> None:
        self._bans[:] = [*self._bans, *(ban for each in judged for ban in each.bans)][-BANS:]

    def _judge(self, batch: Batch, now: float) -> Judged:
        classified = self._classify(batch, now)
        sightings: tuple[Sighting, ...] = ()
        if self.echoes is not None:
            classified, sightings = self.echoes.sift(batch.source, classified)
        self._hear_logins(batch, now)
        counted, bans, notices = self._decide(_attacks(classified), now)
        if self.resolver:
            self.resolver.hear(_attacks(classified), now)
        notices = (*batch.notices, *classified.notices, *notices)
        read = self._look_closer(batch, classified, now)
        if read:
            self.latest[batch.source] = (_last_line(batch.block), batch.program, now)
        return Judged(batch.source, batch.cursor, read, classified, bans, notices, counted, sightings)

    def _classify(self, batch: Batch, now: float, ahead: str | None = None) -> Classified:
        classified = manner.dated(veto.classify(self.matcher, batch, now), batch.manner, now, batch.written)
        classified = manner.attacks_alone(self._correlation.join(classified, now, ahead=ahead), batch.manner)
        self.suspended += _suspensions(classified.notices)
        return self.own.hush(classified) if self.own else classified

    def _foresee(self, ahead: Ahead, now: float) -> tuple[Ban, ...]:
        """Whom it convicts. A rule that ran out of time is told of, and who has logged in is remembered."""
        source = ahead.batch.source
        if ahead.anew:
            self.tracker.forget_ahead(source)
            self._correlation.count_anew(source)
        classified = self._classify(ahead.batch, now, source)
        self._hear_logins(ahead.batch, now)
        _, bans, notices = self._decide(_attacks(classified), now, source)
        for notice in classified.notices + notices:
            self.notices.add(notice)
        return tuple(ban._replace(why=f"{ban.why}; read ahead of a backlog") for ban in bans)

    def _hear_logins(self, batch: Batch, now: float) -> None:
        """Who has logged in takes back what was counted before for his failing to."""
        for user, address in self.logins.hear(batch, now) if self.logins else ():
            self._taken_back += self.tracker.take_back(user, address)
        del self._taken_back[:-TAKEN_BACK]

    def _look_closer(self, batch: Batch, classified: Classified, now: float) -> int:
        """Hear who speaks, and count the lines again: of every batch, or of some while a backlog is read."""
        if not batch.block:
            return 0
        closely = not self._looked <= now < self._looked + CLOSER
        if closely:
            self._looked = now
            heard = speakers(batch, classified.verdicts, self.roll.wanted, now)
        else:
            heard = found(batch, self.roll.wanted, now)
        self.roll.hear(batch.source, heard, now)
        return batch.block.count(b"\n") if closely else batch.count

    def _resolved(self, answer: Answer, now: float) -> tuple[Ban, ...]:
        """Whom lines convict that waited for this answer. They are accounted for: what is new is who it was."""
        verdicts = self.resolver.take(answer, now) if self.resolver else []
        counted, bans, notices = self._decide(verdicts, now)
        if not self.adrift:
            self._by_name = [*self._by_name, *zip(verdicts, counted, strict=True)][-BY_NAME:]
        for notice in notices:
            self.notices.add(notice)
        return tuple(ban._replace(why=f"{ban.why}; by its confirmed name {answer.name}") for ban in bans)

    def _decide(
        self, verdicts: Iterable[Verdict], now: float, ahead: str | None = None
    ) -> tuple[tuple[bool, ...], tuple[Ban, ...], tuple[Notice, ...]]:
        """Of attacks, which of them count, and what follows."""
        weigh = self.tracker.weigh
        attacks = [weigh(verdict, now, ahead) for verdict in verdicts]
        bans = tuple(each for _, each in attacks if isinstance(each, Ban))
        spared = (each for _, each in attacks if isinstance(each, Spared))
        notices = tuple(Notice(NoticeKind.FIREWALL, each.prefix, each.why, now) for each in spared)
        return tuple(counted for counted, _ in attacks), bans, notices


def _attacks(classified: Classified) -> Iterator[Verdict]:
    return (verdict for verdict in classified.verdicts if verdict.outcome is Outcome.ATTACK)


def _suspensions(notices: Iterable[Notice]) -> Iterator[Refusal]:
    """The ignore rules among them, which go by `file:line`; an attack rule is still tried on shorter lines."""
    for notice in notices:
        file, _, line = notice.about.rpartition(":")
        if notice.kind is NoticeKind.REFUSED and line.isdigit():
            yield Refusal(Location(file, int(line)), notice.text.removeprefix(f"{notice.about} "))


def _write(tx: Transaction, period: int, judged: Judged, now: float) -> None:
    if judged.read or judged.classified.counts:
        tx.count(period, judged.source, judged.read, judged.classified, now)
    tx.add_entries(period, (verdict for verdict in judged.classified.verdicts if verdict.reported), now)
    tx.add_attacks(judged.hits, now)
    tx.add_bans(period, judged.bans)
    for notice in judged.notices:
        tx.add_notice(period, notice)
    tx.add_sightings(judged.sightings)
    tx.set_cursor(judged.source, judged.cursor, now)


def _last_line(block: bytes) -> bytes:
    start = block.rfind(b"\n", 0, -1) + 1
    return block[start : start + HEAD].rstrip(b"\n")


def _moved(bans: Sequence[Ban], by: float) -> list[Ban]:
    return [ban._replace(since=ban.since + by, until=ban.until + by) for ban in bans]


def _ended(bans: Sequence[Ban], prefixes: Collection[str], now: float) -> list[Ban]:
    return [ban._replace(until=now, lifted=True) if ban.prefix in prefixes and ban.until > now else ban for ban in bans]
