"""The daemon and the kernel: packets really dropped between two network namespaces, and let through again."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from demo import network
from demo.stage import Mailbox, daemon
from test_journey import Host, attack, until

pytestmark = [pytest.mark.root, pytest.mark.slow]

CLONE_NEWNET = 0x40000000
"""sched.h: what `unshare --net` asks for."""
UNDONE = {
    4: "ipset flush logwarden4; nft flush set inet logwarden v4_32",
    6: "ipset flush logwarden6; nft flush set inet logwarden v6_128",
}
"""What takes all bans of a family out of whichever backend is there."""
ATTACKER4, ATTACKER6, FRIEND = "203.0.113.9", "2001:db8:9::9", "203.0.113.77"


@contextmanager
def own_network() -> Iterator[None]:
    """Put this thread, and what it starts, into a network namespace of its own until the block ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as home:
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(home.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


@pytest.fixture(params=["ipset", "nftables"])
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    mailbox = Mailbox()
    with own_network(), network.wire([ATTACKER4, ATTACKER6, FRIEND]) as far, mailbox.served() as port:
        host = Host(tmp_path, port)
        host.config.write_text(host.config.read_text().replace("dry-run", request.param))
        rules = tmp_path / "attack.d" / "sshd.yaml"
        rules.write_text(rules.read_text().replace("ban: 1h", "ban: 3s"))
        host.reaches = far.reaches_us  # type: ignore[attr-defined]
        yield host


def test_who_attacks_is_dropped_at_once_and_let_through_again_when_the_ban_ends(host: Host) -> None:
    reaches = host.reaches  # type: ignore[attr-defined]
    with daemon(host.config):
        assert all(map(reaches, [ATTACKER4, ATTACKER6, FRIEND]))
        attack(host, ATTACKER4, 3)
        attack(host, ATTACKER6, 3)
        attack(host, FRIEND, 9)
        until(lambda: host.read() == 15)
        until(lambda: not reaches(ATTACKER4))
        assert not reaches(ATTACKER6)
        assert reaches(FRIEND)
        until(lambda: reaches(ATTACKER4) and reaches(ATTACKER6))


def test_a_ban_by_hand_outlives_the_daemon_and_is_lifted_by_hand(host: Host) -> None:
    reaches = host.reaches  # type: ignore[attr-defined]
    with daemon(host.config) as process:
        host.run("ban", ATTACKER4, "--for", "1h")
        assert not reaches(ATTACKER4)
        process.kill()
        process.wait()
        assert not reaches(ATTACKER4), "a SIGKILL lifts no ban"
    with daemon(host.config):
        assert not reaches(ATTACKER4)
        host.run("unban", ATTACKER4)
        assert reaches(ATTACKER4)


def test_a_set_that_somebody_flushed_is_filled_again_from_sqlite_at_start(host: Host) -> None:
    reaches = host.reaches  # type: ignore[attr-defined]
    with daemon(host.config):
        host.run("ban", ATTACKER4, "--for", "1h")
    subprocess.run("ipset flush 2>&-; iptables -t raw -F; nft flush ruleset 2>&-", shell=True, check=False)
    assert reaches(ATTACKER4)
    with daemon(host.config):
        assert not reaches(ATTACKER4)


def test_sets_and_rules_go_with_the_daemon_where_the_config_says_so(host: Host) -> None:
    reaches = host.reaches  # type: ignore[attr-defined]
    host.config.write_text(host.config.read_text().replace("bans: {", "bans: {on_stop: remove, "))
    with daemon(host.config) as process:
        host.run("ban", ATTACKER6)
        assert not reaches(ATTACKER6)
        process.terminate()
        process.wait()
        assert reaches(ATTACKER6)


def test_another_firewall_manager_that_reloads_beside_us_lifts_no_ban_for_long(host: Host) -> None:
    reaches = host.reaches  # type: ignore[attr-defined]
    with daemon(host.config):
        host.run("ban", ATTACKER4, "--for", "1h")
        host.run("ban", ATTACKER6, "--for", "1h")
        subprocess.run(
            "iptables -F; iptables -t raw -F; ip6tables -t raw -F; nft flush ruleset", shell=True, check=False
        )
        assert reaches(ATTACKER4), "its reload took our rule away"
        host.run("reload")  # a round of reconcile, as each minute brings one
        until(lambda: not reaches(ATTACKER4) and not reaches(ATTACKER6))
        assert reaches(FRIEND)


def test_repairs_are_counted_and_said_in_status_and_in_the_digest(host: Host) -> None:
    with daemon(host.config):
        host.run("ban", ATTACKER4, "--for", "1h")
        host.run("ban", ATTACKER6, "--for", "1h")
        for address in (ATTACKER4, ATTACKER6):
            subprocess.run(UNDONE[network.family(address)], shell=True, check=False)
        host.run("reload")
        for said in (host.run("status"), host.run("digest", "--preview")):
            assert "2 missing bans restored" in " ".join(said.split())
        host.run("reload")
        assert host.run("status").count("missing bans restored") == 1, "nothing was amiss the second time"


def test_the_gateway_of_this_host_is_not_banned_by_hand(host: Host) -> None:
    """No rule and no command cuts the way to everybody else."""
    for gateway in (FRIEND, ATTACKER6):
        subprocess.run(["ip", "route", "add", "default", "via", gateway], check=True)
    with daemon(host.config):
        for gateway in (FRIEND, ATTACKER6):
            assert f"{gateway}/{128 if ':' in gateway else 32} is this host's gateway" in host.run(
                "ban", gateway, status=1
            )
        assert "which is this host's gateway" in host.run("ban", "2001:db8:9::/64", status=1)
        assert host.reaches(ATTACKER6)  # type: ignore[attr-defined]
        attack(host, ATTACKER6, 9)
        until(lambda: "2001:db8:9::9/128 is this host's gateway" in " ".join(host.run("digest", "--preview").split()))
        assert "No bans" in host.run("bans")
        host.run("ban", ATTACKER6, "--force")
        assert not host.reaches(ATTACKER6)  # type: ignore[attr-defined]


def test_a_flush_leaves_no_trace_and_the_next_ban_is_in_force(host: Host) -> None:
    reaches = host.reaches  # type: ignore[attr-defined]
    with daemon(host.config):
        host.run("ban", ATTACKER4)
        host.run("flush", "--yes")
        assert reaches(ATTACKER4)
        kernel = "ipset list -name; iptables -t raw -S; ip6tables -t raw -S; nft list tables"
        traces = subprocess.run(kernel, shell=True, capture_output=True, text=True, check=False).stdout
        assert "logwarden" not in traces
        host.run("ban", ATTACKER4)
        assert not reaches(ATTACKER4)
