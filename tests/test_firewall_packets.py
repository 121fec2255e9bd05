"""What the kernel does with packets of the banned: dropped, through again at the end, flows cut, forwarded ones too."""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Iterator, Mapping
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
    """Our host, which this thread is on, its servers by address, and the others at the far end of a wire."""

    servers: Mapping[str, socket.socket]
    there: Namespace


@pytest.fixture
def world() -> Iterator[World]:
    with namespaces(2) as (here, there):
        wire(here, there, [HERE4, HERE6], [EVIL4, EVIL6, FRIEND4, FRIEND6])
        with here.listen(HERE4) as server4, here.listen(HERE6) as server6, here.inside():
            run("iptables -t mangle -A INPUT -m conntrack --ctstate INVALID")  # the kernel tracks where a rule asks
            run("ip6tables -t mangle -A INPUT -m conntrack --ctstate INVALID")
            yield World({HERE4: server4, HERE6: server6}, there)


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


class Party(NamedTuple):
    """Somebody at the far end, which of our addresses he talks to, what is banned of him, and who is not banned."""

    evil: str
    here: str
    ban: str
    friend: str


PARTIES = [Party(EVIL4, HERE4, f"{EVIL4}/32", FRIEND4), Party(EVIL6, HERE6, "2001:db8:9::/64", FRIEND6)]
FAMILIES = pytest.mark.parametrize("party", PARTIES, ids=["IPv4", "IPv6"])


@FAMILIES
@pytest.mark.parametrize("hook", ["PREROUTING", "INPUT"])
@pytest.mark.parametrize("name", KERNEL)
def test_who_is_banned_is_dropped_and_his_established_flow_is_cut(
    world: World, name: str, hook: str, party: Party
) -> None:
    firewall = BACKENDS[name](Settings(hook=Hook.parse(hook)))
    firewall.init()
    with world.there.connect(party.evil, party.here) as flow:
        assert flows(party.evil) == 1
        firewall.apply([ban(party.ban)], time.time())
        until(lambda: flows(party.evil) == 0)
        before = firewall.dropped()[party.ban]
        flow.send(b"still there?")
        until(lambda: firewall.dropped()[party.ban] > before)
    assert not world.there.reaches(party.evil, party.here)
    assert world.there.reaches(party.friend, party.here)


@pytest.mark.slow
@FAMILIES
@pytest.mark.parametrize("cut", [True, False])
def test_where_established_flows_are_accepted_first_cutting_them_is_what_ends_them(
    world: World, cut: bool, party: Party
) -> None:
    for command in ("iptables", "ip6tables"):
        run(f"{command} -N OURS")
        run(f"{command} -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT")
        run(f"{command} -A INPUT -j OURS")
    firewall = BACKENDS["ipset"](Settings(hook=Hook.parse("OURS"), cut=cut))
    firewall.init()
    with world.there.connect(party.evil, party.here) as flow, world.servers[party.here].accept()[0] as accepted:
        firewall.apply([ban(party.ban)], time.time())
        until(lambda: flows(party.evil) != cut)
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


class Published(NamedTuple):
    """A port of the host's address `published` that is a container's, which has the host's `bridge` for its gateway."""

    iptables: str
    forwarding: str
    published: str
    bridge: str
    container: str
    evil: str
    friend: str
    ban: str


PUBLISHED = [
    Published("iptables", "net.ipv4.ip_forward", HERE4, "198.51.100.1", "198.51.100.2", EVIL4, FRIEND4, f"{EVIL4}/32"),
    Published(
        "ip6tables",
        "net.ipv6.conf.all.forwarding",
        HERE6,
        "2001:db8:c::1",
        "2001:db8:c::2",
        EVIL6,
        FRIEND6,
        "2001:db8:9::/64",
    ),
]


@pytest.mark.parametrize("name", KERNEL)
@pytest.mark.parametrize("port", PUBLISHED, ids=["IPv4", "IPv6"])
def test_what_is_forwarded_to_a_container_is_dropped_too(name: str, port: Published) -> None:
    with namespaces(3) as (host, there, inner):
        wire(host, there, [port.published], [port.evil, port.friend])
        wire(host, inner, [port.bridge], [port.container])
        with inner.inside():
            run(f"ip route add default via {port.bridge}")
        with inner.listen(port.container), host.inside():
            run(f"sysctl -qw {port.forwarding}=1")
            match = f"-d {port.published} -p tcp --dport {PORT}"
            run(f"{port.iptables} -t nat -A PREROUTING {match} -j DNAT --to-destination {port.container}")
            until(lambda: there.reaches(port.evil, port.published))
            firewall = BACKENDS[name]()
            firewall.init()
            firewall.apply([ban(port.ban)], time.time())
            assert not there.reaches(port.evil, port.published)
            assert there.reaches(port.friend, port.published)
            assert firewall.dropped()[port.ban] > 0


def test_a_set_that_grows_while_it_works_lets_nobody_through(world: World) -> None:
    """Half full it is replaced by a larger one, made and filled beside it, in one step: create, fill, swap."""
    there, firewall = world.there, BACKENDS["ipset"](Settings(maxelem=8))
    firewall.init()
    now = time.time()
    firewall.apply([ban(f"{EVIL4}/32", 600, now), ban("2001:db8:9::/64", 600, now)], now)
    room = [8]
    for count in range(1, 60):
        firewall.apply([ban(f"198.51.100.{count}/32", 600, now)], now)
        firewall.init()  # what each round does
        (size,) = re.findall(r"maxelem (\d+)", run("ipset list -terse logwarden4"))
        held = len(firewall.list(now))
        assert held == count + 2
        assert int(size) > held, "it has grown before it is full"
        if int(size) != room[-1]:
            room.append(int(size))
            assert not there.reaches(EVIL4, HERE4)
            assert not there.reaches(EVIL6, HERE6)
            assert there.reaches(FRIEND4, HERE4)
    assert len(room) > 2
    assert run("ipset list -name").split() == ["logwarden4", "logwarden6"]
