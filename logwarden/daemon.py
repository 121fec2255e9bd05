"""The daemon: start, run, reload, stop; the one clock and the one queue.

Owns: the consumer loop, in which everything that changes state happens, one thing after the other: batches from the
sources, requests from the control socket, results of deliveries and of reloads, timers.
Never: reads a line, matches, mails or compiles in that loop: threads do, and report to the inbox.
Fails: a bad config or an unusable database at the start ends it; afterwards trouble at an edge becomes a notice in
the digest, the state is kept, and the minute's round tries again. A bug ends it, and systemd starts it anew.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from . import __version__, answers, firewall, systemd, watch
from .config import Config
from .control import Request, Server
from .errors import EdgeError, LogwardenError, StateError
from .feed import Feed
from .inbox import Crashed, Edited, Inbox, Signalled
from .mailing import Mailing, next_digest
from .model import Batch, Notice, NoticeKind
from .outbox import Attempt, Courier
from .pipeline import Pipeline
from .reload import Rebuilt, Reloader, Reply
from .rulewatch import RuleWatch
from .sources import Source
from .state import State
from .watch import Watch

log = logging.getLogger("logwarden")

ROUND = 60.0
"""Seconds between two rounds: reconcile the firewall, forget what is old."""
TROUBLES = 20
"""The latest notices that `status` shows."""
RETENTION = 30 * 86400.0
"""Seconds that what a digest has told stays in the database."""
COALESCE = 262_144
"""Bytes after which no more batches share a transaction: small ones are cheaper together, and none waits long."""


class Daemon:
    """One running logwarden. `clock` gives POSIX seconds."""

    def __init__(self, settings: Config, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.since = clock()
        self.state = State(settings.state)
        self.watch = watch.build(settings)
        self.firewall = watch.firewall(settings)
        self.pipeline: Pipeline  # made by `start`, once the bans are in force
        self.inbox = Inbox()
        self.courier = Courier(self.inbox.put)
        self.mailing = Mailing(self.state, self.courier, self._mail_trouble)
        self.troubles: deque[Notice] = deque(maxlen=TROUBLES)
        self.control = Server(settings.socket, self.inbox.put)
        self.next_digest = next_digest(settings, self.since)
        self._next_round = self.since + ROUND
        self._heartbeat = systemd.watchdog_interval()
        self._next_heartbeat = self.since
        self._feed = Feed((), self.inbox)
        self._edits = self._listen()
        self._held: list[Batch] = []
        self._owed = 0  # slots of batches that are judged, but not yet committed
        self._reloader = Reloader(self.inbox.put)
        self._started = self._stopping = False

    # --- life -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start, work until SIGTERM or SIGINT, stop."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda got, _frame: self.inbox.put(Signalled(got)))
        threading.excepthook = lambda bug: self.inbox.put(Crashed(bug.exc_value))
        try:
            self.start()
            while not self._stopping:
                self.step()
            self._flush()
        finally:
            self.stop()

    def start(self) -> None:
        """Put everything in force, then say READY."""
        now = self.clock()
        self.control.start()  # first of all: it fails where another daemon has the socket
        self.reconcile(now, expected=True)
        tracker = watch.tracker(self.watch, self.state, now)
        echoes = watch.echoes(self.watch.config, self.state)
        self.pipeline = Pipeline(self.watch.matcher, tracker, self.state, self.firewall, echoes)
        self.notice_refusals(now)
        for lack in (*watch.missing(self.watch), *watch.read_twice(self.watch.config)):
            self.note(Notice(NoticeKind.SOURCE, "this host", lack, now))
        self.courier.start()
        self._start_sources()
        self._edits.start()
        self._started = True
        systemd.notify(READY=1, STATUS=self.summary())
        log.info("ready: %s", self.summary())

    def stop(self) -> None:
        """Stop the threads, and leave the bans as the config says. Takes under two seconds.

        What the sources had read and nobody has judged yet is behind their cursors: the next start reads it.
        """
        systemd.notify(STOPPING=1)
        self.control.stop()
        self._edits.stop()
        self._feed.stop()
        if self._started and self.watch.config.bans.on_stop == "remove":
            self._edge(NoticeKind.FIREWALL, self.firewall.fini)
        self.courier.stop()
        self.state.close()

    def step(self) -> None:
        """Do what is due, then take what the inbox holds; wait for either."""
        self._timers()
        item = self.inbox.get(self._patience())
        while item is not None:
            self._take(item)
            if sum(len(batch.block) for batch in self._held) >= COALESCE:
                break
            item = self.inbox.get(0)
        self._flush()

    def _patience(self) -> float:
        """Seconds until something is due."""
        now = self.clock()
        due = [self.next_digest, self._next_round]
        with suppress(StateError):
            due += [time for time in [self.state.next_delivery()] if time is not None and time > now]
        if self._heartbeat:
            due.append(self._next_heartbeat)
        return max(0.0, min(min(due) - now, ROUND))

    def _take(self, item: object) -> None:
        match item:
            case Batch():
                self._held.append(item)
            case Notice():
                self.note(item)
            case Request():
                self._answer(item)
            case Attempt():
                self._edge(NoticeKind.STATE, lambda: self.mailing.settle(item, self.clock()))
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
        """Process the batches in hand. What the database does not take waits, with its slots, for the next round."""
        if not self._held and not self.pipeline.uncommitted:
            return
        batches, self._held = self._held, []
        self._owed += len(batches)
        try:
            if batches:
                self.pipeline.process(batches, self.clock())
            else:
                self.pipeline.commit(self.clock())
        except StateError as error:
            log.error("%s", error)
            return
        except EdgeError as error:
            self.note(Notice(NoticeKind.FIREWALL, self.watch.config.bans.backend, str(error), self.clock()))
        if not self.pipeline.uncommitted:
            self.inbox.release(self._owed)
            self._owed = 0

    def note(self, notice: Notice) -> None:
        """Put a notice into the open period's digest, into `status`, and into our own log."""
        self.troubles.append(notice)
        log.warning("%s: %s", notice.about, notice.text)
        try:
            with self.state.transaction() as tx:
                tx.add_notice(tx.open_period(notice.time), notice)
        except StateError as error:
            log.error("%s", error)

    def _mail_trouble(self, text: str) -> None:
        """Trouble with the mail itself is no news for a mail: each would be the reason for the next."""
        self.troubles.append(Notice(NoticeKind.MAIL, "mail", text, self.clock()))
        log.warning("mail: %s", text)

    def notice_refusals(self, now: float) -> None:
        """Say that there are rules not in force: once for all, since each digest and `status` list them."""
        refused = self.watch.refused
        if refused:
            text = f"{len(refused)} rules or rule files are not in force, the first of them {refused[0]}"
            self.note(Notice(NoticeKind.REFUSED, "rules", text, now))

    def _edge(self, kind: NoticeKind, act: Callable[[], object]) -> bool:
        """Do `act`; trouble at the edge becomes a notice."""
        try:
            act()
        except EdgeError as error:
            self.note(Notice(kind, "logwarden", str(error), self.clock()))
            return False
        return True

    # --- timers ---------------------------------------------------------------------------------------------

    def _timers(self) -> None:
        now = self.clock()
        if self._heartbeat and not self._next_heartbeat - self._heartbeat <= now < self._next_heartbeat:
            self._next_heartbeat = now + self._heartbeat
            systemd.notify(WATCHDOG=1)
        if now >= self.next_digest:
            self.next_digest = next_digest(self.watch.config, now)
            self._edge(NoticeKind.STATE, lambda: self._close_period(now))
        if now >= self._next_round or self._next_round > now + 2 * ROUND:  # the clock may have jumped back
            self._next_round = now + ROUND
            self._round(now)
        self._edge(NoticeKind.STATE, lambda: self.mailing.dispatch(self.watch.config, now))

    def _close_period(self, now: float) -> None:
        self.mailing.close_period(self.watch.config, self.watch.refused, now)
        with self.state.transaction() as tx:
            tx.forget(now - RETENTION)

    def _round(self, now: float) -> None:
        self._flush()
        self.reconcile(now)
        self.pipeline.tracker.expire(now)
        self.next_digest = min(self.next_digest, next_digest(self.watch.config, now))  # the clock may have jumped back
        systemd.notify(STATUS=self.summary())

    def reconcile(self, now: float, *, expected: bool = False) -> None:
        """Make the kernel's sets what SQLite says. A difference is news, unless it was `expected`."""

        def act() -> None:
            repairs = firewall.reconcile(self.firewall, self.state.bans(now), now)
            if repairs and not expected:
                self.note(Notice(NoticeKind.FIREWALL, self.watch.config.bans.backend, str(repairs), now))

        self._edge(NoticeKind.FIREWALL, act)

    # --- reload ---------------------------------------------------------------------------------------------

    def reload(self, reply: Reply | None = None) -> None:
        """Read config and rules anew; `reply` hears of it when they are in force, or refused."""
        systemd.notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
        self._reloader.ask(self.watch.config, reread=True, reply=reply)

    def _swap(self, rebuilt: Rebuilt) -> None:
        self._flush()
        answer: dict[str, Any]
        try:
            self._adopt(rebuilt.built(), self.clock())
            answer = {"ok": True, "problems": list(map(str, self.watch.refused)), "rules": answers.rules(self)}
        except LogwardenError as error:
            text = f"the reload failed, and what was in force stays in force: {error}"
            self.note(Notice(NoticeKind.RELOAD, "reload", text, self.clock()))
            answer = {"ok": False, "error": str(error), "status": error.exit_status}
        systemd.notify(READY=1, STATUS=self.summary())
        for reply in rebuilt.replies:
            reply.set_result(answer)
        self._reloader.finished()

    def _adopt(self, new: Watch, now: float) -> None:
        """Put `new` in force. Where the database refuses, nothing has changed; trouble at other edges is a notice."""
        tracker = watch.tracker(new, self.state, now)
        old, self.watch = self.watch, self._keeping_places(new, now)
        self.pipeline.matcher, self.pipeline.tracker = new.matcher, tracker
        self.next_digest = next_digest(new.config, now)
        self.notice_refusals(now)
        if new.config.bans != old.config.bans:
            self._change_firewall(old.config, new.config)
        self._edge(NoticeKind.STATE, lambda: answers.lift_protected(self))
        if watch.rule_directories(new.config) != watch.rule_directories(old.config):
            self._edits.stop()
            self._edits = self._listen()
            self._edits.start()
        if new.config.sources != old.config.sources:
            self._edge(NoticeKind.STATE, self._restart_sources)
        log.info("reloaded: %s", self.summary())

    def _keeping_places(self, new: Watch, now: float) -> Watch:
        """`new`, but with the state directory and the socket that are open: those change with a restart alone."""
        held = self.watch.config
        for key, ours, theirs in (("state", held.state, new.config.state), ("socket", held.socket, new.config.socket)):
            if ours != theirs:
                text = f"{theirs} comes into use at the next restart; until then it is {ours}"
                self.note(Notice(NoticeKind.RELOAD, key, text, now))
        return replace(new, config=replace(new.config, state=held.state, socket=held.socket))

    def _listen(self) -> RuleWatch:
        return RuleWatch(watch.rule_directories(self.watch.config), lambda: self.inbox.put(Edited()))

    def _change_firewall(self, old: Config, new: Config) -> None:
        if old.bans.effective_backend != new.bans.effective_backend:
            self._edge(NoticeKind.FIREWALL, self.firewall.fini)
            self.firewall = self.pipeline.firewall = watch.firewall(new)
        self.reconcile(self.clock(), expected=True)

    def _start_sources(self) -> None:
        """Where their last batch ended that is committed, or waits to be."""
        waiting = {judged.source: judged.cursor for judged in self.pipeline.uncommitted}
        self._feed = Feed(watch.sources(self.watch.config), self.inbox)
        self._feed.start(self.state.cursors() | waiting, self._source_trouble)

    def _source_trouble(self, source: Source, error: EdgeError) -> None:
        self.note(Notice(NoticeKind.SOURCE, source.name, str(error), self.clock()))

    def _restart_sources(self) -> None:
        """End the sources of the old config, judge what they had read, and start the new ones there."""
        self._feed.stop()
        while (item := self.inbox.get(0)) is not None:
            self._take(item)
        self._flush()
        self.pipeline.echoes = watch.echoes(self.watch.config, self.state)
        self._start_sources()

    # --- requests -------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> None:
        self._flush()
        answers.answer(self, request)

    def summary(self) -> str:
        """One line for `systemctl status`."""
        ruleset = self.watch.rules
        return f"{len(ruleset.ignore)} ignore and {len(ruleset.attack)} attack rules, version {__version__}"
