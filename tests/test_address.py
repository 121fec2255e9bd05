"""What address.py promises: one spelling an address, and no ban on what must stay reachable."""

from __future__ import annotations

import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logwarden.address import (
    Guard,
    Ranges,
    host_prefix,
    is_documentation,
    normalised,
    parse,
    prefix,
    source_prefix,
    special_purpose,
    spelt,
)

ADDRESSES = st.ip_addresses()
PREFIXES = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 128)),
).map(lambda pair: ip_network(pair, strict=False))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", IPv4Address("192.0.2.1")),
        ("::ffff:192.0.2.1", IPv4Address("192.0.2.1")),
        ("::FFFF:c000:0201", IPv4Address("192.0.2.1")),
        ("[::ffff:192.0.2.1]", IPv4Address("192.0.2.1")),
        ("2001:DB8:0:0::1", IPv6Address("2001:db8::1")),
        ("[2001:db8::1]", IPv6Address("2001:db8::1")),
        ("fe80::1%eth0", IPv6Address("fe80::1")),
        ("[fe80::1%25eth0]", IPv6Address("fe80::1")),
    ],
)
def test_every_spelling_of_an_address_is_one_address(text: str, address: object) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2",
        "192.0.2.256",
        "192.0.02.1",
        "3221225985",
        "0xc0000201",
        "192.0.2.1/24",
        "192.0.2.1%eth0",
        "192.0.2.1\n",
        " 192.0.2.1",
        "١٩٢.0.2.1",
        "2001:db8::1::2",
        "[2001:db8::1",
        "2001:db8::1]",
        "[]",
        "%eth0",
        "2001:db8::1\nadd logwarden4 0.0.0.0/1",
        "example.org",
    ],
)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    for read in (parse, prefix):
        try:
            again = str(read(text))
        except ValueError:
            continue
        assert str(read(again)) == again


@given(ADDRESSES)
def test_an_address_reads_back_as_itself(address: IPv4Address | IPv6Address) -> None:
    assert parse(str(address)) == (getattr(address, "ipv4_mapped", None) or address)
    assert spelt(address) == str(address)


@given(st.text(alphabet="0123456789abcF:.x \0", max_size=24))
def test_what_looks_like_an_address_is_one_where_the_standard_library_takes_it(text: str) -> None:
    try:
        expected = ip_address(text)
    except ValueError:
        for read in (parse, normalised):
            with pytest.raises(ValueError):
                read(text)
    else:
        assert parse(text) == (getattr(expected, "ipv4_mapped", None) or expected)
        assert normalised(text) == str(parse(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("192.0.2.77/24", "192.0.2.0/24"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("2001:db8::1/64", "2001:db8::/64"),
        ("[2001:db8::1]/64", "2001:db8::/64"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("fe80::1%eth0/64", "fe80::/64"),
    ],
)
def test_a_prefix_drops_its_host_bits(text: str, expected: str) -> None:
    assert str(prefix(text)) == expected


@pytest.mark.parametrize("text", ["192.0.2.0/33", "192.0.2.0/", "/24", "192.0.2.0/-1", "2001:db8::/129", "x/24"])
def test_a_bad_prefix_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        prefix(text)


def test_one_party_holds_an_ipv4_address_or_an_ipv6_64() -> None:
    assert source_prefix(parse("203.0.113.9")) == IPv4Network("203.0.113.9/32")
    assert source_prefix(parse("2001:db8:1:2:3::4")) == IPv6Network("2001:db8:1:2::/64")
    assert source_prefix(parse("2001:db8:1:2:3::4"), 56) == IPv6Network("2001:db8:1::/56")


@pytest.mark.parametrize("text", ["64:ff9b::203.0.113.9", "2001:0:cb00:7109::1"])
def test_a_64_that_many_parties_share_is_never_one_party(text: str) -> None:
    assert source_prefix(parse(text)) == host_prefix(parse(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("127.0.0.53", "loopback (RFC 1122)"),
        ("::1", "loopback (RFC 4291)"),
        ("10.1.2.3", "private use (RFC 1918)"),
        ("169.254.169.254", "link-local (RFC 3927)"),
        ("fe80::1", "link-local (RFC 4291)"),
        ("224.0.0.1", "multicast (RFC 5771)"),
        ("ff02::1", "multicast (RFC 4291)"),
        ("255.255.255.255", "reserved, with limited broadcast (RFC 1112, RFC 8190)"),
        ("0.0.0.0/0", "reserved, with limited broadcast (RFC 1112, RFC 8190)"),
        ("::/0", "multicast (RFC 4291)"),
        ("fd00::1", "unique local (RFC 4193)"),
        ("192.0.2.1", "documentation (RFC 5737)"),
    ],
)
def test_special_purpose_ranges_are_known_by_their_rfc(text: str, reason: str) -> None:
    assert special_purpose(prefix(text)) == reason


@pytest.mark.parametrize(
    "text",
    ["8.8.8.8", "192.31.196.1", "100.63.255.255", "128.0.0.0", "2606:4700::1", "64:ff9b::8.8.8.8", "2002:808::1"],
)
def test_ranges_from_which_a_real_party_sends_are_not_special(text: str) -> None:
    assert special_purpose(prefix(text)) is None


@given(st.lists(PREFIXES, max_size=20), PREFIXES)
def test_ranges_agree_with_the_naive_test(
    members: list[IPv4Network | IPv6Network], network: IPv4Network | IPv6Network
) -> None:
    ranges = Ranges(dict.fromkeys(members, "x"))
    same = [member for member in members if member.version == network.version]
    assert (ranges.overlapping(network) is not None) == any(member.overlaps(network) for member in same)
    assert ranges.covers(network) == any(network.subnet_of(member) for member in same)  # type: ignore[arg-type]


def test_a_guard_says_why() -> None:
    guard = Guard([prefix("8.8.8.0/24")], {prefix("1.1.1.1"): "this host's own address"})
    assert guard.refusal(prefix("8.8.8.8")) == "8.8.8.8/32 is in the allowlist: 8.8.8.0/24"
    assert guard.refusal(prefix("8.8.0.0/16")) == "8.8.0.0/16 holds 8.8.8.0/24, which is in the allowlist"
    assert guard.refusal(prefix("8.8.8.0/24")) == "8.8.8.0/24 is in the allowlist"
    assert guard.refusal(prefix("1.1.1.0/24")) == "1.1.1.0/24 holds 1.1.1.1/32, which is this host's own address"
    assert guard.refusal(prefix("9.9.9.9")) is None


def test_a_guard_refuses_prefixes_wider_than_configured() -> None:
    guard = Guard(widest_ipv4=24, widest_ipv6=48)
    assert guard.refusal(prefix("9.9.0.0/23")) == "9.9.0.0/23 is wider than /24, the widest that may be banned"
    assert guard.refusal(prefix("9.9.9.0/24")) is None
    assert "wider than /48" in (guard.refusal(prefix("2a00::/32")) or "")
    assert guard.refusal(prefix("::/0")) is not None
    assert guard.refusal(prefix("0.0.0.0/0")) is not None


def test_documentation_ranges_are_permitted_only_on_demand() -> None:
    for text in ("192.0.2.1", "203.0.113.0/24", "2001:db8:1::/64", "3fff::1"):
        assert "documentation" in (Guard().refusal(prefix(text)) or "")
        assert Guard(permit_documentation=True).refusal(prefix(text)) is None
    assert Guard(permit_documentation=True).refusal(prefix("127.0.0.1")) is not None
    assert Guard([prefix("192.0.2.7")], permit_documentation=True).refusal(prefix("192.0.2.0/24")) is not None


def test_a_site_can_permit_its_private_ranges() -> None:
    guard = Guard(permit=[prefix("10.0.0.0/8")])
    assert guard.refusal(prefix("10.1.2.3")) is None
    assert guard.refusal(prefix("192.168.1.1")) is not None


@pytest.mark.slow
def test_ten_thousand_prefixes_are_tested_in_microseconds() -> None:
    guard = Guard(IPv4Network((n << 12, 24)) for n in range(10_000, 20_000))
    probe = prefix("9.9.9.9")
    start = time.perf_counter()
    for _ in range(10_000):
        guard.refusal(probe)
    assert time.perf_counter() - start < 1.0


@example([], {}, [], False, [IPv6Network("::ffff:8.8.8.8/128"), IPv6Network("::ffff:8.8.0.0/112")])
@example([IPv4Network("8.8.8.0/25")], {IPv4Network("8.8.8.128/25"): "its own"}, [], False, [IPv4Network("8.8.0.0/16")])
@example([ip_network("::/0")], {}, [ip_network("0.0.0.0/0"), ip_network("10.0.0.0/9")], True, [])
@given(
    st.lists(PREFIXES),
    st.dictionaries(PREFIXES, st.just("its own")),
    st.lists(PREFIXES),
    st.booleans(),
    st.lists(PREFIXES),
)
def test_of_many_prefixes_those_are_refused_that_are_refused_alone(
    allowlist: list[IPv4Network | IPv6Network],
    own: dict[IPv4Network | IPv6Network, str],
    permit: list[IPv4Network | IPv6Network],
    documentation: bool,
    asked: list[IPv4Network | IPv6Network],
) -> None:
    guard = Guard(allowlist, own, permit=permit, permit_documentation=documentation)
    asked = [*asked, *(host_prefix(network.network_address) for network in (*asked, *allowlist, *own, *permit))]
    asked += [host_prefix(network.broadcast_address) for network in (*asked, *allowlist, *own, *permit)]
    refused = [each for each in asked if guard.refusal(each)]
    assert guard.refused_of(map(str, asked)) == [str(each) for each in refused]

    def is_in(each: IPv4Network | IPv6Network, ranges: Iterable[IPv4Network | IPv6Network]) -> bool:
        return any(each.version == one.version and each.overlaps(one) for one in ranges)

    def is_permitted(each: IPv4Network | IPv6Network) -> bool:
        inside = any(each.version == one.version and each.subnet_of(one) for one in permit)  # type: ignore[arg-type]
        return inside or (documentation and is_documentation(each))

    hosts = [each for each in asked if each.prefixlen == each.max_prefixlen]
    assert [each for each in hosts if each in refused] == [
        each
        for each in hosts
        if is_in(each, own) or is_in(each, allowlist) or (special_purpose(each) and not is_permitted(each))
    ]
