"""What a host must stay able to talk to, read from a real kernel in a namespace of the test's own."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

import pytest
from namespaces import namespaces, run

from logwarden import host
from logwarden.address import Guard, prefix

PATIENCE = 10.0


@pytest.mark.root
def test_own_addresses_gateways_and_resolvers_are_protected(tmp_path: Path) -> None:
    resolvers = tmp_path / "resolv.conf"
    lines = ["# a comment", "search example.org", "nameserver 9.9.9.9", "nameserver 2001:db8::53%eth0", "nameserver x"]
    resolvers.write_text("\n".join(lines))
    with namespaces(1) as (here,), here.inside():
        run("ip link add eth0 type veth peer name eth1")
        run("ip link set eth0 up")
        run("ip link set eth1 up")
        run("ip address add 192.0.2.10/24 dev eth0")
        run("ip address add 2001:db8::10/64 dev eth0 nodad")
        run("ip address add 198.51.100.1 peer 198.51.100.2 dev eth0")
        run("ip route add default via 192.0.2.1")
        run("ip -6 route add default via 2001:db8::1")
        run("ip route add 203.0.113.0/24 nexthop via 192.0.2.2 nexthop via 192.0.2.3")
        run("ip route add 203.0.113.0/24 via inet6 fe80::1 dev eth0 table 99")
        found = host.protected([str(resolvers), str(tmp_path / "missing")])
    told = {str(network): label.removeprefix("this host's ") for network, label in found.items()}
    assert {text: told[text] for text in told if "fe80" not in text or text == "fe80::1/128"} == {
        "127.0.0.1/32": "own address",
        "::1/128": "own address",
        "192.0.2.10/32": "own address",
        "2001:db8::10/128": "own address",
        "198.51.100.1/32": "own address",
        "198.51.100.2/32": "own address",
        "192.0.2.1/32": "gateway",
        "192.0.2.2/32": "gateway",
        "192.0.2.3/32": "gateway",
        "fe80::1/128": "gateway",
        "2001:db8::1/128": "gateway",
        "9.9.9.9/32": "resolver",
        "2001:db8::53/128": "resolver",
    }
    refusal = Guard(own=found).refusal(prefix("9.9.9.0/24"))
    assert refusal == "9.9.9.0/24 holds 9.9.9.9/32, which is this host's resolver"


def test_this_machine_has_a_loopback_address() -> None:
    assert prefix("127.0.0.1") in host.protected([])


@pytest.mark.root
def test_an_address_that_comes_or_goes_is_heard_of_and_nothing_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "SETTLING", 0.01)
    heard: SimpleQueue[None] = SimpleQueue()
    with namespaces(1) as (here,), here.inside():
        listener = host.Listener(lambda: heard.put(None))
        listener.start()
        try:
            for change in ("add 192.0.2.10", "del 192.0.2.10", "add 2001:db8::10", "del 2001:db8::10"):
                run(f"ip address {change} dev lo")
                heard.get(timeout=PATIENCE)
        finally:
            listener.stop()
        for thread in threading.enumerate():
            if thread.name == "addresses":
                thread.join(PATIENCE)
                assert not thread.is_alive()


def test_where_there_is_no_such_socket_nothing_is_heard_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> NoReturn:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr("socket.socket", refused)
    listener = host.Listener(lambda: None)
    listener.start()
    listener.stop()
    assert "addresses" not in {thread.name for thread in threading.enumerate()}
