"""The nftables backend: a table of our own, `inet logwarden`, that no other program has to make room for.

Owns: one set for each family and prefix length in use, a hash of masked addresses with a timeout each, and one rule
each that drops what is in it. (An interval set would hold all lengths at once, but refuses a prefix inside another, and
nft(8) reads all of it before each change: with 100,000 bans that is seconds for one ban.) A batch is one `nft -f -`,
which the kernel takes whole or not at all.
Never: touches another table. `hook` may be PREROUTING, INPUT or none (sets alone); other tables' chains cannot be used.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

from ..errors import FirewallError
from ..model import Ban
from .conntrack import Cutter
from .protocol import Hook, Run, Settings, checked, command, seconds_left

TABLE = "inet logwarden"
CEILING = 365 * 86_400
"""A year: nft(8) reads no number of more than eight digits as seconds."""
_CHAIN = "banned"
_CHAIN_GONE = (f"flush chain {TABLE} {_CHAIN}", f"delete chain {TABLE} {_CHAIN}")
_NFT = ("nft", "-f", "-")
_HOOKS = {
    Hook("raw", "PREROUTING"): "type filter hook prerouting priority raw",
    Hook("filter", "INPUT"): "type filter hook input priority filter - 10",
}


class _Set(NamedTuple):
    family: int
    length: int

    @property
    def name(self) -> str:
        return f"v{self.family}_{self.length}"

    @property
    def rule(self) -> str:
        """The rule that drops what is in the set: the source address, masked to the set's length."""
        if self.family == 4:
            return f"ip saddr & {IPv4Network((0, self.length)).netmask} @{self.name} drop"
        return f"ip6 saddr & {IPv6Network((0, self.length)).netmask} @{self.name} drop"

    @property
    def type(self) -> str:
        return "ipv4_addr" if self.family == 4 else "ipv6_addr"


_ALWAYS = frozenset({_Set(4, 32), _Set(6, 64)})


class Nftables:
    """The kernel's table `inet logwarden`."""

    ceiling = float(CEILING)

    def __init__(self, settings: Settings | None = None, run: Run = command) -> None:
        self._settings = settings or Settings()
        self._run = run
        self._cutter = Cutter()
        if self._settings.hook and self._settings.hook not in _HOOKS:
            raise FirewallError("nftables: the hook must be PREROUTING, INPUT or none")
        self._sets: set[_Set] = set(_ALWAYS)

    def init(self) -> Sequence[str]:
        """Make table, sets, chain and rules where something of them is missing or foreign."""
        found = self._found()
        chains = self._banned_chains()
        self._sets = found | _ALWAYS
        if found == self._sets and self._stands(chains):
            return []
        # The chain is made anew: one on another hook cannot be changed in place.
        self._run(_NFT, [*(_CHAIN_GONE if chains else ()), *self._structure()])
        return [f"nftables table {TABLE} {'repaired' if found else 'created'}"]

    def apply(self, bans: Iterable[Ban], now: float) -> None:
        """Add or renew entries in one transaction, then cut the flows of those prefixes."""
        timeouts = seconds_left(bans, now, CEILING)
        if not timeouts:
            return
        self._change({prefix: f"timeout {left}s" for prefix, left in timeouts.items()}, add=True)
        if self._settings.cut:
            self._cutter.cut(timeouts)

    def lift(self, prefixes: Iterable[str]) -> None:
        """Delete entries, those that are not there too."""
        entries = {checked(prefix): "" for prefix in prefixes}
        if entries:
            self._change(entries, add=False)

    def list(self, now: float) -> Mapping[str, float]:  # noqa: ARG002 # the kernel knows what time it is
        """All sets' entries, and the seconds they have left; 0 for one that somebody made without a timeout."""
        return {prefix: float(element.get("expires", 0)) for prefix, element in self._elements()}

    def dropped(self) -> Mapping[str, int]:
        """Packets dropped, by prefix."""
        return {prefix: int(element.get("counter", {}).get("packets", 0)) for prefix, element in self._elements()}

    def unhook(self) -> None:
        """Remove the chain, and with it the rules."""
        if self._banned_chains():
            self._run(_NFT, _CHAIN_GONE)

    def fini(self) -> None:
        """Remove the table, and all with it."""
        self._run(_NFT, [f"add table {TABLE}", f"delete table {TABLE}"])

    # --- transactions ---------------------------------------------------------------------------------------

    def _structure(self) -> Sequence[str]:
        """Commands that make all of it, and change nothing that is there already."""
        lines = [f"add table {TABLE}"]
        lines += [f"add set {TABLE} {each.name} {{ type {each.type}; flags timeout; counter; }}" for each in self._sets]
        if self._settings.hook:
            lines.append(f"add chain {TABLE} {_CHAIN} {{ {_HOOKS[self._settings.hook]}; policy accept; }}")
            lines.append(f"flush chain {TABLE} {_CHAIN}")
            lines += [f"add rule {TABLE} {_CHAIN} {each.rule}" for each in sorted(self._sets)]
        return lines

    def _change(self, entries: Mapping[str, str], *, add: bool) -> str:
        """Put `entries`, prefix -> options, in or take them out, in one transaction.

        New entries alone are the common case, and a transaction that deletes waits for the kernel's memory reclaim (16
        ms for 4): so that is tried first. nft refuses it whole where an entry is there already, and would keep its
        timeout; then each is taken out and put in. Last, something is missing of table or sets.
        """
        members: dict[_Set, list[tuple[str, str]]] = defaultdict(list)
        for prefix, options in entries.items():
            address, _, length = prefix.partition("/")
            members[_Set(6 if ":" in address else 4, int(length))].append((address, options))
        renewal = [line for each, elements in members.items() for line in _renewal(each, elements, add=add)]
        if members.keys() <= self._sets:
            tries = [[_line("create", each, elements) for each, elements in members.items()]] if add else []
            for lines in (*tries, renewal):
                with suppress(FirewallError):
                    return self._run(_NFT, lines)
            self.init()
        self._sets |= members.keys()
        return self._run(_NFT, [*self._structure(), *renewal])

    def _stands(self, chains: Sequence[dict[str, Any]]) -> bool:
        """Whether the chain is on our hook and holds exactly one rule for each set."""
        if self._settings.hook is None:
            return not chains
        if [chain.get("hook") for chain in chains] != [self._settings.hook.chain.lower()]:
            return False
        rules = [each["expr"] for each in self._ours("rule", "list", "chain", *TABLE.split(), _CHAIN)]
        return sorted(map(_looked_into, rules)) == sorted(each.name for each in self._sets)

    def _ours(self, kind: str, *arguments: str) -> Sequence[dict[str, Any]]:
        """The objects of one kind that `nft -j -t` lists in our table (libnftables-json(5))."""
        listed = json.loads(self._run(("nft", "-j", "-t", *arguments)))["nftables"]
        found = [each[kind] for each in listed if kind in each]
        return [each for each in found if f"{each['family']} {each['table']}" == TABLE]

    def _banned_chains(self) -> Sequence[dict[str, Any]]:
        return [each for each in self._ours("chain", "list", "chains") if each["name"] == _CHAIN]

    def _found(self) -> set[_Set]:
        return {found for each in self._ours("set", "list", "sets") if (found := _parse_set(each["name"]))}

    def _elements(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Each prefix in the sets, and what nft says of it."""
        for each in self._found():
            listed = json.loads(self._run(("nft", "-j", "list", "set", *TABLE.split(), each.name)))["nftables"]
            for element in listed[1]["set"].get("elem", ()):
                whole = element["elem"] if isinstance(element, dict) else {"val": element}
                yield f"{whole['val']}/{each.length}", whole


def _line(verb: str, each: _Set, elements: Iterable[tuple[str, str]]) -> str:
    return f"{verb} element {TABLE} {each.name} {{ {', '.join(' '.join(element) for element in elements)} }}"


def _renewal(each: _Set, elements: Sequence[tuple[str, str]], *, add: bool) -> list[str]:
    """Commands that take elements out, in the set or not (`add` lets both pass), and put them in again."""
    bare = [(address, "") for address, _ in elements]
    return [_line("add", each, bare), _line("delete", each, bare), *([_line("add", each, elements)] if add else [])]


def _parse_set(name: str) -> _Set | None:
    """The set that is named so, or None where the name is not one of ours."""
    family, _, length = name.removeprefix("v").partition("_")
    known = family in ("4", "6") and length.isdecimal() and 1 <= int(length) <= (32 if family == "4" else 128)
    return _Set(int(family), int(length)) if known and name == f"v{family}_{int(length)}" else None


def _looked_into(expressions: list[dict[str, Any]]) -> str:
    """The set that a drop rule of ours looks into, or the empty string for any other rule."""
    if len(expressions) != 2 or "drop" not in expressions[1]:
        return ""
    return str(expressions[0].get("match", {}).get("right", "")).removeprefix("@")
