"""Bans by hand: made, lifted, and kept away for a while; what is so afterwards is part of each answer.

Owns: the order of things, which is that of the pipeline: SQLite first, then the tracker, actions and firewall.
Never: says that somebody is free, allowed or banned until a time where another ban says otherwise: `others` names it.
Fails: with AddressError for what is refused, with StateError where the database takes nothing and nothing has changed.
What the firewall refuses is in the answer as `trouble`, and the next round tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from . import address
from .address import Prefix
from .errors import AddressError, EdgeError
from .model import Ban, Notice, NoticeKind
from .protection import ALLOWANCES

if TYPE_CHECKING:
    from .daemon import Daemon

Arguments = Mapping[str, Any]

FEW = 100
"""Prefixes that are looked for one by one among the bans: fewer milliseconds than it takes to look through 100,000."""


def in_force(daemon: Daemon) -> list[Ban]:
    """All of them, those too that the database does not know yet; one for each prefix."""
    now = daemon.clock()
    unwritten = [ban for ban in daemon.unwritten() if ban.until > now]
    return list({ban.prefix: ban for ban in [*daemon.state.bans(now), *unwritten]}.values())


def count(daemon: Daemon) -> int:
    """How many are in force; counted by the database where it knows all of them, for whoever asks each few seconds."""
    return len(in_force(daemon)) if daemon.unwritten() else daemon.state.count_bans(daemon.clock())


def on(daemon: Daemon, network: Prefix) -> list[Ban]:
    """Those that ban `network` or a part of it, found in a moment however many others there are."""
    now = daemon.clock()
    unwritten = [
        each for each in daemon.unwritten() if each.until > now and address.prefix(each.prefix).overlaps(network)
    ]
    return list({each.prefix: each for each in [*daemon.state.bans_on(network, now), *unwritten]}.values())


def ban(daemon: Daemon, arguments: Arguments) -> dict[str, Any]:
    """Ban a prefix by hand."""
    prefix = address.prefix(str(arguments["address"]))
    if prefix.prefixlen == 0:
        raise AddressError(f"{prefix} is everybody")
    now, before = daemon.clock(), on(daemon, prefix)
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
    longest = max([made, *(each for each in before if each.prefix == made.prefix)], key=lambda each: each.until)
    trouble = _enforce(daemon, daemon.firewall.apply, [longest], now)
    others = [each for each in _placed(before, prefix) if each["until"] > until]
    return {"prefix": made.prefix, "until": longest.until, "others": others, "trouble": trouble}


def _placed(bans: Iterable[Ban], network: Prefix) -> list[dict[str, Any]]:
    """What is told of bans that are `on` a prefix, and how each lies to it: the widest first."""
    found = []
    for each in bans:
        length = address.prefix(each.prefix).prefixlen
        lies = "around" if length < network.prefixlen else "inside" if length > network.prefixlen else "same"
        found.append((length, {"prefix": each.prefix, "until": each.until, "why": each.why, "lies": lies}))
    return [each for _, each in sorted(found, key=itemgetter(0))]


def _own_session(network: Prefix, session: object) -> str | None:
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
    before = _placed(on(daemon, network), network)
    inside = [each["prefix"] for each in before if each["lies"] != "around"] if until else []
    trouble = lift(daemon, inside) if inside else None
    daemon.protect()
    others = _placed(on(daemon, network), network)
    lifted = [each["prefix"] for each in before if each not in others]
    return {"prefix": str(network), "until": until, "lifted": lifted, "others": others, "trouble": trouble}


def allowed(daemon: Daemon, _: Arguments) -> dict[str, Any]:
    """What was allowed by hand."""
    return {"allowed": daemon.protection.listed()}


def flush(daemon: Daemon, _: Arguments) -> dict[str, Any]:
    """Lift all bans, and take sets and rules out of the kernel until the next one. Where the firewall does not answer,
    the next round takes the bans out."""
    prefixes = [each.prefix for each in in_force(daemon)]
    trouble = lift(daemon, prefixes) if prefixes else None
    left = _enforce(daemon, daemon.firewall.fini)
    daemon.flushed = left is None
    return {"lifted": prefixes, "trouble": left or trouble}


def unban(daemon: Daemon, arguments: Arguments) -> dict[str, Any]:
    """Lift one ban, or all."""
    wanted = str(arguments["address"])
    if wanted == "all":
        prefixes = [made.prefix for made in in_force(daemon)]
        return {"lifted": prefixes, "others": [], "trouble": lift(daemon, prefixes)}
    banned = _banned(daemon, wanted)
    trouble = lift(daemon, [str(banned)])
    return {"lifted": [str(banned)], "others": _placed(on(daemon, banned), banned), "trouble": trouble}


def _banned(daemon: Daemon, wanted: str) -> Prefix:
    """The narrowest ban that covers `wanted`: an address inside a banned prefix names it."""
    network = address.prefix(wanted)
    banned = [address.prefix(each.prefix) for each in on(daemon, network)]
    covering = [each for each in banned if each.prefixlen <= network.prefixlen]
    if not covering:
        raise AddressError(f"{wanted} is not banned")
    return max(covering, key=attrgetter("prefixlen"))


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
    now, wanted, state = daemon.clock(), set(prefixes), daemon.state
    bans = (
        [each for text in wanted for each in state.bans_on(address.prefix(text), now)] if len(wanted) <= FEW else None
    )
    written = {each.prefix: each for each in (state.bans(now) if bans is None else bans) if each.prefix in wanted}
    unwritten = {each.prefix: each for each in daemon.unwritten() if each.prefix in wanted and each.until > now}
    if written:
        with state.transaction() as tx:
            for prefix in written:
                tx.lift_ban(prefix, now)
    daemon.pipeline.lift(prefixes, now)
    for prefix in prefixes:
        daemon.pipeline.tracker.lift(address.prefix(prefix), now)
    daemon.actions.unbanned({**written, **unwritten}.values())
    return _enforce(daemon, daemon.firewall.lift, prefixes)


def lift_protected(daemon: Daemon) -> None:
    """After a reload: lift what the allowlist now covers. Bans by hand stay: somebody meant them."""
    now = daemon.clock()
    by = dict(daemon.state.prefixes_banned(now))
    by.update((ban.prefix, ban.attack) for ban in daemon.unwritten() if ban.until > now)
    covered = daemon.watch.guard.refused_of(prefix for prefix, attack in by.items() if attack != "manual")
    if covered:
        lift(daemon, covered)
