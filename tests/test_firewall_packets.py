"""What the kernel does with packets of the banned: dropped, through again at the end, flows cut, forwarded ones too."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from namespaces import DROPPED, PORT, Namespace, namespaces, run, wire
from test_firewall import KERNEL, ban, until

from logwarden.firewall import BACKENDS, Firewall, Hook, Settings, conntrack

pytestmark = pytest.mark.root

HERE4, HERE6 = "192.0.2.10", "2001:db8::10"
EVIL4, EVIL6, FRIEND4, FRIEND6 = "203.0.113.9", "2001:db8:9::9", "203.0.113.77", "2001:db8:7::7"


class World(NamedTuple):
    """Our host, which this thread is on, its server, and the others at the far end of a wire."""

    server: socket.socket
    there: Namespace


@pytest.fixture
def world() -> Iterator[World]:
    with namespaces(2) as (here, there):
        wire(here, there, [HERE4, HERE6], [EVIL4, EVIL6, FRIEND4, FRIEND6])
        with here.listen(HERE4) as server, here.listen(HERE6), here.inside():
            run("iptables -t mangle -A INPUT -m conntrack --ctstate INVALID")  # the kernel tracks where a rule asks
            run("ip6tables -t mangle -A INPUT -m conntrack --ctstate INVALID")
            yield World(server, there)


@pytest.fixture(params=KERNEL)
def firewall(request: pytest.FixtureRequest, world: World) -> Firewall:
    made = BACKENDS[request.param]()
    made.init()
    return made


def flows(address: str) -> int:
    """How many TCP flows the kernel tracks that come from `address`."""
    listed = run("conntrack -L -p tcp -f ipv4") + run("conntrack -L -p tcp -f ipv6")
    return sum(line.split("src=", 1)[-1].startswith(f"{address} ") for line in listed.splitlines())


@pytest.mark.slow
def test_the_banned_are_dropped_until_their_time_is_over(firewall: Firewall, world: World) -> None:
    there = world.there
    assert there.reaches(EVIL4, HERE4)
    assert there.reaches(EVIL6, HERE6)
    now = time.time()
    firewall.apply([ban(f"{EVIL4}/32", 2, now), ban("2001:db8:9::/64", 2, now)], now)
    assert not there.reaches(EVIL4, HERE4)
    assert not there.reaches(EVIL6, HERE6)
    assert there.reaches(FRIEND4, HERE4)
    assert there.reaches(FRIEND6, HERE6)
    assert firewall.dropped()[f"{EVIL4}/32"] > 0
    assert firewall.dropped()["2001:db8:9::/64"] > 0
    until(lambda: there.reaches(EVIL4, HERE4) and there.reaches(EVIL6, HERE6))
    assert not firewall.list(now)


@pytest.mark.slow
def test_a_lifted_ban_lets_through_again(firewall: Firewall, world: World) -> None:
    there = world.there
    firewall.apply([ban("203.0.113.0/24"), ban("2001:db8:9::/48")], time.time())
    assert not there.reaches(EVIL4, HERE4)
    assert not there.reaches(EVIL6, HERE6)
    firewall.lift(["203.0.113.0/24", "2001:db8:9::/48"])
    assert there.reaches(EVIL4, HERE4)
    until(lambda: there.reaches(EVIL6, HERE6))  # its neighbour discovery was dropped too, and backs off


def test_an_established_flow_is_cut(firewall: Firewall, world: World) -> None:
    with world.there.connect(EVIL4, HERE4) as flow:
        assert flows(EVIL4) == 1
        firewall.apply([ban(f"{EVIL4}/32")], time.time())
        until(lambda: flows(EVIL4) == 0)
        before = firewall.dropped()[f"{EVIL4}/32"]
        flow.send(b"still there?")
        until(lambda: firewall.dropped()[f"{EVIL4}/32"] > before)


@pytest.mark.slow
@pytest.mark.parametrize("cut", [True, False])
def test_where_established_flows_are_accepted_first_cutting_them_is_what_ends_them(world: World, cut: bool) -> None:
    run("iptables -N OURS")
    run("ip6tables -N OURS")
    run("iptables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT")
    run("iptables -A INPUT -j OURS")
    firewall = BACKENDS["ipset"](Settings(hook=Hook.parse("OURS"), cut=cut))
    firewall.init()
    with world.there.connect(EVIL4, HERE4) as flow, world.server.accept()[0] as accepted:
        firewall.apply([ban(f"{EVIL4}/32")], time.time())
        until(lambda: flows(EVIL4) != cut)
        flow.sendall(b"x")
        assert bool(select.select([accepted], [], [], DROPPED)[0]) != cut


def test_flows_of_others_stay_when_many_are_banned(firewall: Firewall, world: World) -> None:
    pairs = [(EVIL4, HERE4), (FRIEND4, HERE4), (EVIL6, HERE6), (FRIEND6, HERE6)]
    with ExitStack() as open_flows:
        for source, target in pairs:
            open_flows.enter_context(world.there.connect(source, target))
        many = [ban(f"198.51.100.{n}/32") for n in range(100)]
        firewall.apply([*many, ban(f"{EVIL4}/32"), ban("2001:db8:9::/64")], time.time())
        until(lambda: [flows(source) for source, _ in pairs] == [0, 1, 0, 1])


def test_flows_are_cut_by_prefix_and_counted(world: World) -> None:
    with world.there.connect(EVIL4, HERE4), world.there.connect(FRIEND4, HERE4), world.there.connect(EVIL6, HERE6):
        assert conntrack.cut(["198.51.100.0/24", "2001:db8:7::/48"]) == 0
        assert conntrack.cut(["203.0.112.0/23"]) == 2
        assert conntrack.cut(["203.0.112.0/23"]) == 0
        assert flows(EVIL6) == 1


def test_bans_that_come_while_flows_are_being_cut_are_served_next(world: World) -> None:
    cutter = conntrack.Cutter()
    with world.there.connect(EVIL4, HERE4), world.there.connect(FRIEND4, HERE4):
        cutter.cut([f"{EVIL4}/32"])
        cutter.cut([f"{FRIEND4}/32"])
        until(lambda: flows(EVIL4) + flows(FRIEND4) == 0)


@pytest.mark.parametrize("name", KERNEL)
def test_what_is_forwarded_to_a_container_is_dropped_too(name: str) -> None:
    published, container = "192.0.2.10", "198.51.100.2"
    with namespaces(3) as (host, there, inner):
        wire(host, there, [published], [EVIL4, FRIEND4])
        wire(host, inner, ["198.51.100.1"], [container])
        with inner.inside():
            run("ip route add default via 198.51.100.1")
        with inner.listen(container), host.inside():
            run("sysctl -qw net.ipv4.ip_forward=1")
            match = f"-d {published} -p tcp --dport {PORT}"
            run(f"iptables -t nat -A PREROUTING {match} -j DNAT --to-destination {container}")
            assert there.reaches(EVIL4, published)
            firewall = BACKENDS[name]()
            firewall.init()
            firewall.apply([ban(f"{EVIL4}/32")], time.time())
            assert not there.reaches(EVIL4, published)
            assert there.reaches(FRIEND4, published)
