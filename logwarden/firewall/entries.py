"""The entries of ipsets, put in, taken out or listed by netlink: no process starts, and no text is read, so that a
thousand bans are in force within two milliseconds, and a hundred thousand listed in a tenth of ipset(8)'s time.

Owns: the messages of linux/netfilter/ipset/ip_set.h for that; all else about sets is ipset(8)'s.
Fails: with OSError, whose errno may be one of the kernel's own for sets; those before it are done. With ValueError for
what is no prefix.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from . import netlink
from .netlink import ATTRIBUTE, BODY, NESTED, NET_BYTEORDER, attribute

_LIST, _ADD, _DELETE = 0x607, 0x609, 0x60A  # NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_LIST, IPSET_CMD_ADD, IPSET_CMD_DEL
_PROTOCOL, _VERSION = 1, b"\x07"
_SETNAME, _DATA, _ADT, _LINE = 2, 7, 8, 9
_IP, _CIDR, _TIMEOUT, _FLAGS, _BYTES, _PACKETS = 1, 3, 6, 8, 24, 25
_NOMATCH = 0x4  # of _FLAGS
_MOST = 1_000
"""Entries of one message: all of them are one attribute, which has less than 65,536 bytes."""
_SECONDS = struct.Struct("=HH4s")
_LINE_1 = attribute(_LINE, struct.pack("=I", 1))
"""The kernel wants to know in which line of a file a batch stands, to tell it with an error."""


Entry = tuple[str, int, int, bool]
"""What the kernel says of one: its prefix, the seconds that it stays, the packets that it met, and whether it lets the
prefix through."""


class _Family:
    """How one IP version's entries are written."""

    def __init__(self, family: socket.AddressFamily, kind: int, size: int) -> None:
        self.family = family
        self._bits = 8 * size
        inner = 2 * ATTRIBUTE.size + size
        self._address = struct.Struct(f"=HHHHHH{size}sHHB3x")
        self._kinds = inner, _IP | NESTED, ATTRIBUTE.size + size, kind | NET_BYTEORDER
        self._size = ATTRIBUTE.size + inner + 8  # with its prefix length
        self._usual = struct.Struct(f">12s{size}s4sB3x4sI12x4sQ")
        before = ((self._usual.size, _DATA | NESTED), (inner, _IP | NESTED), (inner - ATTRIBUTE.size, kind))
        others = ((5, _CIDR), (8, _TIMEOUT | NET_BYTEORDER), (12, _PACKETS | NET_BYTEORDER))
        heads = (ATTRIBUTE.pack(*each) for each in others)
        self._kinds_of_usual = (b"".join(ATTRIBUTE.pack(*each) for each in before), *heads)

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

    def read(self, content: bytes) -> Iterable[Entry]:
        """The entries that a message lists. Nearly always all are laid out alike, and taken apart in one go."""
        if len(content) % self._usual.size:
            return self._read_slowly(content)
        rows = list(self._usual.iter_unpack(content))
        if {(row[0], row[2], row[4], row[6]) for row in rows} != {self._kinds_of_usual}:
            return self._read_slowly(content)
        family, spell = self.family, socket.inet_ntop
        return [(f"{spell(family, row[1])}/{row[3]}", row[5], row[7], False) for row in rows]

    def _read_slowly(self, content: bytes) -> Iterator[Entry]:
        for kind, data in netlink.attributes(content):
            said = {each: value[ATTRIBUTE.size :] for each, value in netlink.attributes(data[ATTRIBUTE.size :])}
            if kind != _DATA or _IP not in said:
                continue
            address = said[_IP][ATTRIBUTE.size :]
            bits = said[_CIDR][0] if _CIDR in said else self._bits
            left, flags, packets = (
                _number(said.get(each, b""), size) for each, size in ((_TIMEOUT, 4), (_FLAGS, 4), (_PACKETS, 8))
            )
            prefix = f"{socket.inet_ntop(self.family, address)}/{bits}"
            yield prefix, left, packets, bool(flags & _NOMATCH)


def _number(content: bytes, size: int) -> int:
    return int.from_bytes(content[:size], "big")


_FAMILIES = {4: _Family(socket.AF_INET, 1, 4), 6: _Family(socket.AF_INET6, 2, 16)}


def add(sets: Mapping[int, str], timeouts: Mapping[str, int]) -> None:
    """Add prefixes, or renew them, each with its timeout in seconds, to the set of their IP version."""
    _ask(_ADD, sets, timeouts)


def delete(sets: Mapping[int, str], prefixes: Iterable[str]) -> None:
    """Take prefixes out. One that is not there passes."""
    _ask(_DELETE, sets, dict.fromkeys(prefixes))


def listed(sets: Mapping[int, str]) -> Iterator[Entry]:
    """All entries of these sets."""
    with netlink.connect() as kernel:
        for version, name in sets.items():
            family = _FAMILIES[version]
            head = attribute(_PROTOCOL, _VERSION) + attribute(_SETNAME, name.encode() + b"\0")
            netlink.send(kernel, _LIST, netlink.DUMP | netlink.ACK, family.family, head)
            for _, message in netlink.messages(kernel):
                for kind, content in netlink.attributes(message[BODY:]):
                    if kind == _ADT:
                        yield from family.read(content[ATTRIBUTE.size :])


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
