"""What is answered to a ban by hand, to its lifting and to an allowance: what is so afterwards, and why."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small import NOW, Small

from logwarden import answers, byhand
from logwarden.errors import AddressError
from logwarden.model import Ban

pytestmark = pytest.mark.slow  # a whole daemon


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Small]:
    small = Small(tmp_path)
    with small.running():
        yield small


def ban(host: Small, address: str, hours: float = 1, **more: object) -> dict[str, Any]:
    return byhand.ban(host.daemon, {"address": address, "length": hours * 3600, **more})


def test_who_is_added_to_a_file_of_the_allowlist_is_free_while_a_resolver_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, over = threading.Event(), threading.Event()

    def never(*_: object, **__: object) -> list[object]:
        asked.set()
        over.wait()
        raise OSError(2, "no answer")

    monkeypatch.setattr("socket.getaddrinfo", never)
    small, file = Small(tmp_path), tmp_path / "allow"
    file.write_text("slow.example.org\n")
    small.config.write_text(small.config.read_text().replace("bans: {", f"bans: {{allowlist: [{file}], "))
    try:
        with small.running() as daemon:
            small.attack("203.0.113.5", 3)
            small.step_until(asked.is_set)
            assert list(small.bans()) == ["203.0.113.5/32"]
            file.write_text("slow.example.org\n203.0.113.5\n")
            small.step_until(lambda: not daemon.state.bans(small.hands.wall))
            assert not over.is_set()
            assert small.bans() == {}
            over.set()
            small.step_until(lambda: "slow.example.org: no answer" in daemon.notices.faults.get("allowlist", ""))
    finally:
        over.set()


def test_a_file_of_the_allowlist_that_vanishes_holds_over_a_restart_until_it_is_back(tmp_path: Path) -> None:
    small, file = Small(tmp_path), tmp_path / "allow"
    file.write_text("203.0.113.5\n")
    small.config.write_text(small.config.read_text().replace("bans: {", f"bans: {{allowlist: [{file}], "))
    said = f"allowlist: {file}: No such file or directory; what it said last is still in force"
    with small.running() as daemon:
        file.unlink()
        small.step_until(lambda: daemon.notices.faults.get("allowlist") == said)
        small.attack("203.0.113.5", 3)
        assert small.bans() == {}
    with small.running() as daemon:
        small.attack("203.0.113.5", 3)
        assert small.bans() == {}
        small.step_until(lambda: daemon.notices.faults.get("allowlist") == said)
        assert "what it said last is still in force" in " ".join(small.preview().split())
        assert said in answers.status(daemon, {})["problems"]
        file.write_text("")
        small.step_until(lambda: "allowlist" not in daemon.notices.faults)
        small.hands.pass_by(3_600.0)
        small.attack("203.0.113.5", 3)
        assert list(small.bans()) == ["203.0.113.5/32"]


def test_a_prefix_from_which_somebody_has_logged_in_lately_is_not_banned_by_hand_without_force(host: Small) -> None:
    host.write("Accepted password for alice from 2001:db8:0:7::7 port 4242 ssh2", tag="sshd[9]")
    host.write("Accepted password for bob from 203.0.113.7 port 4242 ssh2", tag="sshd[9]")
    for network, why in (
        ("2001:db8:0:7::/64", "alice has logged in from 2001:db8:0:7::/64 lately"),
        ("2001:db8::/48", "alice has logged in from 2001:db8:0:7::/64 lately"),
        ("203.0.113.0/24", "bob has logged in from 203.0.113.7 lately"),
    ):
        with pytest.raises(AddressError, match=f"{why}; --force"):
            ban(host, network)
        assert ban(host, network, force=True)["prefix"] == network
        byhand.unban(host.daemon, {"address": network})
    for single in ("2001:db8:0:7::9", "203.0.113.7"):
        ban(host, single)


def unban(host: Small, address: str) -> dict[str, Any]:
    return byhand.unban(host.daemon, {"address": address})


def others(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(other["prefix"], other["lies"]) for other in answer["others"]]


def test_who_is_lifted_out_of_a_wide_ban_is_not_called_free(host: Small) -> None:
    ban(host, "203.0.113.0/24", hours=2)
    ban(host, "203.0.113.5")
    answer = unban(host, "203.0.113.5")
    assert answer["lifted"] == ["203.0.113.5/32"]
    assert others(answer) == [("203.0.113.0/24", "around")]
    assert answer["others"][0]["why"] == "banned by hand"
    assert answer["others"][0]["until"] == host.hands.wall + 7200
    assert unban(host, "203.0.113.5") == {"lifted": ["203.0.113.0/24"], "others": [], "trouble": None}


def test_who_stays_banned_within_a_lifted_prefix_is_named(host: Small) -> None:
    ban(host, "203.0.113.0/24")
    ban(host, "203.0.113.5")
    ban(host, "198.51.100.5")
    assert others(unban(host, "203.0.113.0/24")) == [("203.0.113.5/32", "inside")]


def test_a_ban_that_is_shorter_than_the_one_in_force_says_when_that_one_ends(host: Small) -> None:
    ban(host, "203.0.113.5", hours=9)
    shorter = ban(host, "203.0.113.5", hours=1)
    assert (shorter["until"], others(shorter)) == (host.hands.wall + 9 * 3600, [("203.0.113.5/32", "same")])
    assert host.bans() == {"203.0.113.5/32": 9 * 3600}, "in the kernel too"
    assert ban(host, "203.0.113.5", hours=10)["until"] == host.hands.wall + 10 * 3600
    assert host.bans() == {"203.0.113.5/32": 10 * 3600}


def test_a_ban_names_those_around_it_and_inside_it_that_last_longer(host: Small) -> None:
    ban(host, "203.0.113.0/24", hours=9)
    ban(host, "203.0.113.5", hours=9)
    ban(host, "203.0.113.6", hours=1)
    ban(host, "2001:db8::/48", hours=9)
    assert others(ban(host, "203.0.113.0/25", hours=2)) == [("203.0.113.0/24", "around"), ("203.0.113.5/32", "inside")]


def test_an_allowance_lifts_what_a_rule_has_banned_and_names_what_somebody_has_banned_around_it(host: Small) -> None:
    host.attack("203.0.113.5", 3)
    ban(host, "203.0.113.0/25")
    ban(host, "203.0.113.0/24")
    answer = byhand.allow(host.daemon, {"address": "203.0.113.5", "length": 60})
    assert answer["lifted"] == ["203.0.113.5/32"]
    assert others(answer) == [("203.0.113.0/24", "around"), ("203.0.113.0/25", "around")]
    ended = byhand.allow(host.daemon, {"address": "203.0.113.5", "end": True})
    assert (ended["until"], ended["lifted"]) == (None, [])


def test_an_allowance_inside_an_aggregate_lifts_it(host: Small) -> None:
    host.daemon.pipeline.tracker.note_ban(wide := Ban("203.0.113.0/24", NOW, NOW + 3600, "sshd.yaml", "a crowd"))
    with host.daemon.state.transaction() as tx:
        tx.add_ban(tx.open_period(NOW), wide)
    answer = byhand.allow(host.daemon, {"address": "203.0.113.5", "length": 60})
    assert (answer["lifted"], answer["others"]) == (["203.0.113.0/24"], [])
