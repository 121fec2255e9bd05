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
_TABLE_GONE = (f"add table {TABLE}", f"delete table {TABLE}")
_NFT = ("nft", "-f", "-")
_HOOKS = {
    Hook("raw", "PREROUTING"): {"type": "filter", "hook": "prerouting", "prio": -300, "policy": "accept"},
    Hook("filter", "INPUT"): {"type": "filter", "hook": "input", "prio": -10, "policy": "accept"},
}
"""The chain, as nft lists it. -300 is before connection tracking, -10 just before the filter table."""


class _Set(NamedTuple):
    family: int
    length: int

    @property
    def name(self) -> str:
        return f"v{self.family}_{self.length}"

    @property
    def rule(self) -> str:
        """The rule that drops what is in the set: the source address, masked to the set's length."""
        return f"{self.protocol} saddr & {self.mask} @{self.name} drop"

    @property
    def protocol(self) -> str:
        return "ip" if self.family == 4 else "ip6"

    @property
    def mask(self) -> str:
        network = IPv4Network if self.family == 4 else IPv6Network
        return str(network((0, self.length)).netmask)

    @property
    def type(self) -> str:
        return f"ipv{self.family}_addr"

    def is_source(self, listed: object) -> bool:
        """Whether nft lists what the rule looks for so. It leaves a mask out that masks nothing."""
        source = {"payload": {"protocol": self.protocol, "field": "saddr"}}
        whole = self.length == (32 if self.family == 4 else 128)
        return listed == {"&": [source, self.mask]} or (whole and listed == source)


_Table = Mapping[str, Sequence[dict[str, Any]]]
"""What nft lists of our table, by kind."""
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
        """Make table, sets, chain and rules where something of them is missing, foreign, or not as we make it."""
        found, chains = self._found(), self._banned_chains()
        table = self._table() if found or chains else {}
        gone = [f"delete {kind} {TABLE} {name}" for kind, name in _wrong(table)]
        self._sets = found | _ALWAYS
        if found == self._sets and not gone and self._stands(table, chains):
            return []
        # What is wrong is made anew, for it cannot be changed in place. What was in a wrong set is for reconcile.
        try:
            self._run(_NFT, [*(_CHAIN_GONE if chains else ()), *gone, *self._structure()])
        except FirewallError:  # something else of somebody's refers to them
            self._run(_NFT, [*_TABLE_GONE, *self._structure()])
        return [f"nftables table {TABLE} {'repaired' if table else 'created'}"]

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
        self._run(_NFT, _TABLE_GONE)

    # --- transactions ---------------------------------------------------------------------------------------

    def _structure(self) -> Sequence[str]:
        """Commands that make all of it, and change nothing that is there already."""
        lines = [f"add table {TABLE}"]
        lines += [f"add set {TABLE} {each.name} {{ type {each.type}; flags timeout; counter; }}" for each in self._sets]
        if self._settings.hook:
            chain = "type {type} hook {hook} priority {prio}; policy {policy};".format(**_HOOKS[self._settings.hook])
            lines.append(f"add chain {TABLE} {_CHAIN} {{ {chain} }}")
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

    def _stands(self, table: _Table, chains: Sequence[dict[str, Any]]) -> bool:
        """Whether the table is awake, and the chain as we make it, with exactly one rule for each set."""
        if self._settings.hook is None:
            return not chains
        if any(each.get("flags") for each in table["table"]):  # dormant: none of its rules is in force
            return False
        if [_HOOKS[self._settings.hook].items() <= chain.items() for chain in chains] != [True]:
            return False
        rules = [each["expr"] for each in table.get("rule", ()) if each["chain"] == _CHAIN]
        return sorted(map(_looked_into, rules)) == sorted(each.name for each in self._sets)

    def _table(self) -> _Table:
        """All of our table but what is in its sets."""
        found = defaultdict(list)
        for each in self._listed("list", "table", *TABLE.split()):
            for kind, listed in each.items():
                found[kind].append(listed)
        return found

    def _ours(self, kind: str, *arguments: str) -> Sequence[dict[str, Any]]:
        """The objects of one kind that `nft -j -t` lists in our table (libnftables-json(5))."""
        found = [each[kind] for each in self._listed(*arguments) if kind in each]
        return [each for each in found if f"{each['family']} {each['table']}" == TABLE]

    def _listed(self, *arguments: str) -> Sequence[dict[str, Any]]:
        listed: Sequence[dict[str, Any]] = json.loads(self._run(("nft", "-j", "-t", *arguments)))["nftables"]
        return listed

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


def _wrong(table: _Table) -> Iterable[tuple[str, str]]:
    """The kind and name of what is named as one of our sets and is not what we make of that name."""
    for kind in ("set", "map"):
        for each in table.get(kind, ()):
            ours = _parse_set(each["name"])
            if ours and (kind, each["type"], _flags(each)) != ("set", ours.type, ["timeout"]):
                yield kind, each["name"]


def _flags(listed: Mapping[str, Any]) -> Sequence[str]:
    """Newer versions of nft list one flag alone as a string."""
    flags: str | Sequence[str] = listed.get("flags", ())
    return [flags] if isinstance(flags, str) else flags


def _looked_into(expressions: Sequence[dict[str, Any]]) -> str:
    """The set that a drop rule of ours looks into, or the empty string for any other rule."""
    match expressions:
        case [{"match": {"op": "==", "left": left, "right": str(right)}}, {"drop": _}]:
            found = _parse_set(right.removeprefix("@"))
            return found.name if found and found.is_source(left) else ""
    return ""
