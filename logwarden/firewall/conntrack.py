"""Established flows of a banned prefix lose their connection-tracking entry, by ctnetlink.

A firewall that accepts ESTABLISHED before it looks into the sets would let such a flow live on. With the rule where
logwarden puts it by default, raw PREROUTING, the flow is dead anyway and only its entry is tidied away; so a failure
here is not a failure of the ban, and is not raised.

Owns: one listing of the kernel's table for however many prefixes, and one exact deletion a flow. (conntrack(8) lists
the table anew for each prefix and each flow: 200 ms for one ban where 22,000 flows are tracked, minutes for a botnet.)
The work is done in a thread, a listing a second at most, so that no ban waits for it. Where no flow is tracked it costs
the reading of one number.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..address import prefix
from . import netlink
from .netlink import ATTRIBUTE, BODY

TRACKED = Path("/proc/sys/net/netfilter/nf_conntrack_count")
PAUSE = 1.0
"""Seconds from the end of one listing to the next."""

# linux/netfilter/nfnetlink_conntrack.h
_GET, _DELETE = 0x101, 0x102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE
_TUPLE_ORIG, _ID, _ZONE = 1, 12, 18
_SOURCE = BODY + 3 * ATTRIBUTE.size  # ctnetlink begins each entry with tuple { addresses { source ...
_FAMILIES = {4: (socket.AF_INET, 4), 6: (socket.AF_INET6, 16)}

_Banned = Mapping[int, set[int]]
"""Networks, by the number of host bits that they are shifted right by."""


class Cutter:
    """Cuts flows in the background. Prefixes that come while it works or rests are served together, next."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._working = False

    def cut(self, prefixes: Iterable[str]) -> None:
        """See that the flows from these prefixes are cut soon. Returns at once."""
        if not _any_flow():
            return
        with self._lock:
            self._waiting.update(prefixes)
            if self._working or not self._waiting:
                return
            self._working = True
        threading.Thread(target=self._work, name="conntrack", daemon=True).start()

    def _work(self) -> None:
        rest = threading.Event()  # never set: a rest is a rest
        while prefixes := self._take():
            with contextlib.suppress(OSError):
                cut(prefixes)
            rest.wait(PAUSE)

    def _take(self) -> set[str]:
        with self._lock:
            taken, self._waiting = self._waiting, set()
            self._working = bool(taken)
            return taken


def cut(prefixes: Iterable[str]) -> int:
    """Delete all flows that come from these prefixes, and say how many there were. Raises OSError."""
    banned: dict[int, dict[int, set[int]]] = {4: defaultdict(set), 6: defaultdict(set)}
    for network in map(prefix, prefixes):
        shift = network.max_prefixlen - network.prefixlen
        banned[network.version][shift].add(int(network.network_address) >> shift)
    with netlink.connect() as kernel:
        return sum(_cut_family(kernel, version, those) for version, those in banned.items() if those)


def _any_flow() -> bool:
    try:
        return int(TRACKED.read_text()) > 0
    except OSError:  # connection tracking is not loaded
        return False


def _cut_family(kernel: socket.socket, version: int, banned: _Banned) -> int:
    family, width = _FAMILIES[version]
    netlink.send(kernel, _GET, netlink.DUMP, family)
    flows = [_named(entry) for _, entry in netlink.messages(kernel) if _is_banned(entry, width, banned)]
    return sum(_delete(kernel, family, flow) for flow in flows)


def _is_banned(entry: bytes, width: int, banned: _Banned) -> bool:
    source = int.from_bytes(entry[_SOURCE : _SOURCE + width], "big")
    return any(source >> shift in networks for shift, networks in banned.items())


def _named(entry: bytes) -> bytes:
    """The attributes by which the kernel finds an entry again, as they stand in it: original tuple, identity, zone."""
    return b"".join(each for kind, each in netlink.attributes(entry[BODY:]) if kind in (_TUPLE_ORIG, _ID, _ZONE))


def _delete(kernel: socket.socket, family: int, flow: bytes) -> bool:
    """Whether the flow was there to be deleted: it may have ended meanwhile."""
    netlink.send(kernel, _DELETE, netlink.ACK, family, flow)
    return netlink.acknowledged(kernel) == 0
