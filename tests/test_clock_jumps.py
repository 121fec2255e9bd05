"""The clock jumps a year: no ban ends early, none lasts longer, and everything keeps its age."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from namespaces import Namespace
from small import NOW, Small
from test_tracker import GUARD, POLICY, hit

from logwarden import daemon as daemon_
from logwarden.errors import StateError
from logwarden.firewall import reconcile
from logwarden.model import Ban
from logwarden.tracker import Aggregation, Growth, Tracker

pytestmark = pytest.mark.slow  # a whole daemon, or a real journal, server or disk

YEAR = 366 * 86_400.0
Boot = Callable[[Small, float], None]
BOTH = pytest.mark.parametrize("by", [YEAR, -YEAR], ids=["ahead", "back"])


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Small]:
    small = Small(tmp_path)
    with small.running():
        yield small


def jump(host: Small, by: float) -> None:
    """Set the wall clock, and let the daemon wake for whatever reason: here, a line."""
    host.hands.wall += by
    host.write("normal 1")


@BOTH
def test_a_ban_lasts_as_long_as_it_was_given_for(host: Small, by: float) -> None:
    host.attack("203.0.113.9", 3)
    host.hands.pass_by(600)
    jump(host, by)
    assert host.bans() == {"203.0.113.9/32": pytest.approx(3_000)}
    host.hands.pass_by(2_990)
    host.write("normal 2")
    assert list(host.bans()) == ["203.0.113.9/32"]
    host.hands.pass_by(20)
    host.write("normal 3")
    assert host.bans() == {}
    assert "the clock was set 366d" in host.preview()


@BOTH
def test_hits_from_before_the_jump_still_count(host: Small, by: float) -> None:
    host.attack("203.0.113.9", 2)
    jump(host, by)
    host.attack("203.0.113.9", 1)
    assert host.bans() == {"203.0.113.9/32": pytest.approx(3_600)}


@BOTH
def test_a_ban_made_in_the_batch_that_brings_the_jump_lasts_its_hour(host: Small, by: float) -> None:
    host.hands.wall += by
    host.attack("203.0.113.9", 3)
    host.write("normal 1")
    assert host.bans() == {"203.0.113.9/32": pytest.approx(3_600)}


@BOTH
def test_the_digest_is_neither_late_by_a_year_nor_are_lines_forgotten(host: Small, by: float) -> None:
    host.write("never seen before")
    jump(host, by)
    assert host.hands.wall < host.daemon.next_digest <= host.hands.wall + 86_400 + 60
    host.hands.pass_by(3_700)
    host.write("normal 2")
    assert "never seen before" in host.preview()


@BOTH
def test_mail_that_waits_is_tried_when_it_was_due(host: Small, by: float) -> None:
    host.write("never seen before")
    host.close_period()
    due = host.daemon.state.next_delivery()
    assert due == NOW
    jump(host, by)
    assert host.daemon.state.next_delivery() == pytest.approx(NOW + by)


@BOTH
def test_a_jump_while_we_were_down_is_known_where_the_machine_was_not_booted(tmp_path: Path, by: float) -> None:
    host = Small(tmp_path)
    with host.running():
        host.attack("203.0.113.9", 3)
    host.hands.pass_by(600)
    host.hands.wall += by
    with host.running():
        assert host.bans() == {"203.0.113.9/32": pytest.approx(3_000)}
        assert "the clock was set" in host.preview()
    with host.running():
        assert host.bans() == {"203.0.113.9/32": pytest.approx(3_000)}


# --- over a boot ------------------------------------------------------------------------------------------------


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> Boot:
    """Boots the machine: the wall clock stands there then, and the kernel has forgotten its sets."""
    boots = itertools.count(2)
    monkeypatch.setattr(daemon_, "_boot", lambda: "b1")

    def boot(host: Small, wall: float) -> None:
        name = f"b{next(boots)}"
        monkeypatch.setattr(daemon_, "_boot", lambda: name)
        host.hands.wall, host.hands.since_boot = wall, 5.0

    return boot


@pytest.mark.parametrize("off", [60.0, YEAR], ids=["for a minute", "for a year"])
def test_a_machine_that_boots_in_1970_and_then_hears_the_time_keeps_a_ban_for_the_rest_of_its_hour(
    tmp_path: Path, boot: Boot, off: float
) -> None:
    host = Small(tmp_path)
    with host.running():
        host.attack("203.0.113.9", 3)
        host.hands.pass_by(600)
    boot(host, 5.0)
    with host.running():
        assert host.bans() == {"203.0.113.9/32": pytest.approx(3_000)}
        host.hands.pass_by(10)
        jump(host, NOW + 600 + off)
        assert host.bans() == {"203.0.113.9/32": pytest.approx(2_990)}
    with host.running():
        assert host.bans() == {"203.0.113.9/32": pytest.approx(2_990)}
        host.hands.pass_by(3_000)
        host.write("normal 2")
        assert host.bans() == {}


def test_a_machine_that_was_off_for_longer_than_a_ban_has_none(tmp_path: Path, boot: Boot) -> None:
    host = Small(tmp_path)
    with host.running():
        host.attack("203.0.113.9", 3)
    boot(host, NOW + YEAR)
    with host.running():
        assert host.bans() == {}


@pytest.mark.parametrize("down", [False, True], ids=["while we run", "while we are down"])
def test_a_ban_that_a_clock_a_year_ahead_seemed_to_end_at_the_boot_is_in_force_once_the_clock_is_right(
    tmp_path: Path, boot: Boot, *, down: bool
) -> None:
    host = Small(tmp_path)
    with host.running():
        host.attack("203.0.113.9", 3)
    boot(host, NOW + 600 + YEAR)
    with host.running():
        assert host.bans() == {}
        host.attack("203.0.113.10", 3)
        host.hands.pass_by(100)
        if not down:
            jump(host, -YEAR)
    if down:
        host.hands.wall -= YEAR
    with host.running():
        assert host.bans() == {"203.0.113.9/32": pytest.approx(2_900), "203.0.113.10/32": pytest.approx(3_500)}
        host.attack("203.0.113.9", 3)
        assert len(list(host.daemon.state.bans_since(0.0))) == 2, "it is known to be banned"


def test_a_clock_that_was_right_at_the_boot_and_is_set_back_a_year_makes_no_ban_longer(
    tmp_path: Path, boot: Boot
) -> None:
    host = Small(tmp_path)
    with host.running():
        host.attack("203.0.113.9", 3)
    boot(host, NOW + 600)
    with host.running():
        jump(host, -YEAR)
        assert host.bans() == {"203.0.113.9/32": pytest.approx(3_000)}
        jump(host, YEAR)
        assert host.bans() == {"203.0.113.9/32": pytest.approx(3_000)}


# --- lines from before the jump -----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("down", [False, True], ids=["while we run", "while we are down"])
def test_lines_that_the_clock_told_the_time_of_before_it_jumped_are_not_too_old_after_it(
    tmp_path: Path, by: float, *, down: bool
) -> None:
    host = Small(tmp_path)
    with host.running() as daemon:
        batch = host.batch(*["Failed password for root from 203.0.113.9"] * 3, tag="sshd[9]")
        host.hands.pass_by(30)
        if not down:
            jump(host, by)
            daemon.inbox.put_batch(batch, lambda: False)
            daemon.step()
            assert host.bans() == {"203.0.113.9/32": pytest.approx(3_570 if by > 0 else 3_600)}
    if down:
        host.hands.wall += by
        with host.running() as daemon:
            daemon.inbox.put_batch(batch, lambda: False)
            daemon.step()
            assert host.bans() == {"203.0.113.9/32": pytest.approx(3_570 if by > 0 else 3_600)}


def test_lines_that_were_too_old_before_the_jump_are_so_after_it(host: Small) -> None:
    batch = host.batch(*["Failed password for root from 203.0.113.9"] * 3, tag="sshd[9]")
    host.hands.pass_by(1_300)
    jump(host, YEAR)
    host.daemon.inbox.put_batch(batch, lambda: False)
    host.daemon.step()
    assert host.bans() == {}


@pytest.mark.root
@BOTH
def test_the_kernel_keeps_each_timeout_as_it_is(tmp_path: Path, by: float) -> None:
    with closing(Namespace()) as namespace, namespace.inside():
        host = Small(tmp_path, backend="ipset")
        with host.running() as daemon:
            host.attack("203.0.113.9", 3)
            jump(host, by)
            assert daemon.firewall.list(host.hands.wall) == {"203.0.113.9/32": pytest.approx(3_600, abs=5)}
            assert host.bans() == {"203.0.113.9/32": pytest.approx(3_600)}
            assert not reconcile(daemon.firewall, daemon.state.bans(host.hands.wall), host.hands.wall)


def test_a_shift_that_fails_leaves_every_time_as_it_was(host: Small) -> None:
    host.attack("203.0.113.9", 3)

    def fail() -> None:
        with host.daemon.state.transaction() as tx:
            tx.shift(YEAR)
            raise StateError("full")

    with pytest.raises(StateError):
        fail()
    assert host.bans() == {"203.0.113.9/32": pytest.approx(3_600)}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["203.0.113.1", "203.0.113.2", "203.0.113.3", "2001:db8::1"]),
            st.floats(0, 900),
            st.sampled_from([0.0, 0.0, YEAR, -YEAR, 3_600.0]),
        ),
        max_size=40,
    )
)
def test_a_tracker_that_is_shifted_decides_as_one_whose_clock_never_jumped(
    strikes: list[tuple[str, float, float]],
) -> None:
    def new() -> Tracker:
        many = Aggregation(threshold=2, window=3_600, ban=7_200)
        return Tracker(POLICY, guard=GUARD, growth=Growth(), aggregation=many)

    steady, shifted = new(), new()
    now, off = NOW, 0.0
    for address, seconds, by in strikes:
        now, off = now + seconds, off + by
        shifted.shift(by)
        one, other = steady.weigh(hit(address, now), now)[1], shifted.weigh(hit(address, now + off), now + off)[1]
        if isinstance(one, Ban) and isinstance(other, Ban):
            assert (other.prefix, other.why) == (one.prefix, one.why)
            assert other.until - off == pytest.approx(one.until, abs=1e-3)
        else:
            assert one == other
