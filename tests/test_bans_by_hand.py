"""What is answered to a ban by hand, to its lifting and to an allowance: what is so afterwards, and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small import Small

from logwarden import answers
from logwarden.errors import AddressError

pytestmark = pytest.mark.slow  # a whole daemon


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Small]:
    small = Small(tmp_path)
    with small.running():
        yield small


def ban(host: Small, address: str, hours: float = 1, **more: object) -> dict[str, Any]:
    return answers.ban(host.daemon, {"address": address, "length": hours * 3600, **more})


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
        answers.unban(host.daemon, {"address": network})
    for single in ("2001:db8:0:7::9", "203.0.113.7"):
        ban(host, single)
