"""What the daemon answers: one function a command of the control socket, and the table that finds it.

Each takes the daemon and the request's arguments, and returns plain JSON data. A LogwardenError becomes the
client's error, and so does an argument that is missing or of the wrong type; neither stops the daemon.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import __version__, address, past, undeliverable
from .control import Request
from .errors import AddressError, EdgeError, LogwardenError
from .model import Ban, Notice, NoticeKind, Outcome
from .protection import ALLOWANCES

if TYPE_CHECKING:
    from .daemon import Daemon

Arguments = Mapping[str, Any]


def answer(daemon: Daemon, request: Request) -> None:
    """Set the request's reply; a reload's is set when it is done."""
    if request.command == "reload":
        daemon.reload(request.reply)
        return
    try:
        reply = {"ok": True, **TABLE[request.command](daemon, request.arguments)}
    except KeyError as error:
        known = request.command in TABLE
        reply = {"ok": False, "error": f"{request.command} needs {error}" if known else f"no command {request.command}"}
    except (LogwardenError, ValueError, TypeError) as error:
        reply = {"ok": False, "error": str(error)}
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
        "bans": len(_in_force(daemon)),
        "next_digest": daemon.next_digest,
        "period": period[1] if period else None,
        "lines": {str(outcome): sum(counts[outcome] for counts in tallies.values()) for outcome in Outcome},
        "sources": {
            source: {"read": sum(counts.values()), **{str(outcome): counts[outcome] for outcome in Outcome}}
            for source, counts in sorted(tallies.items())
        },
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
        + list(daemon.notices.faults.values())
        + [f"{notice.about}: {notice.text}" for notice in daemon.notices.latest],
        "outbox": [{**each, "file": _file(config.state, each)} for each in daemon.state.undelivered()],
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


def _in_force(daemon: Daemon) -> list[Ban]:
    """The bans in force, those too that the database does not know yet; one for each prefix."""
    now = daemon.clock()
    unwritten = [ban for ban in daemon.unwritten() if ban.until > now]
    return list({ban.prefix: ban for ban in [*daemon.state.bans(now), *unwritten]}.values())


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
            for ban in _in_force(daemon)
        ]
    }


def ban(daemon: Daemon, arguments: Arguments) -> dict[str, Any]:
    """Ban a prefix by hand."""
    prefix = address.prefix(str(arguments["address"]))
    if prefix.prefixlen == 0:
        raise AddressError(f"{prefix} is everybody")
    now = daemon.clock()
    refusal = _own_session(prefix, arguments.get("session")) or daemon.watch.guard.refusal(prefix)
    refusal = refusal or daemon.protection.logged_in(prefix, now)
    if refusal and not arguments.get("force"):
        raise AddressError(f"{refusal}; --force bans it all the same")
    length = arguments.get("length")
    until = now + (daemon.watch.config.bans.default.ban if length is None else float(length))
    if not now < until < now + 100 * 366 * 86400:
        raise AddressError("a ban must be longer than 0 and shorter than 100 years")
    made = Ban(str(prefix), now, until, "manual", "banned by hand")
    with daemon.state.transaction() as tx:
        tx.add_ban(tx.open_period(now), made)
    daemon.pipeline.tracker.note_ban(made)
    daemon.actions.banned([made])
    return {"prefix": made.prefix, "until": until, "trouble": _enforce(daemon, daemon.firewall.apply, [made], now)}


def _own_session(network: address.Prefix, session: object) -> str | None:
    """Whether the one who asks comes from there himself: `session` is the address of his ssh client."""
    try:
        client = address.parse(str(session)) if session else None
    except ValueError:
        return None
    inside = client is not None and client.version == network.version and client in network
    return f"{client} is where your own ssh session comes from" if inside else None


def allow(daemon: Daemon, arguments: Arguments) -> dict[str, Any]:
    """Let nobody ban a prefix for a while, and lift what it covers; with `end`, no longer."""
    network, now = address.prefix(str(arguments["address"])), daemon.clock()
    allowances = dict(daemon.protection.allowances)
    if arguments.get("end"):
        if allowances.pop(str(network), None) is None:
            raise AddressError(f"{network} is not allowed by hand")
        until = None
    else:
        until = allowances[str(network)] = now + float(arguments["length"])
    with daemon.state.transaction() as tx:
        tx.remember(ALLOWANCES, allowances)
    daemon.protection.allowances = allowances
    inside = [each.prefix for each in _in_force(daemon) if _within(each.prefix, network)] if until else []
    trouble = lift(daemon, inside) if inside else None
    daemon.protect()
    return {"prefix": str(network), "until": until, "lifted": inside, "trouble": trouble}


def _within(banned: str, network: address.Prefix) -> bool:
    other = address.prefix(banned)
    return other.version == network.version and other.subnet_of(network)  # type: ignore[arg-type] # one family


def allowed(daemon: Daemon, _: Arguments) -> dict[str, Any]:
    """What was allowed by hand."""
    return {"allowed": daemon.protection.listed()}


def flush(daemon: Daemon, _: Arguments) -> dict[str, Any]:
    """Lift all bans, and take sets and rules out of the kernel until the next one."""
    prefixes = [each.prefix for each in _in_force(daemon)]
    trouble = lift(daemon, prefixes) if prefixes else None
    daemon.flushed = True
    return {"lifted": prefixes, "trouble": _enforce(daemon, daemon.firewall.fini) or trouble}


def unban(daemon: Daemon, arguments: Arguments) -> dict[str, Any]:
    """Lift one ban, or all."""
    wanted = str(arguments["address"])
    in_force = [made.prefix for made in _in_force(daemon)]
    prefixes = in_force if wanted == "all" else [_banned(wanted, in_force)]
    return {"lifted": prefixes, "trouble": lift(daemon, prefixes)}


def _banned(wanted: str, in_force: list[str]) -> str:
    """The narrowest ban that covers `wanted`: an address inside a banned prefix names it."""
    network = address.prefix(wanted)
    covering = [
        banned
        for banned in map(address.prefix, in_force)
        if network.version == banned.version and network.subnet_of(banned)  # type: ignore[arg-type]
    ]
    if not covering:
        raise AddressError(f"{wanted} is not banned")
    return str(max(covering, key=lambda banned: banned.prefixlen))


def _enforce(daemon: Daemon, act: Callable[..., None], *arguments: object) -> str | None:
    """Tell the firewall. What it refuses is in SQLite all the same, and the next round tries again; returns why."""
    try:
        act(*arguments)
    except EdgeError as error:
        daemon.note(Notice(NoticeKind.FIREWALL, daemon.watch.config.bans.backend, str(error), daemon.clock()))
        return f"written down, but not in the firewall yet: {error}"
    return None


def lift(daemon: Daemon, prefixes: list[str]) -> str | None:
    """End bans in SQLite, in the tracker's memory and in the kernel; returns what the firewall had against it.

    Where all of them wait to be written, SQLite is not asked: they can be lifted while it takes nothing.
    """
    now = daemon.clock()
    ended = [ban for ban in _in_force(daemon) if ban.prefix in set(prefixes)] if daemon.actions.unbans else []
    written = {ban.prefix for ban in daemon.state.bans(now)}.intersection(prefixes)
    if written:
        with daemon.state.transaction() as tx:
            for prefix in written:
                tx.lift_ban(prefix, now)
    daemon.pipeline.lift(prefixes, now)
    for prefix in prefixes:
        daemon.pipeline.tracker.lift(address.prefix(prefix), now)
    daemon.actions.unbanned(ended)
    return _enforce(daemon, daemon.firewall.lift, prefixes)


def lift_protected(daemon: Daemon) -> None:
    """After a reload: lift what the allowlist now covers. Bans by hand stay: somebody meant them."""
    covered = daemon.watch.guard.refused_of(ban.prefix for ban in _in_force(daemon) if ban.attack != "manual")
    if covered:
        lift(daemon, covered)


def preview(daemon: Daemon, arguments: Arguments) -> dict[str, Any]:
    """The digest as it would be now, or of all periods that ended after a time."""
    since = arguments.get("since")
    since = None if since is None else float(since)
    rendered = daemon.mailing.preview(daemon.watch.config, daemon.refused(), daemon.clock(), since)
    if rendered is None:
        return {"subject": None, "text": "Nothing to report."}
    return {"subject": rendered.subject, "text": rendered.text, "html": rendered.html}


def digest(daemon: Daemon, _: Arguments) -> dict[str, Any]:
    """Close the period and send its digest."""
    now = daemon.clock()
    subject = daemon.close_period(now)
    daemon.mailing.dispatch(daemon.watch.config, now)
    return {"subject": subject}


TABLE: dict[str, Callable[[Daemon, Arguments], dict[str, Any]]] = {
    "status": status,
    "bans": bans,
    "ban": ban,
    "unban": unban,
    "allow": allow,
    "allowed": allowed,
    "why": past.why,
    "flush": flush,
    "preview": preview,
    "digest": digest,
}
