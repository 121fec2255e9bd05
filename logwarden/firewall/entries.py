"""A few entries of an ipset, put in or taken out by netlink: no process starts, so that a ban is in force at once.

Owns: the messages of linux/netfilter/ipset/ip_set.h for that; all else about sets is ipset(8)'s.
Fails: with OSError, whose errno may be one of the kernel's own for sets; those before it are done.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping

from ..address import prefix
from . import netlink
from .netlink import NESTED, NET_BYTEORDER, attribute

_ADD, _DELETE = 0x609, 0x60A  # NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_ADD, IPSET_CMD_DEL
_PROTOCOL, _VERSION = 1, b"\x07"
_SETNAME, _DATA = 2, 7
_IP, _CIDR, _TIMEOUT = 1, 3, 6
_FAMILIES = {4: (socket.AF_INET, 1), 6: (socket.AF_INET6, 2)}
"""The family of a set, and the attribute that holds one of its addresses."""


def add(sets: Mapping[int, str], timeouts: Mapping[str, int]) -> None:
    """Add prefixes, or renew them, each with its timeout in seconds, to the set of their IP version."""
    times = {text: attribute(_TIMEOUT | NET_BYTEORDER, left.to_bytes(4, "big")) for text, left in timeouts.items()}
    _ask(_ADD, sets, times.items())


def delete(sets: Mapping[int, str], prefixes: Iterable[str]) -> None:
    """Take prefixes out. One that is not there passes."""
    _ask(_DELETE, sets, ((text, b"") for text in prefixes))


def _ask(command: int, sets: Mapping[int, str], entries: Iterable[tuple[str, bytes]]) -> None:
    with netlink.connect() as kernel:
        for text, more in entries:
            network = prefix(text)
            family, kind = _FAMILIES[network.version]
            address = attribute(kind | NET_BYTEORDER, network.network_address.packed)
            data = attribute(_IP | NESTED, address) + attribute(_CIDR, bytes([network.prefixlen])) + more
            name = sets[network.version].encode() + b"\0"
            body = attribute(_PROTOCOL, _VERSION) + attribute(_SETNAME, name) + attribute(_DATA | NESTED, data)
            netlink.send(kernel, command, netlink.ACK, family, body)
            if (error := netlink.acknowledged(kernel)) != 0:
                raise OSError(error, os.strerror(error))
