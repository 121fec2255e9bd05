"""Puts a new Watch in force in the place of the old one, between two batches.

Each takes the daemon. Where the database refuses, nothing has changed; trouble at another edge is a notice.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from . import presets, upkeep, watch
from .mailing import next_digest
from .model import Notice, NoticeKind
from .watch import Watch

if TYPE_CHECKING:
    from .daemon import Daemon
    from .settings import Config

log = logging.getLogger("logwarden")


def adopt(daemon: Daemon, new: Watch, now: float) -> None:
    """Put `new` in force. Raises StateError, and then the old watch is."""
    new = new._replace(guard=daemon.protection.guard(new.config))  # before hits are counted by prefixes that it forbids
    tracker = watch.tracker(
        new, daemon.state, now, daemon.pipeline.unwritten_hits(now), daemon.pipeline.unwritten(), daemon.protection
    )
    old, daemon.watch = daemon.watch, _keeping_places(daemon, new, now)
    daemon.pipeline.adopt(new.matcher, tracker)
    daemon.roll.expected = upkeep.expected(new.config)
    daemon.next_digest = next_digest(new.config, now)
    daemon.edge(NoticeKind.STATE, lambda: daemon.routes.plan(new.config, now))
    upkeep.notice_refusals(daemon, now)
    if new.config.bans != old.config.bans:
        _change_firewall(daemon, old.config, new.config)
        daemon.protection.adopt(new.config)
    else:
        # Whoever asks for a reload has the kernel looked at, too: as it is now, for to count what was takes seconds.
        upkeep.reconcile(daemon, daemon.clock())
    daemon.protect()
    if watch.rule_directories(new.config) != watch.rule_directories(old.config):
        daemon.listen_anew()
    if _sources(new) != _sources(old):
        daemon.edge(NoticeKind.STATE, daemon.restart_sources)
    log.info("reloaded: %s", daemon.summary())


def _keeping_places(daemon: Daemon, new: Watch, now: float) -> Watch:
    """`new`, but with the state directory and the socket that are open: those change with a restart alone."""
    held = daemon.watch.config
    for key, ours, theirs in (("state", held.state, new.config.state), ("socket", held.socket, new.config.socket)):
        if ours != theirs:
            text = f"{theirs} comes into use at the next restart; until then it is {ours}"
            daemon.note(Notice(NoticeKind.RELOAD, key, text, now))
    return new._replace(config=new.config._replace(state=held.state, socket=held.socket))


def _sources(of: Watch) -> object:
    """All that the sources depend on."""
    return of.config.sources, presets.files(of.config, of.rules.presets)


def _change_firewall(daemon: Daemon, old: Config, new: Config) -> None:
    if (old.bans.actions, old.bans.mode) != (new.bans.actions, new.bans.mode):
        daemon.actions.stop()
        daemon.actions = daemon.pipeline.actions = daemon.make_actions(new)
    backends = [(each.bans.effective_backend, each.bans.firewall) for each in (old, new)]
    if backends[0] != backends[1]:  # what the old one has left is taken out by the round
        daemon.firewall = daemon.pipeline.firewall = watch.firewall(new, daemon.breaker)
    upkeep.reconcile(daemon, daemon.clock(), expected=True)
