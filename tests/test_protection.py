"""Who becomes protected while the daemon runs is free at once, and is not banned."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from namespaces import ip, namespaces
from small import Small
from test_allowlist import utmp
from test_firewall import KERNEL

from logwarden import byhand, host
from logwarden.address import prefix
from logwarden.errors import AddressError
from logwarden.sessions import Sessions

pytestmark = pytest.mark.slow  # a whole daemon

AT_ONCE = 1.0
"""Seconds from the edit of an allowlist to the end of the bans that it covers."""
TRIES = 3
"""Of which one has to be in time: other processes may want the machine."""


def written(file: Path, text: str) -> None:
    file.write_text(text)


def moved_there(file: Path, text: str) -> None:
    """As editors save."""
    file.with_name("draft").write_text(text)
    file.with_name("draft").rename(file)


def linked_anew(file: Path, text: str) -> None:
    """As configuration management deploys."""
    target = file.with_name(f"release-{len(text)}")
    target.write_text(text)
    file.with_name("link").symlink_to(target)
    os.replace(file.with_name("link"), file)


@pytest.mark.parametrize("save", [written, moved_there, linked_anew])
def test_a_change_of_an_allowlist_file_lifts_within_a_second_what_it_covers(
    tmp_path: Path, save: Callable[[Path, str], None]
) -> None:
    small, file, text = Small(tmp_path), tmp_path / "lists" / "allow", "# nobody yet\n"
    file.parent.mkdir()
    file.write_text(text)
    small.config.write_text(small.config.read_text().replace("bans: {", f"bans: {{allowlist: [{file}], "))
    took = []
    with small.running() as daemon:
        for attempt in range(TRIES):
            address = f"203.0.113.{attempt}"
            small.attack(address, 3)
            assert list(small.bans()) == [f"{address}/32"]
            text += f"{address}\n"
            begun = time.monotonic()
            save(file, text)
            small.step_until(lambda: not daemon.firewall.list(small.hands.wall))
            took.append(time.monotonic() - begun)
            assert small.bans() == {}
            small.attack(address, 3)
            assert small.bans() == {}
    assert min(took) < AT_ONCE


@pytest.mark.root
@pytest.mark.parametrize("backend", KERNEL)
@pytest.mark.parametrize(
    ("address", "banned"), [("203.0.113.5", "203.0.113.5/32"), ("2001:db8:5::5", "2001:db8:5::/64")]
)
def test_an_address_that_becomes_the_hosts_own_is_free_and_is_not_banned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, address: str, banned: str
) -> None:
    monkeypatch.setattr(host, "SETTLING", 0.01)
    small = Small(tmp_path, backend=f"{backend}, mode: enforce")
    with namespaces(1) as (here,), here.inside(), small.running() as daemon:
        small.attack(address, 3)
        assert list(small.bans()) == [banned]
        ip(f"address add {address} dev lo")
        small.step_until(lambda: not daemon.firewall.list(small.hands.wall))
        assert small.bans() == {}
        small.attack(address, 3)
        assert small.bans() == {}
        assert f"{prefix(address)} is this host's own address" in " ".join(small.preview().split())
        ip(f"address del {address} dev lo")
        small.step_until(lambda: daemon.watch.guard.refusal(prefix(banned)) is None)
        small.attack(address, 3)
        assert list(small.bans()) == [banned]


@pytest.mark.parametrize(
    ("address", "banned"), [("203.0.113.7", "203.0.113.7/32"), ("2001:db8:5::7", "2001:db8:5::/64")]
)
def test_who_is_logged_in_is_banned_neither_by_a_rule_nor_by_hand_until_he_has_left(
    tmp_path: Path, address: str, banned: str
) -> None:
    small, file = Small(tmp_path), tmp_path / "utmp"
    file.write_bytes(utmp((7, os.getpid(), "alice", address)))
    with small.running() as daemon:
        daemon.protection.sessions = Sessions(str(file))
        small.attack(address, 9)
        small.attack("203.0.113.9", 3)
        assert list(small.bans()) == ["203.0.113.9/32"]
        assert f"alice is logged in from {address}" in " ".join(small.preview().split())
        with pytest.raises(AddressError, match=f"alice is logged in from {address}"):
            byhand.ban(daemon, {"address": address})
        file.write_bytes(b"")
        small.hands.pass_by(5)
        small.attack(address, 3)
        assert set(small.bans()) == {"203.0.113.9/32", banned}
