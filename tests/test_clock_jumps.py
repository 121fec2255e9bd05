"""The clock jumps a year: no ban ends early, none lasts longer, and everything keeps its age."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from namespaces import Namespace
from small import NOW, Small
from test_tracker import GUARD, POLICY, hit

from logwarden.errors import StateError
from logwarden.firewall import reconcile
from logwarden.model import Ban
from logwarden.tracker import Aggregation, Growth, Tracker

pytestmark = pytest.mark.slow  # a whole daemon, or a real journal, server or disk

YEAR = 366 * 86_400.0
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
    host.daemon.close_period(host.hands.wall)
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
        one, other = steady.record(hit(address, now), now), shifted.record(hit(address, now + off), now + off)
        if isinstance(one, Ban) and isinstance(other, Ban):
            assert (other.prefix, other.why) == (one.prefix, one.why)
            assert other.until - off == pytest.approx(one.until, abs=1e-3)
        else:
            assert one == other
