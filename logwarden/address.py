"""Addresses and prefixes: how they are read, which of them one party holds, and which must never be banned.

Owns: the one spelling of an address (IPv4-mapped becomes IPv4, zone and brackets go), the special-purpose ranges of
RFC 6890 and its registries, and `Guard`, the test before every ban.
Never: resolves a name, asks the kernel (that is `host.py`), or raises anything but ValueError for bad text.
"""

from __future__ import annotations

import functools
import socket
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network

DOCUMENTATION = "documentation"

# The registries that RFC 6890 founded (iana-ipv4-special-registry, iana-ipv6-special-registry), and multicast. Left out
# are the ranges from which a real party can send: what the registries call globally reachable (AS112, AMT, ORCHIDv2,
# NAT64's 64:ff9b::/96), 6to4 and Teredo.
_SPECIAL_PURPOSE = {
    "0.0.0.0/8": "this network (RFC 791)",
    "10.0.0.0/8": "private use (RFC 1918)",
    "100.64.0.0/10": "shared address space (RFC 6598)",
    "127.0.0.0/8": "loopback (RFC 1122)",
    "169.254.0.0/16": "link-local (RFC 3927)",
    "172.16.0.0/12": "private use (RFC 1918)",
    "192.0.0.0/24": "IETF protocol assignments (RFC 6890)",
    "192.0.2.0/24": f"{DOCUMENTATION} (RFC 5737)",
    "192.88.99.0/24": "6to4 relay anycast, deprecated (RFC 7526)",
    "192.168.0.0/16": "private use (RFC 1918)",
    "198.18.0.0/15": "benchmarking (RFC 2544)",
    "198.51.100.0/24": f"{DOCUMENTATION} (RFC 5737)",
    "203.0.113.0/24": f"{DOCUMENTATION} (RFC 5737)",
    "224.0.0.0/4": "multicast (RFC 5771)",
    "240.0.0.0/4": "reserved, with limited broadcast (RFC 1112, RFC 8190)",
    "::/128": "unspecified (RFC 4291)",
    "::1/128": "loopback (RFC 4291)",
    "::ffff:0:0/96": "IPv4-mapped (RFC 4291)",
    "64:ff9b:1::/48": "local-use IPv4/IPv6 translation (RFC 8215)",
    "100::/64": "discard-only (RFC 6666)",
    "100:0:0:1::/64": "dummy prefix (RFC 9780)",
    "2001:2::/48": "benchmarking (RFC 5180)",
    "2001:10::/28": "ORCHID, deprecated (RFC 4843)",
    "2001:db8::/32": f"{DOCUMENTATION} (RFC 3849)",
    "3fff::/20": f"{DOCUMENTATION} (RFC 9637)",
    "5f00::/16": "segment routing SIDs (RFC 9602)",
    "fc00::/7": "unique local (RFC 4193)",
    "fe80::/10": "link-local (RFC 4291)",
    "fec0::/10": "site-local, deprecated (RFC 3879)",
    "ff00::/8": "multicast (RFC 4291)",
}

_MAPPED = IPv6Network("::ffff:0:0/96")
# Whoever bans a /64 of these bans strangers: 64:ff9b::/64 holds all of IPv4 behind NAT64 (RFC 6052), a Teredo /64 all
# clients of one Teredo server (RFC 4380).
_SHARED_64 = (IPv6Network("64:ff9b::/64"), IPv6Network("2001::/32"))


@functools.lru_cache(maxsize=2048)
def parse(text: str) -> Address:
    """Return the address that `text` spells: brackets and %zone dropped, IPv4-mapped IPv6 as IPv4.

    Raises ValueError for anything else; a leading zero in IPv4 is refused, for readers disagree about octal.
    """
    bare = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    if ":" not in bare:
        return IPv4Address(_packed(socket.AF_INET, bare))
    address = IPv6Address(_packed(socket.AF_INET6, bare.partition("%")[0]))
    return address.ipv4_mapped or address


def _packed(family: socket.AddressFamily, text: str) -> bytes | str:
    """The bytes of an address, read by the C library in a fifth of the time that `ipaddress` takes for it, which is
    left to say what is wrong with a text that is none."""
    try:
        return socket.inet_pton(family, text)
    except OSError:
        return text


def spelt(address: Address) -> str:
    """Return what `str` does, for IPv4 in a fifth of the time: it is asked for each attack."""
    return socket.inet_ntoa(address.packed) if isinstance(address, IPv4Address) else str(address)


def normalised(text: str) -> str:
    """Return how the address that `text` spells is spelt here. Raises ValueError where it spells none."""
    try:
        return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, text))
    except OSError:
        return spelt(parse(text))


def prefix(text: str) -> Prefix:
    """Return the prefix that `text` spells, `192.0.2.0/24` or a single address; host bits are dropped.

    An IPv4-mapped prefix of /96 or longer becomes IPv4's. Raises ValueError.
    """
    head, slash, length = text.partition("/")
    if not slash:
        return host_prefix(parse(head))
    if ":" not in head:
        return IPv4Network(text, strict=False)
    bare = head[1:-1] if head[:1] == "[" and head[-1:] == "]" else head
    network = IPv6Network(f"{bare.partition('%')[0]}/{length}", strict=False)
    if network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def host_prefix(address: Address) -> Prefix:
    """Return the prefix that holds this address alone."""
    # Of a number, for it is asked for each ban: of an address, `ipaddress` would make a text and read that.
    return IPv4Network(int(address)) if isinstance(address, IPv4Address) else IPv6Network(address)


def enclosing(address: Address, length: int) -> Prefix:
    """Return the prefix of `length` bits that holds this address."""
    if isinstance(address, IPv4Address):
        return IPv4Network((int(address), length), strict=False)
    return IPv6Network((int(address), length), strict=False)


def source_prefix(address: Address, ipv6_length: int = 64) -> Prefix:
    """Return the prefix that one party holds: an IPv4 address alone, an IPv6 address's /64 (or `ipv6_length`).

    Where a /64 is many parties' (NAT64, Teredo), the address alone.
    """
    if isinstance(address, IPv4Address) or any(address in shared for shared in _SHARED_64):
        return host_prefix(address)
    return enclosing(address, ipv6_length)


class Ranges:
    """Prefixes of both families, each with a label; one bisection finds the one that shares an address with another.

    A prefix inside another member is not kept: the outer one's label answers for it.
    """

    def __init__(self, labels: Mapping[Prefix, str]) -> None:
        self._members: dict[int, list[tuple[Prefix, str]]] = {4: [], 6: []}
        for network, label in sorted(labels.items(), key=lambda item: (item[0].version, *_order(item[0]))):
            kept = self._members[network.version]
            if not (kept and kept[-1][0].overlaps(network)):
                kept.append((network, label))
        each = {version: self.members(version) for version in self._members}
        self._starts = {version: [int(one.network_address) for one in kept] for version, kept in each.items()}
        self._ends = {version: [int(one.broadcast_address) for one in kept] for version, kept in each.items()}

    def members(self, version: int) -> list[Prefix]:
        """The prefixes of one family, in order."""
        return [network for network, _ in self._members[version]]

    def overlapping(self, network: Prefix) -> tuple[Prefix, str] | None:
        """Return a member, with its label, that covers `network` or part of it."""
        at = self._find(network.version, int(network.network_address), int(network.broadcast_address))
        return None if at is None else self._members[network.version][at]

    def holds(self, version: int, number: int) -> bool:
        """Whether a member holds the address of this family that is this number."""
        return self._find(version, number, number) is not None

    def _find(self, version: int, first: int, last: int) -> int | None:
        at = bisect_right(self._starts[version], last) - 1
        return at if at >= 0 and self._ends[version][at] >= first else None

    def covers(self, network: Prefix) -> bool:
        """Whether one member holds all of `network`."""
        found = self.overlapping(network)
        return found is not None and found[0].prefixlen <= network.prefixlen


def _order(network: Prefix) -> tuple[int, int]:
    return int(network.network_address), network.prefixlen


_SPECIAL = Ranges({ip_network(text): label for text, label in _SPECIAL_PURPOSE.items()})


def special_purpose(network: Prefix) -> str | None:
    """Return what RFC 6890's registries call this prefix or a part of it, e.g. 'loopback (RFC 1122)', or None."""
    found = _SPECIAL.overlapping(network)
    return found[1] if found else None


def is_documentation(network: Prefix) -> bool:
    """Whether the whole prefix is for documentation (RFC 5737, 3849, 9637)."""
    return _SPECIAL.covers(network) and (special_purpose(network) or "").startswith(DOCUMENTATION)


class Guard:
    """Says of any prefix why it must never be banned. Made anew when the allowlist or the host's addresses change.

    `allowlist` holds prefixes; `own` what must stay reachable, with its reason (see `host.protected`). `permit` names
    special-purpose ranges that may be banned all the same, for a site with attackers inside; `permit_documentation` is
    for tests and demonstrations. A prefix shorter than `widest_ipv4` or `widest_ipv6` bits is refused.
    """

    def __init__(
        self,
        allowlist: Iterable[Prefix] = (),
        own: Mapping[Prefix, str] | None = None,
        *,
        permit: Iterable[Prefix] = (),
        permit_documentation: bool = False,
        widest_ipv4: int = 16,
        widest_ipv6: int = 32,
    ) -> None:
        self._allowlist = Ranges(dict.fromkeys(allowlist, "in the allowlist"))
        self._own = Ranges(own or {})
        self._permit = Ranges(dict.fromkeys(permit, "permitted"))
        self._permit_documentation = permit_documentation
        self._widest = {4: widest_ipv4, 6: widest_ipv6}
        closed = [each for each in _SPECIAL.members(4) if not self._permitted(each)]
        closed += [*self._own.members(4), *self._allowlist.members(4)]
        self._closed_to_hosts = Ranges(dict.fromkeys(closed, ""))

    def refusal(self, network: Prefix) -> str | None:
        """Return why `network` must not be banned, for a person to read, or None where it may."""
        if network.prefixlen < self._widest[network.version]:
            return f"{network} is wider than /{self._widest[network.version]}, the widest that may be banned"
        is_host = isinstance(network, IPv4Network) and network.prefixlen == network.max_prefixlen
        if is_host and not self._is_closed(int(network.network_address)):
            return None
        for ranges in (self._own, self._allowlist):
            if found := ranges.overlapping(network):
                return _say(network, *found)
        special = _SPECIAL.overlapping(network)
        return _say(network, *special) if special and not self._permitted(network) else None

    def refused_of(self, prefixes: Iterable[str]) -> list[str]:
        """Those of `prefixes`, spelt as `str` spells them, that must not be banned: as `refusal` says of each, in a
        tenth of the time for IPv4 addresses, of which there are 100,000 at a start."""
        found = []
        for text in prefixes:
            if text.endswith("/32") and ":" not in text:
                number = int.from_bytes(socket.inet_pton(socket.AF_INET, text[:-3]))
                if not self._is_closed(number):
                    continue
            if self.refusal(ip_network(text)):
                found.append(text)
        return found

    def _is_closed(self, number: int) -> bool:
        """Whether the IPv4 address that is this number may be one that must not be banned: nearly none is, and it takes
        a fifth of the time to know that."""
        return self._closed_to_hosts.holds(4, number)

    def _permitted(self, network: Prefix) -> bool:
        return self._permit.covers(network) or (self._permit_documentation and is_documentation(network))


def _say(network: Prefix, member: Prefix, label: str) -> str:
    inside = member.prefixlen <= network.prefixlen
    if member == network:
        return f"{network} is {label}"
    return f"{network} is {label}: {member}" if inside else f"{network} holds {member}, which is {label}"
