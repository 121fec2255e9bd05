"""What the daemon answers: one function a command of the control socket, and the table that finds it.

Each takes the daemon and the request's arguments, and returns plain JSON data. A LogwardenError becomes the
client's error, and so does an argument that is missing, of the wrong type, or a number beyond all; none of them stops
the daemon.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import __version__, byhand, maintenance, past, presets, undeliverable
from .control import Request
from .errors import EdgeError, LogwardenError, StateError
from .model import Outcome
from .press import Result
from .reload import Reply

if TYPE_CHECKING:
    from .daemon import Daemon

Arguments = Mapping[str, Any]
SLOWEST = 20
"""Rules that took the longest, of those that the `regex` engine has, which `counters` names."""
PREVIEWS = 4
"""Digests that may wait to be made when another preview is asked for: whoever may read could hold up the mail else."""


def answer(daemon: Daemon, request: Request) -> None:
    """Set the request's reply; that of a command in LATER is set when it is done."""
    try:
        if later := LATER.get(request.command):
            later(daemon, request.arguments, request.reply)
            return
        reply = {"ok": True, **TABLE[request.command](daemon, request.arguments)}
    except KeyError as error:
        known = request.command in TABLE
        reply = {"ok": False, "error": f"{request.command} needs {error}" if known else f"no command {request.command}"}
    except (LogwardenError, ValueError, TypeError, OverflowError) as error:
        reply = _refusal(error)
    request.reply.set_result(reply)


def rules(daemon: Daemon) -> dict[str, int]:
    """How many rules are in force."""
    return {"ignore": len(daemon.watch.rules.ignore), "attack": len(daemon.watch.rules.attack)}


def status(daemon: Daemon, _: Arguments) -> dict[str, Any]:
    """All that `logwarden status` shows."""
    config = daemon.watch.config
    period = daemon.state.period()
    tallies = daemon.state.tallies()
    return {
        "version": __version__,
        "host": config.host,
        "since": daemon.since,
        "mode": config.bans.mode,
        "backend": config.bans.effective_backend,
        "rules": rules(daemon),
        "bans": byhand.count(daemon),
        "next_digest": daemon.next_digest,
        "period": period[1] if period else None,
        "lines": {str(outcome): sum(counts[outcome] for counts in tallies.values()) for outcome in Outcome},
        "sources": {
            source: {"read": sum(counts.values()), **{str(outcome): counts[outcome] for outcome in Outcome}}
            for source, counts in sorted(tallies.items())
        },
        "presets": presets.report(config, daemon.watch.rules.presets, daemon.found()),
        "waiting": len(daemon.inbox),
        "rss": _rss(),
        "lag": daemon.pipeline.lag(),
        "unread": {source: lag._asdict() for source, lag in sorted(daemon.unread().items())},
        "uncommitted": {
            "batches": len(daemon.pipeline.uncommitted),
            "adrift": daemon.pipeline.adrift,
            "why": daemon.pipeline.stalled,
        },
        "database": {
            **dict(zip(("used", "taken"), daemon.state.size(), strict=True)),
            "limit": config.retention.size,
            "shrunk": daemon.shrunk,
        },
        "problems": [str(refusal) for refusal in daemon.refused()]
        + [*daemon.notices.faults.values(), *daemon.breaker.faults]
        + [f"{notice.about}: {notice.text}" for notice in daemon.notices.latest],
        "outbox": [{**each, "file": _file(config.state, each)} for each in daemon.state.undelivered()],
    }


def counters(daemon: Daemon, _: Arguments) -> dict[str, Any]:
    """What `logwarden metrics` shows besides the status: counted since the start, or by the database."""
    return {
        "bans_made": daemon.pipeline.made,
        "dropped": sum(daemon.dropped().values()),
        "latency": daemon.pipeline.latency.dump(),
        "attacks": {rule: lines for rule, (lines, _) in daemon.state.rule_totals().items() if "#" in rule},
        "slow": dict(list(daemon.state.slow_rules().items())[:SLOWEST]),
    }


def _rss() -> int | None:
    """This process's resident memory, bytes: proc_pid_statm(5)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _file(state: str, message: Mapping[str, Any]) -> str | None:
    """Where a message is kept that was given up."""
    return str(undeliverable.path(state, message["message_id"])) if message["given_up"] is not None else None


def bans(daemon: Daemon, _: Arguments) -> dict[str, Any]:
    """The bans in force."""
    unwritten = {ban.prefix for ban in daemon.unwritten()}
    times, dropped = daemon.state.times_by_prefix(), daemon.dropped()
    return {
        "bans": [
            {
                "prefix": ban.prefix,
                "attack": ban.attack,
                "why": ban.why,
                "hits": ban.hits,
                "since": ban.since,
                "until": ban.until,
                "times": times.get(ban.prefix, 0) + (ban.prefix in unwritten),
                "dropped": dropped.get(ban.prefix),
            }
            for ban in byhand.in_force(daemon)
        ]
    }


def preview(daemon: Daemon, arguments: Arguments, reply: Reply) -> None:
    """The digest as it would be now, or of all periods that ended after a time."""
    back = _back(arguments.get("since"), daemon.clock())
    if daemon.press.waiting >= PREVIEWS:
        raise EdgeError("other digests are being made: ask again in a moment")

    def shown(result: Result, _: float) -> None:
        try:
            rendered = result()
        except LogwardenError as error:
            reply.set_result(_refusal(error))
            raise
        daemon.mailing.complaining(rendered)
        nothing = {"subject": None, "text": "Nothing to report."}
        said = {"subject": rendered.subject, "text": rendered.text, "html": rendered.html} if rendered else nothing
        reply.set_result({"ok": True, **said})

    daemon.mailing.preview(daemon.watch.config, daemon.refused(), daemon.clock(), back, shown)


def _back(since: Any, now: float) -> float | None:
    """How many seconds to look back: a number, and no further than anything can have been said. Raises ValueError."""
    if since is None:
        return None
    seconds = float(since)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"since: {since} is no number of seconds")
    return min(seconds, now)


def digest(daemon: Daemon, _: Arguments, reply: Reply) -> None:
    """Close the period and send its digest."""

    def told(what: str | StateError | None) -> None:
        reply.set_result(_refusal(what) if isinstance(what, StateError) else {"ok": True, "subject": what})

    daemon.close_period(daemon.clock(), told)


TABLE: dict[str, Callable[[Daemon, Arguments], dict[str, Any]]] = {
    "status": status,
    "counters": counters,
    "bans": bans,
    "ban": byhand.ban,
    "unban": byhand.unban,
    "allow": byhand.allow,
    "allowed": byhand.allowed,
    "why": past.why,
    "flush": byhand.flush,
    "maintenance": maintenance.begin,
    "windows": maintenance.windows,
}

LATER: dict[str, Callable[[Daemon, Arguments, Reply], None]] = {
    "reload": lambda daemon, _, reply: daemon.reload(reply),
    "preview": preview,
    "digest": digest,
}
"""Commands that take a while: others go on meanwhile."""


def _refusal(error: Exception) -> dict[str, Any]:
    return {"ok": False, "error": str(error)}
