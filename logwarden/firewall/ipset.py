"""The default backend: two sets of ipset(8), looked into by one DROP rule each of iptables and ip6tables.

Owns: the sets `logwarden4` and `logwarden6`, type hash:net, a timeout on each entry, packets counted. Bans go to the
kernel, and are listed, by netlink (`entries`); where it refuses one, `ipset restore -exist` says why. A set that is
half full is replaced by a larger one (create, fill, swap), which the rule does not notice; memory is taken for entries
alone, not for the size.
Never: keeps an entry longer than its ban; a nested prefix is an entry of its own.
Fails: with FirewallError, after it has tried to repair sets and rules and to do the batch once more.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..errors import FirewallError
from ..model import Ban
from . import entries
from .conntrack import Cutter
from .iptables import DropRules
from .protocol import Run, Settings, checked, command, seconds_left

CEILING = 2_147_483
"""The longest timeout that the kernel keeps, seconds (ipset(8), "timeout"): almost 25 days."""

SETS = {4: "logwarden4", 6: "logwarden6"}
_FAMILY = {4: "inet", 6: "inet6"}
_DEFAULT_TIMEOUT = 3600  # of entries made by hand; ours always say theirs
_DESTROY_TRIES = 200


class Ipset:
    """The kernel's two sets."""

    ceiling = float(CEILING)

    def __init__(self, settings: Settings | None = None, run: Run = command) -> None:
        self._settings = settings or Settings()
        self._run = run
        self._cutter = Cutter()
        self._rules = DropRules(self._settings.hook, SETS, run) if self._settings.hook else None

    def init(self) -> Sequence[str]:
        """Make sets and rules where they are missing, and room where a set is half full."""
        present = set(self._run(("ipset", "list", "-name")).split())
        made = [phrase for family in SETS for phrase in self._repair_set(family, present)]
        return [*made, *(self._rules.repair() if self._rules else ())]

    def apply(self, bans: Iterable[Ban], now: float) -> None:
        """Add or renew entries, then cut the flows of those prefixes."""
        timeouts = seconds_left(bans, now, CEILING)
        if not _done(entries.add, timeouts):
            self._restore([f"add {_set_of(prefix)} {prefix} timeout {left}" for prefix, left in timeouts.items()])
        if self._settings.cut:
            self._cutter.cut(timeouts)

    def lift(self, prefixes: Iterable[str]) -> None:
        """Delete entries; those that are not there pass."""
        gone = dict.fromkeys(map(checked, prefixes), 0)
        if not _done(entries.delete, gone):
            self._restore([f"del {_set_of(prefix)} {prefix}" for prefix in gone])

    def list(self, now: float) -> Mapping[str, float]:  # noqa: ARG002 # the kernel knows what time it is
        """Both sets' entries, and the seconds they have left; 0 for one that exempts a prefix (`nomatch`)."""
        return {prefix: 0.0 if exempt else float(left) for prefix, left, _, exempt in _entries()}

    def dropped(self) -> Mapping[str, int]:
        """Packets dropped, by prefix."""
        return {prefix: packets for prefix, _, packets, _ in _entries()}

    def unhook(self) -> None:
        """Remove the rules."""
        if self._rules:
            self._rules.remove()

    def fini(self) -> None:
        """Remove the rules, then the sets."""
        self.unhook()
        present = self._run(("ipset", "list", "-name")).split()
        for name in SETS.values():
            for each in {name, _growing(name)} & set(present):
                self._destroy(each)

    def _restore(self, lines: Sequence[str]) -> None:
        if not lines:
            return
        restore = ("ipset", "restore", "-exist")
        try:
            self._run(restore, lines)
        except FirewallError:
            # A set was destroyed, or is full before init came round to it: repair, then once more.
            self._repair_for(lines)
            self._run(restore, lines)

    def _repair_for(self, lines: Sequence[str]) -> None:
        self.init()
        for family, name in SETS.items():
            count, room = self._fill(name)
            coming = sum(line.split(" ", 2)[1] == name for line in lines)
            if count + coming > room:
                self._grow(family, count + coming)

    # --- sets -----------------------------------------------------------------------------------------------

    def _repair_set(self, family: int, present: set[str]) -> Sequence[str]:
        name = SETS[family]
        if _growing(name) in present:  # killed while growing
            self._destroy(_growing(name))
        if name in present and not self._fits(name, family):
            self._clear_for_another(name)
            present = present - {name}
        if name not in present:
            self._run(("ipset", *self._create(name, family, self._settings.maxelem).split()))
            return [f"set {name} created"]
        count, room = self._fill(name)
        if 2 * count < room and room >= self._settings.maxelem:
            return []
        self._grow(family, count)
        return [f"set {name} enlarged"]

    def _clear_for_another(self, name: str) -> None:
        """Remove a set that has our name but another type: some other version's, or somebody else's."""
        self.unhook()
        self._destroy(name)

    def _grow(self, family: int, count: int) -> None:
        """Swap in a set that is a quarter full with `count` entries. The old one works until then."""
        name, larger = SETS[family], _growing(SETS[family])
        held = [line for line in self._run(("ipset", "save", name)).splitlines() if line.startswith("add ")]
        fill = [line.replace(f"add {name} ", f"add {larger} ", 1) for line in held]
        create = self._create(larger, family, max(4 * count, self._settings.maxelem))
        self._run(("ipset", "restore", "-exist"), (create, *fill, f"swap {larger} {name}", f"destroy {larger}"))

    def _create(self, name: str, family: int, maxelem: int) -> str:
        return f"create {name} hash:net family {_FAMILY[family]} maxelem {maxelem} timeout {_DEFAULT_TIMEOUT} counters"

    def _header(self, name: str) -> dict[str, str]:
        lines = self._run(("ipset", "list", "-terse", name)).splitlines()
        return {key: value for key, _, value in (line.partition(": ") for line in lines)}

    def _fits(self, name: str, family: int) -> bool:
        header = self._header(name)
        words = header["Header"].split()
        return header["Type"] == "hash:net" and f"family {_FAMILY[family]} " in header["Header"] and "timeout" in words

    def _fill(self, name: str) -> tuple[int, int]:
        """How many entries a set holds, and how many it can."""
        header = self._header(name)
        words = header["Header"].split()
        return int(header["Number of entries"]), int(words[words.index("maxelem") + 1])

    def _destroy(self, name: str) -> None:
        """The kernel drops a rule's reference some milliseconds after the rule; each try is a process."""
        for _ in range(_DESTROY_TRIES - 1):
            try:
                self._run(("ipset", "destroy", name))
            except FirewallError as error:
                if "in use" not in str(error):
                    raise
            else:
                return
        self._run(("ipset", "destroy", name))


def _entries() -> Iterator[entries.Entry]:
    """Both sets' entries. Raises FirewallError."""
    try:
        yield from entries.listed(SETS)
    except (OSError, ValueError, struct.error) as error:
        raise FirewallError(f"ipset: the entries cannot be listed: {error}") from error


def _done(act: Callable[[Mapping[int, str], Mapping[str, int]], None], prefixes: Mapping[str, int]) -> bool:
    """Whether `act` could do it: where the kernel refuses, ipset(8) says why, after what is amiss is repaired."""
    try:
        act(SETS, prefixes)
    except (OSError, ValueError):
        return False
    return True


def _set_of(prefix: str) -> str:
    return SETS[6 if ":" in prefix else 4]


def _growing(name: str) -> str:
    return f"{name}_larger"
