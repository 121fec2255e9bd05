"""What is known of an address: `logwarden why`. Every line that counted, the policies, the bans, and who protects it.

Never: changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import address, watch
from .address import Prefix
from .tracker import NO_RULE

if TYPE_CHECKING:
    from .daemon import Daemon

LINES = 10_000
"""Attack lines that are told, the latest."""


def why(daemon: Daemon, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """All of it, oldest first, as plain JSON data."""
    asked = address.prefix(str(arguments["address"]))
    network = asked
    if asked.version == 6 and asked.prefixlen == 128:
        network = address.source_prefix(asked.network_address, daemon.watch.config.bans.ipv6_prefix)
    now = daemon.clock()
    lines = [dict(row) for row in daemon.state.attacks_from(network, LINES)]
    bans = [{**ban, "in_force": ban["lifted"] is None and ban["until"] > now} for ban in _bans(daemon, network)]
    files = {row["file"] for row in lines} | {ban["attack"] for ban in bans}
    policies = watch.policies(daemon.watch)
    default = daemon.watch.config.bans.default
    return {
        "address": str(asked),
        "counted_as": str(network),
        "protected": daemon.watch.guard.refusal(asked) or daemon.protection.logged_in(asked, now),
        "lines": lines,
        "bans": bans,
        "policies": {
            file: {"threshold": policy.threshold, "window": policy.window, "ban": policy.ban}
            for file in sorted(files.difference(NO_RULE))
            for policy in [policies.get(file, default)]
        },
    }


def _bans(daemon: Daemon, network: Prefix) -> list[dict[str, Any]]:
    """The bans of the prefix, of what is inside it and of what is around it, those too that are not written yet."""
    fields = ("prefix", "since", "until", "attack", "why", "hits")
    written = daemon.state.bans_of(network)
    known = {(ban["prefix"], ban["since"]) for ban in written}
    unwritten = [
        {**{field: getattr(ban, field) for field in fields}, "lifted": None}
        for ban in daemon.unwritten()
        if (ban.prefix, ban.since) not in known and address.prefix(ban.prefix).overlaps(network)
    ]
    return written + unwritten
