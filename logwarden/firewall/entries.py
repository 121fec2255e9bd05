"""The entries of ipsets, put in or taken out by netlink: no process starts, and no text is read, so that a thousand
bans are in force within two milliseconds.

Owns: the messages of linux/netfilter/ipset/ip_set.h for that; all else about sets is ipset(8)'s.
Fails: with OSError, whose errno may be one of the kernel's own for sets; those before it are done. With ValueError for
what is no prefix.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Mapping
from itertools import islice

from . import netlink
from .netlink import ATTRIBUTE, NESTED, NET_BYTEORDER, attribute

_ADD, _DELETE = 0x609, 0x60A  # NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_ADD, IPSET_CMD_DEL
_PROTOCOL, _VERSION = 1, b"\x07"
_SETNAME, _DATA, _ADT, _LINE = 2, 7, 8, 9
_IP, _CIDR, _TIMEOUT = 1, 3, 6
_MOST = 1_000
"""Entries of one message: all of them are one attribute, which has less than 65,536 bytes."""
_SECONDS = struct.Struct("=HH4s")
_LINE_1 = attribute(_LINE, struct.pack("=I", 1))
"""The kernel wants to know in which line of a file a batch stands, to tell it with an error."""


class _Family:
    """How one IP version's entries are written."""

    def __init__(self, family: socket.AddressFamily, kind: int, size: int) -> None:
        self.family = family
        self._bits = 8 * size
        inner = 2 * ATTRIBUTE.size + size
        self._address = struct.Struct(f"=HHHHHH{size}sHHB3x")
        self._kinds = inner, _IP | NESTED, ATTRIBUTE.size + size, kind | NET_BYTEORDER
        self._size = ATTRIBUTE.size + inner + 8  # with its prefix length

    def data(self, text: str, left: int | None) -> bytes:
        """An entry, with its timeout in seconds where there is one. It is asked for each of a hundred thousand."""
        address, _, length = text.partition("/")
        bits = int(length) if length else self._bits
        if not 0 <= bits <= self._bits:
            raise ValueError(f"{text!r} is no prefix")
        timeout = b"" if left is None else _SECONDS.pack(8, _TIMEOUT | NET_BYTEORDER, left.to_bytes(4, "big"))
        packed = socket.inet_pton(self.family, address)
        entry = self._size + len(timeout), _DATA | NESTED
        return self._address.pack(*entry, *self._kinds, packed, 5, _CIDR, bits) + timeout


_FAMILIES = {4: _Family(socket.AF_INET, 1, 4), 6: _Family(socket.AF_INET6, 2, 16)}


def add(sets: Mapping[int, str], timeouts: Mapping[str, int]) -> None:
    """Add prefixes, or renew them, each with its timeout in seconds, to the set of their IP version."""
    _ask(_ADD, sets, timeouts)


def delete(sets: Mapping[int, str], prefixes: Iterable[str]) -> None:
    """Take prefixes out. One that is not there passes."""
    _ask(_DELETE, sets, dict.fromkeys(prefixes))


def _ask(command: int, sets: Mapping[int, str], entries: Mapping[str, int | None]) -> None:
    with netlink.connect() as kernel:
        for version, name in sets.items():
            family = _FAMILIES[version]
            head = attribute(_PROTOCOL, _VERSION) + attribute(_SETNAME, name.encode() + b"\0") + _LINE_1
            of_it = (family.data(*each) for each in entries.items() if (":" in each[0]) == (version == 6))
            while batch := b"".join(islice(of_it, _MOST)):
                netlink.send(kernel, command, netlink.ACK, family.family, head + attribute(_ADT | NESTED, batch))
                if (error := netlink.acknowledged(kernel)) != 0:
                    raise OSError(error, os.strerror(error))
