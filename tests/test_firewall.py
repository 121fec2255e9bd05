"""The contract that every firewall backend keeps, on the real kernel in a namespace of the test's own."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv6Network, ip_network
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from namespaces import namespaces, run

from logwarden import config, diagnosis
from logwarden.cli.withdraw import withdraw
from logwarden.errors import FirewallError
from logwarden.firewall import BACKENDS, Counters, Firewall, Hook, Settings, entries, reconcile
from logwarden.firewall import counters as counters_module
from logwarden.firewall.ipset import SETS
from logwarden.firewall.protocol import checked, command, seconds_left
from logwarden.model import Ban

NOW = time.time()
KERNEL = ["ipset", "nftables"]
DEADLINE = 5.0


def ban(prefix: str, seconds: float = 3600.0, now: float = NOW) -> Ban:
    return Ban(prefix, now, now + seconds, "sshd.yaml", "why")


def until(condition: Callable[[], bool]) -> None:
    """Ask again and again, each time of the kernel, until it is so."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never was so"


@pytest.fixture
def network() -> Iterator[None]:
    with namespaces(1) as (here,), here.inside():
        yield


IN_A_KERNEL = [pytest.param(name, marks=pytest.mark.root) for name in KERNEL]


@pytest.fixture(params=[*IN_A_KERNEL, "dry-run"])
def firewall(request: pytest.FixtureRequest) -> Firewall:
    if request.param != "dry-run":
        request.getfixturevalue("network")
    made = BACKENDS[request.param]()
    made.init()
    return made


@pytest.fixture(params=IN_A_KERNEL)
def kernel(request: pytest.FixtureRequest, network: None) -> Firewall:
    made = BACKENDS[request.param]()
    made.init()
    return made


def traces() -> str:
    """All that this namespace's kernel holds of ours."""
    raw = run("iptables -t raw -S") + run("ip6tables -t raw -S")
    listed = run("ipset list -name") + raw + run("nft list tables")
    return "\n".join(line for line in listed.splitlines() if "logwarden" in line)


# --- the contract, dry run included -------------------------------------------------------------------------------


def test_a_ban_is_listed_as_it_was_spelled_with_the_seconds_it_has_left(firewall: Firewall) -> None:
    prefixes = [
        "192.0.2.1/32",
        "198.51.100.0/24",
        "2001:db8::/64",
        "2001:db8::1/128",
        "2001:db8:0:1::/64",
        "::1:0:0:1/128",
    ]
    firewall.apply([ban(prefix) for prefix in prefixes], NOW)
    listed = firewall.list(NOW)
    assert sorted(listed) == sorted(prefixes)
    assert all(3590 <= left <= 3600 for left in listed.values())


def test_a_ban_again_has_the_new_end_be_it_later_or_sooner(firewall: Firewall) -> None:
    for seconds in (3600, 7200, 600):
        firewall.apply([ban("192.0.2.1/32", seconds)], NOW)
        assert seconds - 10 <= firewall.list(NOW)["192.0.2.1/32"] <= seconds


def test_old_and_new_bans_may_come_in_one_batch(firewall: Firewall) -> None:
    firewall.apply([ban("192.0.2.1/32")], NOW)
    firewall.apply([ban("192.0.2.1/32", 60), ban("192.0.2.2/32", 60), ban("2001:db8::/48", 60)], NOW)
    assert sorted(firewall.list(NOW)) == ["192.0.2.1/32", "192.0.2.2/32", "2001:db8::/48"]
    assert max(firewall.list(NOW).values()) <= 60


def test_a_prefix_inside_another_is_a_ban_of_its_own(firewall: Firewall) -> None:
    firewall.apply([ban("192.0.2.0/24"), ban("192.0.2.7/32"), ban("2001:db8::/48"), ban("2001:db8::/64")], NOW)
    firewall.lift(["192.0.2.0/24", "2001:db8::/64"])
    assert sorted(firewall.list(NOW)) == ["192.0.2.7/32", "2001:db8::/48"]


def test_lifting_what_is_not_banned_is_no_error(firewall: Firewall) -> None:
    firewall.apply([ban("192.0.2.1/32")], NOW)
    firewall.lift(["192.0.2.9/32", "198.51.100.0/28", "2001:db8::/64"])
    firewall.lift([])
    firewall.apply([], NOW)
    assert list(firewall.list(NOW)) == ["192.0.2.1/32"]


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "192.0.2.1",
        "0.0.0.0/0",
        "::/0",
        "192.0.2.1/32\nflush logwarden4",
        "192.0.2.1/32 timeout 0",
        "192.0.2.1/32 }; flush ruleset; add table inet x {",
        "192.0.2.1/32\n",
        "-exist",
        "example.org/32",
        "１92.0.2.1/32",
    ],
)
def test_what_is_no_prefix_never_reaches_a_command(firewall: Firewall, prefix: str) -> None:
    with pytest.raises(FirewallError, match="not a prefix"):
        firewall.apply([ban("192.0.2.1/32"), ban(prefix)], NOW)
    with pytest.raises(FirewallError, match="not a prefix"):
        firewall.lift([prefix])
    assert not firewall.list(NOW)


def test_a_process_that_was_killed_finds_its_bans_again(kernel: Firewall) -> None:
    kernel.apply([ban("192.0.2.1/32"), ban("2001:db8::/48")], NOW)
    successor = type(kernel)()
    assert list(successor.init()) == []
    assert sorted(successor.list(NOW)) == ["192.0.2.1/32", "2001:db8::/48"]
    successor.lift(["2001:db8::/48"])
    assert list(successor.list(NOW)) == ["192.0.2.1/32"]


def test_init_says_what_it_made_once(firewall: Firewall) -> None:
    firewall.fini()
    assert bool(firewall.init()) == (type(firewall).__name__ != "DryRun")
    assert list(firewall.init()) == []


def test_fini_removes_every_trace_and_may_be_repeated(firewall: Firewall) -> None:
    firewall.apply([ban("192.0.2.1/32"), ban("2001:db8::/56")], NOW)
    firewall.fini()
    firewall.fini()
    if type(firewall).__name__ != "DryRun":
        assert traces() == ""
    firewall.init()
    assert not firewall.list(NOW)


@pytest.mark.slow
def test_two_thousand_bans_are_one_batch(firewall: Firewall) -> None:
    firewall.apply([ban(f"198.51.{n >> 8}.{n & 255}/32") for n in range(2_000)], NOW)
    assert len(firewall.list(NOW)) == 2_000


# --- reconcile ----------------------------------------------------------------------------------------------------


def test_a_kernel_that_agrees_is_left_alone(firewall: Firewall) -> None:
    wanted = [ban("192.0.2.1/32"), ban("2001:db8::/64", 1e12), ban("192.0.2.9/32", -1)]
    first = reconcile(firewall, wanted, NOW)
    assert (first.missing, first.wrong_end, first.foreign) == (2, 0, 0)
    again = reconcile(firewall, wanted, NOW)
    assert not again
    assert str(again) == ""


def test_missing_foreign_and_wrongly_timed_entries_are_repaired_and_counted(firewall: Firewall) -> None:
    firewall.apply([ban("192.0.2.1/32", 60), ban("192.0.2.2/32", 9000), ban("198.51.100.0/24")], NOW)
    wanted = [ban("192.0.2.1/32"), ban("192.0.2.2/32"), ban("192.0.2.3/32")]
    repairs = reconcile(firewall, wanted, NOW)
    assert (repairs.missing, repairs.wrong_end, repairs.foreign) == (1, 2, 1)
    assert str(repairs) == "1 missing bans restored; 2 bans with a wrong end corrected; 1 foreign entries removed"
    listed = firewall.list(NOW)
    assert sorted(listed) == ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"]
    assert all(3590 <= left <= 3600 for left in listed.values())


def test_a_ban_longer_than_the_kernel_can_time_is_renewed_before_it_ends(kernel: Firewall) -> None:
    wanted = [ban("192.0.2.1/32", 2e9)]
    assert reconcile(kernel, wanted, NOW)
    assert kernel.list(NOW)["192.0.2.1/32"] == pytest.approx(kernel.ceiling, abs=10)
    kernel.apply([ban("192.0.2.1/32", kernel.ceiling * 0.4)], NOW)  # as if so much time had passed
    nearly = [wanted[0]._replace(until=NOW + kernel.ceiling - 60, since=NOW - 600)]
    assert not reconcile(kernel, nearly, NOW), "it was put there when the kernel could not time all of it"
    assert kernel.list(NOW)["192.0.2.1/32"] == pytest.approx(kernel.ceiling - 60, abs=10)
    kernel.apply([ban("192.0.2.1/32", kernel.ceiling * 0.4)], NOW)
    assert not reconcile(kernel, wanted, NOW)
    assert kernel.list(NOW)["192.0.2.1/32"] == pytest.approx(kernel.ceiling, abs=10)


@pytest.mark.root
@pytest.mark.parametrize(
    "damage", ["ipset flush logwarden4", "iptables -t raw -F", "iptables -t raw -I PREROUTING -j ACCEPT"]
)
def test_what_another_program_does_to_sets_and_rules_is_repaired(network: None, damage: str) -> None:
    firewall = BACKENDS["ipset"]()
    wanted = [ban("192.0.2.1/32")]
    reconcile(firewall, wanted, NOW)
    run(damage)
    assert reconcile(firewall, wanted, NOW)
    assert not reconcile(firewall, wanted, NOW)
    rules = [line for line in run("iptables -t raw -S PREROUTING").splitlines() if line.startswith("-A")]
    assert rules[0] == "-A PREROUTING -m set --match-set logwarden4 src -j DROP"
    assert sum("logwarden4" in rule for rule in rules) == 1
    assert list(firewall.list(NOW)) == ["192.0.2.1/32"]


@pytest.mark.root
def test_a_rule_that_stands_twice_is_made_one(network: None) -> None:
    firewall = BACKENDS["ipset"]()
    firewall.init()
    run("iptables -t raw -A PREROUTING -m set --match-set logwarden4 src -j DROP")
    assert firewall.init() == ["iptables rule moved to the top"]
    assert run("iptables -t raw -S PREROUTING").count("logwarden4") == 1


@pytest.mark.root
def test_destroyed_sets_are_made_again_by_the_next_ban(network: None) -> None:
    firewall = BACKENDS["ipset"]()
    firewall.init()
    run("iptables -t raw -F")
    run("ip6tables -t raw -F")
    until(lambda: subprocess.run(["ipset", "destroy"], capture_output=True).returncode == 0)  # once no rule holds it
    firewall.apply([ban("192.0.2.1/32")], NOW)
    assert list(firewall.list(NOW)) == ["192.0.2.1/32"]
    assert "logwarden6" in traces()
    assert "-A PREROUTING -m set --match-set logwarden4 src -j DROP" in traces()


@pytest.mark.root
@pytest.mark.parametrize(
    "damage",
    [
        "nft flush ruleset",
        "nft delete table inet logwarden",
        "nft flush chain inet logwarden banned",
        "nft insert rule inet logwarden banned accept",
        "nft flush set inet logwarden v4_32",
    ],
)
def test_what_another_program_does_to_our_table_is_repaired(network: None, damage: str) -> None:
    firewall = BACKENDS["nftables"]()
    wanted = [ban("192.0.2.1/32"), ban("192.0.2.0/24")]
    reconcile(firewall, wanted, NOW)
    run(damage)
    assert reconcile(firewall, wanted, NOW)
    assert not reconcile(firewall, wanted, NOW)
    rules = run("nft list chain inet logwarden banned")
    assert "@v4_32 drop" in rules
    assert "@v4_24 drop" in rules
    assert "accept\n" not in rules.replace("policy accept", "")
    assert sorted(firewall.list(NOW)) == ["192.0.2.0/24", "192.0.2.1/32"]


def nft(*lines: str) -> None:
    subprocess.run(["nft", "-f", "-"], input="\n".join(lines), text=True, check=True, capture_output=True)


DROP4, DROP6 = "ip saddr & 255.255.255.255 @v4_32 drop", "ip6 saddr & ffff:ffff:ffff:ffff:: @v6_64 drop"


def rules(*texts: str) -> list[str]:
    """The chain's rules: these instead of its own."""
    chain = "inet logwarden banned"
    return [f"flush chain {chain}", *(f"add rule {chain} {text}" for text in texts)]


def chain(definition: str) -> list[str]:
    """The chain made anew, so."""
    gone, made = "delete chain inet logwarden banned", f"add chain inet logwarden banned {{ {definition} }}"
    return [*rules(), gone, made, *rules(DROP4, DROP6)]


def v4_32(kind: str, definition: str, *others: str) -> list[str]:
    """The set of IPv4 addresses made anew, so."""
    gone, made = "delete set inet logwarden v4_32", f"add {kind} inet logwarden v4_32 {{ {definition} }}"
    return [*rules(), gone, made, *rules(DROP6, *others)]


DAMAGES = {
    "no rule for IPv4": rules(DROP6),
    "a rule that counts": rules(DROP4.replace("drop", "counter"), DROP6),
    "a rule for all others": rules(DROP4.replace("@", "!= @"), DROP6),
    "a rule for what we send": rules(DROP4.replace("saddr", "daddr"), DROP6),
    "a rule with another mask": rules(DROP4.replace(".255 ", ".0 "), DROP6),
    "a late chain": chain("type filter hook prerouting priority 300; policy accept;"),
    "a chain that drops all": chain("type filter hook prerouting priority raw; policy drop;"),
    "a chain on another hook": chain("type filter hook output priority raw; policy accept;"),
    "a chain of another type": chain("type nat hook prerouting priority dstnat; policy accept;"),
    "a chain on no hook": chain(""),
    "a set without timeouts": v4_32("set", "type ipv4_addr;", DROP4),
    "a set of intervals": v4_32("set", "type ipv4_addr; flags interval, timeout;", "ip saddr @v4_32 drop"),
    "a set of ports": v4_32("set", "type inet_service; flags timeout; elements = { 22 };"),
    "a map": v4_32("map", "type ipv4_addr : verdict;"),
    "a table asleep": ["add table inet logwarden { flags dormant; }"],
    "a wrong set that another chain looks into": [
        "add chain inet logwarden own",
        "add set inet logwarden v4_8 { type ipv6_addr; }",
        "add rule inet logwarden own ip6 saddr @v4_8 accept",
    ],
}


@pytest.mark.root
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_table_that_has_all_our_names_but_drops_nothing_is_noticed_and_repaired(
    network: None, damage: list[str]
) -> None:
    firewall = BACKENDS["nftables"]()
    wanted = [ban("192.0.2.1/32"), ban("2001:db8::/64")]
    reconcile(firewall, wanted, NOW)
    nft(*damage)
    repairs = reconcile(firewall, wanted, NOW)
    assert repairs.structure == ("nftables table inet logwarden repaired",)
    assert repairs.foreign == 0
    assert not reconcile(firewall, wanted, NOW), "it is as it should be, and nft says so"
    listed = run("nft list table inet logwarden")
    assert "hook prerouting priority raw; policy accept;" in listed
    assert "ip saddr @v4_32 drop" in listed
    assert "flags dormant" not in listed
    assert sorted(firewall.list(NOW)) == ["192.0.2.1/32", "2001:db8::/64"]


@pytest.mark.root
def test_prefixes_of_any_length_leave_nothing_to_repair(network: None) -> None:
    firewall = BACKENDS["nftables"]()
    wanted = [ban(str(ip_network(("2001:db8::", n), strict=False))) for n in range(1, 129)]
    wanted += [ban(str(ip_network(("192.0.2.1", n), strict=False))) for n in range(1, 33)]
    reconcile(firewall, wanted, NOW)
    assert not reconcile(BACKENDS["nftables"](), wanted, NOW)


@pytest.mark.root
def test_a_ban_after_somebody_flushed_the_ruleset_repairs_it_at_once(network: None) -> None:
    firewall = BACKENDS["nftables"]()
    firewall.init()
    run("nft flush ruleset")
    firewall.apply([ban("192.0.2.1/32")], NOW)
    assert list(firewall.list(NOW)) == ["192.0.2.1/32"]
    assert "@v4_32 drop" in run("nft list ruleset")


# --- ipset's own --------------------------------------------------------------------------------------------------


@pytest.mark.root
def test_a_set_grows_before_it_is_full_and_keeps_what_it_holds(network: None) -> None:
    firewall = BACKENDS["ipset"](Settings(maxelem=8))
    firewall.init()
    firewall.apply([ban(f"192.0.2.{n}/32", 600 + 100 * n) for n in range(5)], NOW)
    assert firewall.init() == ["set logwarden4 enlarged"]
    assert "maxelem 20" in run("ipset list -terse logwarden4")
    assert firewall.list(NOW)["192.0.2.4/32"] == pytest.approx(1000, abs=10)
    assert "References: 1" in run("ipset list -terse logwarden4")


@pytest.mark.root
def test_a_burst_larger_than_the_set_is_banned_whole(network: None) -> None:
    firewall = BACKENDS["ipset"](Settings(maxelem=8))
    firewall.init()
    firewall.apply([ban(f"192.0.2.{n}/32") for n in range(200)], NOW)
    assert len(firewall.list(NOW)) == 200
    assert sorted(run("ipset list -name").split()) == ["logwarden4", "logwarden6"]


@pytest.mark.root
def test_what_a_kill_while_growing_left_behind_is_cleared_away(network: None) -> None:
    run("ipset create logwarden4_larger hash:net timeout 9")
    BACKENDS["ipset"]().init()
    assert sorted(run("ipset list -name").split()) == ["logwarden4", "logwarden6"]


@pytest.mark.root
def test_a_set_of_our_name_but_another_type_is_replaced(network: None) -> None:
    run("ipset create logwarden4 hash:ip")
    run("iptables -t raw -I PREROUTING -m set --match-set logwarden4 src -j DROP")
    assert "set logwarden4 created" in BACKENDS["ipset"]().init()
    assert "Type: hash:net" in run("ipset list -terse logwarden4")


@pytest.mark.root
def test_an_entry_that_exempts_a_prefix_is_foreign(network: None) -> None:
    firewall = BACKENDS["ipset"]()
    firewall.init()
    wanted = [ban("192.0.2.0/24"), ban("192.0.2.8/32")]
    run("ipset add logwarden4 192.0.2.7 nomatch")
    run("ipset add logwarden4 192.0.2.8 timeout 3600 nomatch")
    assert reconcile(firewall, wanted, NOW).foreign == 1
    assert "nomatch" not in run("ipset save logwarden4")
    assert not reconcile(firewall, wanted, NOW)


@pytest.mark.root
@pytest.mark.slow
def test_however_many_bans_are_in_force_without_a_process_and_lifted_so(network: None) -> None:
    asked: list[str] = []

    def count(argv: Sequence[str], lines: Iterable[str] = ()) -> str:
        asked.append(argv[1])
        return command(argv, lines)

    firewall = BACKENDS["ipset"](Settings(), count)
    firewall.init()
    asked.clear()
    prefixes = [f"198.{18 + n // 60_000}.{n // 250}.{n % 250}/32" for n in range(2_500)]
    prefixes += [f"10.{n}.0.0/{16 + n % 16}" for n in range(250)]
    prefixes += [f"2001:db8:{n:x}::/{48 + n % 80}" for n in range(1, 1_500)]
    firewall.apply([ban(prefix, 100.0 + n) for n, prefix in enumerate(prefixes)], NOW)
    assert asked == []
    held = firewall.list(NOW)
    assert held.keys() == set(prefixes)
    assert all(abs(held[prefix] - 100.0 - n) < DEADLINE for n, prefix in enumerate(prefixes))
    asked.clear()
    firewall.lift([*prefixes[1:], "192.0.2.1/32", "192.0.2.1/32"])
    assert asked == []
    assert list(firewall.list(NOW)) == [prefixes[0]]


@pytest.mark.root
@pytest.mark.slow
def test_entries_are_listed_as_ipset_lists_them(network: None) -> None:
    """Also those that somebody has made by hand: each layout that the kernel has for one."""
    firewall = BACKENDS["ipset"]()
    firewall.init()
    prefixes = [f"198.18.{n // 250}.{n % 250}/32" for n in range(1_500)] + ["10.0.0.0/9", "192.0.2.0/31"]
    prefixes += [f"2001:db8::{n:x}/{128 - n % 3}" for n in range(4, 1_500, 4)]
    firewall.apply([ban(prefix) for prefix in prefixes], NOW)
    for entry in (
        "192.0.2.7 nomatch",
        "192.0.2.64/26 timeout 0 packets 7 bytes 900",
        "203.0.113.9 packets 42 bytes 4200",
    ):
        run(f"ipset add logwarden4 {entry}")
    run("ipset add logwarden6 2001:db8:1::/48 packets 4294967296 bytes 1 nomatch")
    found = {(prefix, packets, exempt) for prefix, _, packets, exempt in entries.listed(SETS)}
    saved = run("ipset save logwarden4") + run("ipset save logwarden6")
    said = re.findall(r"^add \S+ (\S+) timeout \d+( nomatch)? packets (\d+) bytes \d+$", saved, re.MULTILINE)
    assert found == {(str(ip_network(text)), int(packets), bool(exempt)) for text, exempt, packets in said}
    assert len(found) == len(prefixes) + 4
    held = firewall.list(NOW)
    assert held["192.0.2.7/32"] == held["192.0.2.64/26"] == 0
    assert firewall.dropped()["203.0.113.9/32"] == 42


@pytest.mark.root
def test_sets_that_are_not_there_cannot_be_listed(network: None) -> None:
    with pytest.raises(FirewallError, match="cannot be listed"):
        BACKENDS["ipset"]().list(NOW)


def test_whoever_asks_often_what_was_dropped_is_told_as_it_was() -> None:
    """Each scrape of the metrics had ipset(8) list all that is banned, in the loop in which bans are made."""
    now = [0.0]
    took = 0.2

    class Slow:
        asked = 0

        def dropped(self) -> dict[str, int]:
            self.asked += 1
            now[0] += took
            if self.asked == 3:
                raise FirewallError("no")
            return {"192.0.2.1/32": self.asked}

    slow, counters = Slow(), Counters(lambda: now[0])
    for _ in range(50):
        assert counters.dropped(slow) == {"192.0.2.1/32": 1}  # type: ignore[arg-type]
    now[0] += took * counters_module.SELDOM
    assert counters.dropped(slow) == {"192.0.2.1/32": 2}  # type: ignore[arg-type]
    now[0] += took * counters_module.SELDOM
    assert counters.dropped(slow) == {}  # type: ignore[arg-type]


@pytest.mark.root
def test_a_few_bans_are_in_force_without_a_process(network: None) -> None:
    BACKENDS["ipset"]().init()
    firewall = BACKENDS["ipset"](run=lambda *_: pytest.fail("a process was started"))
    few = ["192.0.2.1/32", "198.51.100.0/24", "2001:db8::/64", "2001:db8:1::1/128"]
    firewall.apply([ban(prefix) for prefix in few], NOW)
    firewall.apply([ban("192.0.2.1/32", 7200)], NOW)
    firewall.lift(["198.51.100.0/24", "203.0.113.1/32"])
    held = BACKENDS["ipset"]().list(NOW)
    assert held.keys() == {"192.0.2.1/32", "2001:db8::/64", "2001:db8:1::1/128"}
    assert held["192.0.2.1/32"] == pytest.approx(7200, abs=10), "a ban is renewed"
    assert held["2001:db8::/64"] == pytest.approx(3600, abs=10)


@pytest.mark.root
@pytest.mark.parametrize("count", [1, 40])
def test_a_ban_for_which_there_is_no_set_makes_it(network: None, count: int) -> None:
    firewall = BACKENDS["ipset"]()
    firewall.apply([ban(f"192.0.2.{n}/32") for n in range(count)], NOW)
    assert len(firewall.list(NOW)) == count


@pytest.mark.root
def test_one_ban_too_many_for_a_set_enlarges_it(network: None) -> None:
    firewall = BACKENDS["ipset"](Settings(maxelem=8))
    firewall.init()
    for n in range(20):
        firewall.apply([ban(f"192.0.2.{n}/32")], NOW)
    assert len(firewall.list(NOW)) == 20


# --- hooks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hook"),
    [
        ("PREROUTING", Hook("raw", "PREROUTING")),
        ("INPUT", Hook("filter", "INPUT")),
        ("DOCKER-USER", Hook("filter", "DOCKER-USER")),
        ("mangle/PREROUTING", Hook("mangle", "PREROUTING")),
        ("none", None),
    ],
)
def test_a_hook_is_a_chain_or_none(text: str, hook: Hook | None) -> None:
    assert Hook.parse(text) == hook


@pytest.mark.parametrize(
    "text", ["", "-F", "INPUT\nCOMMIT", "nat/PREROUTING", "a b", "x" * 29, "raw/", "INPUT -j ACCEPT"]
)
def test_what_is_no_chain_is_no_hook(text: str) -> None:
    with pytest.raises(ValueError, match="is not PREROUTING"):
        Hook.parse(text)


@pytest.mark.root
def test_the_rule_stands_in_a_chain_of_the_administrator_s(network: None) -> None:
    run("iptables -N OURS")
    run("ip6tables -N OURS")
    firewall = BACKENDS["ipset"](Settings(hook=Hook.parse("OURS")))
    firewall.init()
    assert "-A OURS -m set --match-set logwarden4 src -j DROP" in run("iptables -S OURS")
    firewall.fini()
    assert traces() == ""


@pytest.mark.root
@pytest.mark.parametrize(("there", "lacking"), [("iptables", "ip6tables"), ("ip6tables", "iptables")])
def test_a_chain_that_one_family_lacks_is_said_and_stops_neither_the_other_nor_any_entry(
    network: None, there: str, lacking: str
) -> None:
    run(f"{there} -N OURS")
    firewall = BACKENDS["ipset"](Settings(hook=Hook.parse("OURS")))
    wanted = [ban("192.0.2.9/32"), ban("2001:db8::/64")]
    for _ in range(2):
        with pytest.raises(FirewallError, match=rf"^{lacking} .*OURS"):
            reconcile(firewall, wanted, NOW)
        assert set(firewall.list(NOW)) == {each.prefix for each in wanted}
        assert " OURS -m set --match-set logwarden" in run(f"{there} -S OURS")
        run("ipset flush")


@pytest.mark.root
def test_a_chain_that_does_not_exist_is_said(network: None) -> None:
    with pytest.raises(FirewallError, match=r"iptables .*NOWHERE"):
        BACKENDS["ipset"](Settings(hook=Hook.parse("NOWHERE"))).init()


@pytest.mark.root
@pytest.mark.parametrize("name", KERNEL)
def test_without_a_hook_there_are_sets_alone(network: None, name: str) -> None:
    firewall = BACKENDS[name](Settings(hook=None))
    firewall.init()
    assert list(firewall.init()) == []
    firewall.apply([ban("192.0.2.1/32")], NOW)
    assert list(firewall.list(NOW)) == ["192.0.2.1/32"]
    assert "drop" not in (traces() + run("nft list ruleset")).lower()
    firewall.fini()
    assert traces() == ""


@pytest.mark.root
def test_nftables_moves_to_another_hook(network: None) -> None:
    BACKENDS["nftables"]().init()
    BACKENDS["nftables"](Settings(hook=Hook.parse("INPUT"))).init()
    assert "hook input" in run("nft list ruleset")
    assert "hook prerouting" not in run("nft list ruleset")


def test_nftables_has_no_use_for_a_chain_of_somebody_else_s() -> None:
    with pytest.raises(FirewallError, match="PREROUTING, INPUT or none"):
        BACKENDS["nftables"](Settings(hook=Hook.parse("DOCKER-USER")))


# --- spelling -----------------------------------------------------------------------------------------------------

PREFIXES = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(1, 32)),
    st.tuples(st.ip_addresses(v=6), st.integers(1, 128)),
).map(lambda pair: str(ip_network(pair, strict=False)))


@given(PREFIXES)
def test_every_prefix_that_is_spelled_by_us_is_taken(prefix: str) -> None:
    assert checked(prefix) == prefix


@given(st.ip_addresses(v=6))
def test_the_c_library_spells_ipv6_as_we_do_but_for_embedded_ipv4(address: object) -> None:
    text = str(address)
    spelled = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
    assert spelled == text or IPv6Network(f"{text}/128").subnet_of(IPv6Network("::/80"))


@given(st.text(max_size=50))
def test_nothing_else_is_taken_that_could_end_a_word(text: str) -> None:
    try:
        checked(text)
    except FirewallError:
        return
    assert set(text) <= set("0123456789abcdef.:/")


def test_a_timeout_is_whole_seconds_within_the_kernel_s_range() -> None:
    bans = [ban("192.0.2.1/32", 0.2), ban("192.0.2.2/32", -5), ban("192.0.2.3/32", 9.1), ban("192.0.2.4/32", 1e300)]
    assert list(seconds_left(bans, NOW, 2147483).values()) == [1, 1, 10, 2147483]


# --- what the commands make of a hook -------------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.parametrize("hook", ["PREROUTING", "INPUT", "mangle/INPUT", "none"])
def test_doctor_and_withdraw_look_where_the_config_puts_the_rule(network: None, tmp_path: Path, hook: str) -> None:
    file = tmp_path / "logwarden.yaml"
    file.write_text(f"bans: {{mode: enforce, hook: {hook}}}\n")
    settings = config.load(str(file))
    BACKENDS["ipset"](settings.bans.firewall).init()
    found = [finding for finding in diagnosis.examine(settings) if finding.what == "rule order"]
    assert len(found) == (0 if hook == "none" else 2)
    assert all(finding.ok for finding in found), found
    assert CliRunner().invoke(withdraw, ["--config", str(file)]).exit_code == 0
    assert "logwarden" not in "".join(run(f"iptables-save -t {table}") for table in ("raw", "filter", "mangle"))
    assert "logwarden" not in run("ipset list -name")
