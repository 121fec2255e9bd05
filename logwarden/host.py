"""What this host must stay able to talk to: its own addresses, its gateways and its resolvers.

Owns: reading them from the kernel, by ip(8)'s JSON, and from resolv.conf(5), and hearing when an address comes or goes.
Read at start, where another config of bans is adopted, when one was heard of, and when the daemon finds it due.
Never: protects the networks on its links, where attackers may live too.
Fails: with CommandError where ip(8) does not answer. A resolver file that is missing names no resolver.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .address import Address, Prefix, host_prefix, parse
from .process import run

PATIENCE = 5.0
"""Seconds that ip(8) may take: the daemon waits for it where it adopts another config."""
RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
"""The second names the real resolvers where the first names systemd-resolved's stub (systemd-resolved.service(8))."""

SETTLING = 0.5
"""Seconds after an address has come or gone until it is told: its routes come after it, and often others."""
_NETLINK_ROUTE = 0
_ADDRESSES = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR: linux/rtnetlink.h


class Listener:
    """Calls `heard`, in a thread, each time an address of this host has come or gone (rtnetlink(7)).

    Where the kernel lends no such socket, or says that more came than it could hold, that is no fault: whoever is told
    nothing finds out when he looks the next time.
    """

    def __init__(self, heard: Callable[[], object]) -> None:
        self._heard = heard
        self._end: socket.socket | None = None

    def start(self) -> None:
        """Begin to listen, in the network namespace of this thread."""
        try:
            kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
            kernel.bind((0, _ADDRESSES))
            self._end, ended = socket.socketpair()
        except OSError:
            return
        kernel.setblocking(False)
        threading.Thread(target=self._listen, args=(kernel, ended), name="addresses", daemon=True).start()

    def stop(self) -> None:
        """End."""
        if self._end:
            self._end.close()

    def _listen(self, kernel: socket.socket, ended: socket.socket) -> None:
        either, end = select.poll(), select.poll()
        either.register(kernel, select.POLLIN)
        for each in (either, end):
            each.register(ended, select.POLLIN)
        with kernel, ended:
            while either.poll():
                if end.poll(SETTLING * 1_000):
                    return
                with contextlib.suppress(OSError):  # there is no more, or there was too much
                    while kernel.recv(1 << 16):
                        pass
                self._heard()


def protected(resolvers: Iterable[str] = RESOLVERS) -> dict[Prefix, str]:
    """Each address that must never be banned, with the reason as `Guard` takes it. `resolvers` are file paths."""
    found: dict[Prefix, str] = {}
    for label, addresses in (
        ("this host's own address", own_addresses()),
        ("this host's gateway", gateways()),
        ("this host's resolver", nameservers(resolvers)),
    ):
        for address in addresses:
            found.setdefault(host_prefix(address), label)
    return found


def own_addresses() -> Iterator[Address]:
    """The addresses of all interfaces, and the far ends of point-to-point links."""
    for interface in _ip("address"):
        for assigned in interface.get("addr_info", ()):
            yield from _parsed(assigned[key] for key in ("local", "address") if key in assigned)


def gateways() -> Iterator[Address]:
    """The next hops of all routes of both families."""
    for family in ("-4", "-6"):
        for route in _ip(family, "route", "show", "table", "all"):
            hops = [route, *route.get("nexthops", ())]
            yield from _parsed(hop["gateway"] for hop in hops if "gateway" in hop)
            yield from _parsed(hop["via"]["host"] for hop in hops if "via" in hop)  # an IPv4 route over an IPv6 hop


def nameservers(paths: Iterable[str]) -> Iterator[Address]:
    """The addresses on the `nameserver` lines of these files."""
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                words = [line.split() for line in file]
        except OSError:
            continue
        yield from _parsed(line[1] for line in words if len(line) > 1 and line[0] == "nameserver")


def _ip(*arguments: str) -> Sequence[dict[str, Any]]:
    """What ip(8) says: a list of objects, some of them empty."""
    answer: list[dict[str, Any]] = json.loads(run(("ip", "-json", *arguments), timeout=PATIENCE) or "[]")
    return answer


def _parsed(texts: Iterable[str]) -> Iterator[Address]:
    for text in texts:
        try:
            yield parse(text)
        except ValueError:  # not for us to judge: 'any', or a typing error in resolv.conf
            continue
