"""The daemon: start, run, reload, stop; the one clock and the one queue.

Owns: the consumer loop, in which everything that changes state happens, one thing after the other: batches from the
sources, requests from the control socket, results of deliveries and of reloads, digests that are made, timers.
Never: reads a line, makes a digest, mails or compiles in that loop: threads do, and report to the inbox.
Fails: a bad config or an unusable database at the start ends it; afterwards trouble at an edge becomes a notice in
the digest, the state is kept, and the minute's round tries again. A bug ends it, and systemd starts it anew.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any

from . import __version__, adoption, answers, byhand, heap, own, systemd, upkeep, watch
from .actions import Actions
from .allowlist import Protected
from .clock import Clock
from .control import Request, Server
from .errors import EdgeError, LogwardenError, StateError
from .feed import Feed
from .firewall import Breaker, Counters
from .immediate import Immediate
from .inbox import Crashed, Edited, Inbox, Signalled
from .mailing import Mailing, Told, next_digest
from .model import Ahead, Ban, Batch, Found, Lag, Notice, NoticeKind, Refusal
from .notices import Notices
from .outbox import Attempt, Courier
from .own import Own
from .pipeline import Pipeline
from .press import Made, Press
from .protection import Protection
from .reload import Rebuilt, Reloader, Reply
from .resolver import Answer, Resolver
from .routes import Routes
from .rulewatch import RuleWatch
from .settings import Config
from .silence import Roll
from .sources import Source
from .state import State
from .traces import Traces

log = logging.getLogger("logwarden")

ROUND = 60.0
"""Seconds between two rounds of upkeep."""
TURN, START, STOP = 20.0, 60.0, 5.0
"""Seconds that the firewall's commands may take together in a turn of the loop, at the start, and at the stop."""
COALESCE = 262_144
"""Bytes after which no more batches share a transaction: small ones are cheaper together, and none waits long."""


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot() -> str:
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
    return ""


class Daemon:
    """One running logwarden. `clock` gives POSIX seconds; `since_boot` seconds on a clock that nobody can set.

    `lean`: see `watch.build`.
    """

    def __init__(
        self,
        settings: Config,
        clock: Callable[[], float] = time.time,
        since_boot: Callable[[], float] = _since_boot,
        *,
        lean: bool = False,
    ) -> None:
        self.clock = clock
        self.watched = Clock(clock, since_boot, _boot())
        self.owed_shift = 0.0  # seconds that the clock has jumped and the times in state have not
        self.owed_from: float | None = None  # the times from then on; None: all
        self.since = clock()
        self.state = State(settings.state)
        self._edits = self._listen(settings)
        self.watch = watch.build(settings, lean=lean)
        self.breaker = Breaker(time.monotonic, START)
        self.firewall = watch.firewall(settings, self.breaker)
        self._counters = Counters(time.monotonic)
        self.traces = Traces(settings.state, self.breaker)
        self.pipeline: Pipeline  # made by `start`, once the bans are in force
        self.inbox = Inbox()
        self.courier = Courier(self.inbox.put)
        self.notices = Notices(self.state)
        self.press = Press(self.state, settings.state, self.inbox.put)
        self.immediate = Immediate(self.state, self.press)
        self.mailing = Mailing(self.state, self.press, self.courier, self.immediate, self._of_mail)
        self.mailing.dropped = self.dropped
        self.routes = Routes(self.state, self.press)
        self.routes.dropped = self.dropped
        self.roll = Roll(self.since)
        self.protection = Protection(settings, self.inbox.put)
        self.resolver = Resolver(self.inbox.put)
        self.actions = self.make_actions(settings)
        self.own = Own(socket.gethostname(), settings.host)
        self.flushed = False
        """Nothing of ours is in the kernel, for somebody said so, until the next ban."""
        self.ended = self.since
        """Up to when the bans that ended by themselves have been told to the actions."""
        self.control = Server(settings.socket, self.inbox.put, clock=time.monotonic)
        self.next_digest = next_digest(settings, self.since)
        self._next_round = self.since + ROUND
        self.next_hour = self.since + upkeep.HOUR
        self.untidy = self.crowded = False  # lines must go from the database; for want of room
        self.shrunk: float | None = None
        """When unused pages of the database were last given back."""
        self._heartbeat = systemd.watchdog_interval()
        self._next_heartbeat = self.since
        self._feed = Feed((), self.inbox)
        self._held: list[Batch] = []
        self._ahead: list[Ahead] = []
        self._answers: list[Answer] = []
        self._reloader = Reloader(self.inbox.put)
        self._started = self._stopping = False

    # --- life -----------------------------------------------------------------------------------------------

    def run(self, ready: Callable[[], object] = lambda: None) -> None:
        """Start, work until SIGTERM or SIGINT, stop. `ready` is called when all is in force."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda got, _frame: self.inbox.put(Signalled(got)))
        threading.excepthook = lambda bug: self.inbox.put(Crashed(bug.exc_value))
        try:
            self.start()
            ready()
            while not self._stopping:
                self.step()
                if self.state.damaged:
                    raise StateError(f"the database is damaged; the next start repairs it: {self.state.damaged}")
            self._flush()
        finally:
            self.stop()

    def start(self) -> None:
        """Put everything in force, then say READY, and begin with what nobody waits for: mail, look-ups, and to hear of
        edits, of which none is missed meanwhile (`RuleWatch`)."""
        now = self.clock()
        self.own.load(self.state.recall(own.MEMORY))
        log.addHandler(self.own)
        self.control.start()  # first of all: it fails where another daemon has the socket
        leapt = upkeep.take_up(self, now)
        self.protection.load(self.watch.config, self.state)
        self.watch = self.watch._replace(guard=self.protection.guard(self.watch.config))
        upkeep.recover(self, now)
        upkeep.reconcile(self, now, expected=True)
        tracker = watch.tracker(self.watch, self.state, now, known=self.protection)
        tracker.leap(leapt, now)
        self.pipeline = Pipeline(self.watch.matcher, tracker, self.state, self.firewall, self.roll, self.notices.owed)
        self.pipeline.logins, self.pipeline.actions = self.protection.logins, self.actions
        self.pipeline.resolver, self.pipeline.own = self.resolver, self.own
        upkeep.notice_refusals(self, now)
        for lack in (*watch.missing(self.watch), *watch.read_twice(self.watch.config)):
            self.note(Notice(NoticeKind.SOURCE, "this host", lack, now))
        self.edge(NoticeKind.STATE, lambda: self.immediate.look(self.watch.config, now))
        self.edge(NoticeKind.STATE, lambda: self.routes.plan(self.watch.config, now))
        self.edge(NoticeKind.STATE, lambda: upkeep.tell_what_is_owed(self, now))
        self._start_sources()
        self._started = True
        systemd.notify(READY=1, STATUS=self.summary())
        log.info("ready: %s", self.summary())
        self.courier.start()
        self.protection.start()
        self._edits.start()

    def stop(self) -> None:
        """Stop the threads, and leave the bans as the config says. Takes under two seconds, and STOP more
        where the firewall hangs that is to be emptied.

        What the sources had read and nobody has judged yet is behind their cursors: the next start reads it.
        """
        systemd.notify(STOPPING=1)
        self.control.stop()
        self._edits.stop()
        self._feed.stop()
        self.protection.stop()
        self.resolver.stop()
        self.actions.stop()
        if self._started and self.watch.config.bans.on_stop == "remove":
            self.breaker.begin(STOP)
            self.edge(NoticeKind.FIREWALL, self._lift_all)
        self.courier.stop()
        if self._started:
            upkeep.leave(self)
        self.state.close()
        log.removeHandler(self.own)

    def _lift_all(self) -> None:
        """But not where the kernel alone knows the bans, for the database is damaged: the next start recovers them."""
        if not self.state.damaged and self.state.repaired is None:
            self.firewall.fini()

    def step(self) -> None:
        """Do what is due, then take what the inbox holds; wait for either. Such a turn ends before systemd's watchdog
        is to be told again, also where the firewall hangs."""
        self.breaker.begin(min(TURN, self._heartbeat * 2 / 3) if self._heartbeat else TURN)
        self._timers()
        item = self.inbox.get(self._patience())
        upkeep.mind_clock(self)
        while item is not None:
            self._take(item)
            if sum(len(batch.block) for batch in self._held) >= COALESCE:
                break
            item = self.inbox.get(0)
        self._flush()

    def _patience(self) -> float:
        """Seconds until something is due."""
        if self.untidy and not self.mailing.making:
            return 0.0
        now = self.clock()
        due = [self.next_digest, self._next_round, self.immediate.due, self.routes.due]
        with suppress(StateError):
            due += [time for time in [self.state.next_delivery()] if time is not None and time > now]
        if self._heartbeat:
            due.append(self._next_heartbeat)
        if self.pipeline.stalled:
            due.append(self.pipeline.next_try)
        return max(0.0, min(min(due) - now, ROUND))

    def _take(self, item: object) -> None:
        match item:
            case Batch():
                self._held.append(item)
                for notice in item.notices:
                    self.notices.hear(notice)
            case Ahead():
                self._ahead.append(item)
            case Answer():
                self._answers.append(item)
            case Notice():
                self.note(item)
            case Protected():
                self.protection.protected = item
                self.protect()
            case Request():
                self._answer(item)
            case Attempt():
                self.mailing.returned(item)
                upkeep.mail(self)
            case Made():
                self.edge(NoticeKind.STATE, lambda: self._printed(item))
            case Rebuilt():
                self._swap(item)
            case Crashed():
                raise item.bug or RuntimeError("a thread ended")
            case Signalled(number=signal.SIGHUP):
                self.reload()
            case Edited():
                self._reloader.ask(self.watch.config, reread=False)
            case Signalled():
                self._stopping = True
            case _:
                raise TypeError(f"nobody sends {item!r}")

    # --- the journey ----------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Process the batches in hand. What the database does not take waits for the next time."""
        if not self._held and not self._ahead and not self._answers and not self.pipeline.owes:
            return
        batches, self._held = self._held, []
        ahead, self._ahead = self._ahead, []
        named, self._answers = self._answers, []
        if not self.pipeline.waits(self.clock()):
            upkeep.settle_clock(self)  # else it waits: times from before the jump and after it must not meet
        now = self.clock()
        try:
            if batches or ahead or named:
                self.pipeline.process(batches, now, ahead, named)
            else:
                self.pipeline.commit(now)
        except StateError as error:
            log.error("%s", error)
        except EdgeError as error:
            self.note(Notice(NoticeKind.FIREWALL, self.watch.config.bans.backend, str(error), now))
        self.inbox.release(len(batches))
        self.pipeline.observe((batch.source for batch in batches), self.clock())
        if not self.pipeline.stalled:
            self.edge(NoticeKind.STATE, lambda: self.immediate.look(self.watch.config, now))
        if self.pipeline.adrift and not (self.pipeline.stalled or self.pipeline.uncommitted or self.owed_shift):
            self.edge(NoticeKind.STATE, self._land)

    def _land(self) -> None:
        """The database takes everything again: go back to what it has, and read from there."""
        tracker = watch.tracker(self.watch, self.state, self.clock(), known=self.protection)
        self._feed.stop()
        waiting = []
        while (item := self.inbox.get(0)) is not None:
            if isinstance(item, Batch):
                self.inbox.release(1)  # it is read once more
            else:
                waiting.append(item)
        for item in waiting:
            self.inbox.put(item)
        self.pipeline.landed(tracker)
        self._start_sources()

    def stall(self, why: str) -> None:
        """The database refuses: nothing is committed for a while."""
        if self._started:
            self.pipeline.stall(why, self.clock())

    def unread(self) -> dict[str, Lag]:
        """How far the sources are behind, those that are."""
        return {source: lag for source, lag in self._feed.lag().items() if lag.bytes or lag.entries}

    def found(self) -> Mapping[str, Found]:
        """What came of each preset, by its path or glob."""
        return self._feed.found()

    def forget_sources(self, names: Collection[str]) -> None:
        """Of files that are gone for good: let the sources in force keep no cursor of them either."""
        self._feed.forget(names)

    def unwritten(self) -> list[Ban]:
        """The bans in force of which the database does not know yet."""
        return self.pipeline.unwritten() if self._started else []

    def refused(self) -> tuple[Refusal, ...]:
        """Every rule that is not in force: refused when it was read, or suspended since."""
        return (*self.watch.refused, *(self.pipeline.suspended if self._started else ()))

    def note(self, notice: Notice) -> None:
        """Put a notice into the open period's digest, into `status`, and into our own log."""
        self.notices.say(notice, stalled=self._started and self.pipeline.stalled is not None)

    def protect(self) -> None:
        """Who must not be banned has changed: a new guard, and what it covers is lifted."""
        self.watch = self.watch._replace(guard=self.protection.guard(self.watch.config))
        self.pipeline.tracker.guard = self.watch.guard
        self.edge(NoticeKind.STATE, lambda: byhand.lift_protected(self))
        troubles = "; ".join(self.protection.protected.troubles)
        before = self.notices.faults.pop("allowlist", None)
        if troubles:
            self.notices.faults["allowlist"] = troubles
            if troubles != before:
                self.note(Notice(NoticeKind.FIREWALL, "allowlist", troubles, self.clock()))

    def dropped(self) -> Mapping[str, int]:
        """Packets dropped, by prefix, as of a moment ago; none where the firewall does not say."""
        return self._counters.dropped(self.firewall)

    def make_actions(self, settings: Config) -> Actions:
        """The actions of a config; none where it only observes. What fails there becomes a notice."""

        def report(text: str) -> None:
            self.inbox.put(Notice(NoticeKind.FIREWALL, "actions", text, self.clock()))

        return Actions(settings.bans.actions if settings.bans.mode == "enforce" else (), report)

    def edge(self, kind: NoticeKind, act: Callable[[], object]) -> bool:
        """Do `act`; trouble at the edge becomes a notice."""
        try:
            act()
        except EdgeError as error:
            self.note(Notice(kind, "logwarden", str(error), self.clock()))
            return False
        return True

    # --- timers ---------------------------------------------------------------------------------------------

    def _timers(self) -> None:
        upkeep.mind_clock(self)
        now, config = self.clock(), self.watch.config
        if self._heartbeat and not self._next_heartbeat - self._heartbeat <= now < self._next_heartbeat:
            self._next_heartbeat = now + self._heartbeat
            systemd.notify(WATCHDOG=1)
        if now >= self.next_digest:
            closed = self.edge(NoticeKind.STATE, lambda: self.close_period(now))
            self.next_digest = next_digest(config, now) if closed else now + ROUND
        if now >= self.immediate.due:
            sent = self.edge(NoticeKind.STATE, lambda: self.immediate.send(config, now, self.mailing.complaining))
            self.immediate.due = self.immediate.due if sent else now + ROUND
        if now >= self.routes.due:
            self.edge(NoticeKind.STATE, lambda: self.routes.send(config, self.refused(), now, self.mailing.complaining))
        if now >= self._next_round:
            self._next_round = now + ROUND
            self._flush()
            self.breaker.retry()
            upkeep.round_(self, now)
            systemd.notify(STATUS=self.summary())
        if self.untidy and not self.mailing.making:
            self.edge(NoticeKind.STATE, lambda: upkeep.tidy(self, now))
        upkeep.mail(self)

    def reschedule(self, now: float) -> None:
        """The clock has jumped to `now`: what is due when?"""
        self.next_digest = next_digest(self.watch.config, now)
        self.immediate.reschedule(now)
        self.edge(NoticeKind.STATE, lambda: self.routes.plan(self.watch.config, now))
        self._next_round = self._next_heartbeat = now
        self.next_hour = now + upkeep.HOUR

    def close_period(self, now: float, told: Told | None = None) -> None:
        """End the open period and have its digest made and put into the outbox; `told` hears of it."""
        self.mailing.close_period(self.watch.config, self.refused(), now, told)

    def _printed(self, made: Made) -> None:
        """A digest is made: let who asked for it have it, and what is due now be looked for."""
        try:
            self.press.finished(made, self.clock())
        except StateError as error:
            self.state.suspect(error)
            raise
        heap.trim()
        if not self.pipeline.stalled:
            self.immediate.look(self.watch.config, self.clock())
        upkeep.mail(self)

    def _of_mail(self, text: str) -> None:
        self.notices.of_mail(text, self.clock())

    # --- reload ---------------------------------------------------------------------------------------------

    def reload(self, reply: Reply | None = None) -> None:
        """Read config and rules anew; `reply` hears of it when they are in force, or refused."""
        systemd.notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
        self._reloader.ask(self.watch.config, reread=True, reply=reply)

    def _swap(self, rebuilt: Rebuilt) -> None:
        self._flush()
        answer: dict[str, Any]
        try:
            adoption.adopt(self, rebuilt.built(), self.clock())
            heap.trim()  # the old watch is gone
            answer = {"ok": True, "problems": list(map(str, self.refused())), "rules": answers.rules(self)}
        except LogwardenError as error:
            text = f"the reload failed, and what was in force stays in force: {error}"
            self.note(Notice(NoticeKind.RELOAD, "reload", text, self.clock()))
            answer = {"ok": False, "error": str(error), "status": error.exit_status}
        systemd.notify(READY=1, STATUS=self.summary())
        for reply in rebuilt.replies:
            reply.set_result(answer)
        self._reloader.finished()

    def listen_anew(self) -> None:
        """Hear of edits in the rule directories of the config in force, and of no others."""
        self._edits.stop()
        self._edits = self._listen(self.watch.config)
        self._edits.start()

    def _listen(self, settings: Config) -> RuleWatch:
        def deaf(text: str) -> None:
            self.inbox.put(Notice(NoticeKind.RELOAD, "rules", text, self.clock()))

        return RuleWatch(watch.rule_directories(settings), lambda: self.inbox.put(Edited()), deaf)

    def _start_sources(self) -> None:
        """Where their last batch ended that is committed, or waits to be."""
        waiting = {judged.source: judged.cursor for judged in self.pipeline.uncommitted}
        shown = (each for judged in self.pipeline.uncommitted for each in judged.sightings)
        self.pipeline.echoes = watch.echoes(self.watch.config, chain(self.state.sightings(), shown))
        self._feed = Feed(watch.sources(self.watch.config, self.watch.rules.presets), self.inbox)
        self._feed.start(self.state.cursors() | waiting, self._source_trouble)

    def _source_trouble(self, source: Source, error: EdgeError) -> None:
        self.note(Notice(NoticeKind.SOURCE, source.name, str(error), self.clock()))

    def restart_sources(self) -> None:
        """End the sources of the old config, judge what they had read, and start the new ones there."""
        self._feed.stop()
        while (item := self.inbox.get(0)) is not None:
            self._take(item)
        self._flush()
        self._start_sources()

    # --- requests -------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> None:
        self._flush()
        answers.answer(self, request)

    def summary(self) -> str:
        """One line for `systemctl status`."""
        ruleset = self.watch.rules
        return f"{len(ruleset.ignore)} ignore and {len(ruleset.attack)} attack rules, version {__version__}"
