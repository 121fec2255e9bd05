"""SQLite: a batch's effects and its cursor are one thing."""

import sqlite3
from pathlib import Path

import pytest

from logwarden.address import prefix
from logwarden.errors import StateError
from logwarden.model import Ban, Classified, Event, Message, Notice, NoticeKind, Outcome, Verdict
from logwarden.state import FILE, GONE, State

NOW = 1_790_000_000.0


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(str(tmp_path / "state"))


def unexplained(raw: str) -> Verdict:
    return Verdict("file:/x", Event(NOW, "web1", "app", 1, raw, raw), Outcome.UNEXPLAINED)


def test_effects_and_cursor_commit_together_or_not_at_all(state: State) -> None:
    def die_half_way() -> None:
        with state.transaction() as tx:
            tx.count(tx.open_period(NOW), "file:/x", 3, Classified({Outcome.IGNORED: 3}, {}, ()), NOW)
            tx.set_cursor("file:/x", "7", NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        die_half_way()
    assert (state.cursors(), state.tallies(), state.period()) == ({}, {}, None)


def test_counts_of_a_period_add_up_and_a_new_period_starts_at_zero(state: State) -> None:
    for _ in range(2):
        with state.transaction() as tx:
            period = tx.open_period(NOW)
            counts = Classified({Outcome.IGNORED: 3, Outcome.ATTACK: 1}, {"a.rules:1": 3}, ())
            tx.count(period, "file:/x", 4, counts, NOW)
    assert state.tallies(period)["file:/x"][Outcome.IGNORED] == 6
    assert state.rule_hits(period) == {"a.rules:1": 6}
    with state.transaction() as tx:
        tx.close_period(period, NOW + 60)
    assert state.period() == (period + 1, NOW + 60)
    assert state.tallies(period + 1) == {}
    assert state.tallies()["file:/x"][Outcome.ATTACK] == 2


def test_the_time_of_slow_rules_adds_up_the_slowest_first(state: State) -> None:
    for _ in range(2):
        with state.transaction() as tx:
            classified = Classified({Outcome.IGNORED: 1}, {}, (), slow={"a.rules:1": 0.25, "b.rules:7": 1.5})
            tx.count(tx.open_period(NOW), "file:/x", 1, classified, NOW)
    assert list(state.slow_rules().items()) == [("b.rules:7", 3.0), ("a.rules:1", 0.5)]


def test_a_line_with_surrogates_and_nul_is_kept(state: State) -> None:
    with state.transaction() as tx:
        tx.add_entries(tx.open_period(NOW), [unexplained("a\udcff\0b")], NOW)
    assert next(state.entries(1)).raw == "a\\udcff\0b"


def test_a_ban_is_in_force_until_it_ends_or_is_lifted(state: State) -> None:
    with state.transaction() as tx:
        period = tx.open_period(NOW)
        tx.add_ban(period, Ban("192.0.2.1/32", NOW, NOW + 60, "sshd.yaml", "why", 5))
        tx.add_ban(period, Ban("192.0.2.1/32", NOW, NOW + 90, "manual", "longer"))
        tx.add_ban(period, Ban("192.0.2.2/32", NOW, NOW + 60, "sshd.yaml", "why", 5))
    assert [(ban.prefix, ban.until) for ban in state.bans(NOW)] == [
        ("192.0.2.1/32", NOW + 90),
        ("192.0.2.2/32", NOW + 60),
    ]
    assert [ban.prefix for ban in state.bans(NOW + 60)] == ["192.0.2.1/32"]
    with state.transaction() as tx:
        assert tx.lift_ban("192.0.2.1/32", NOW) == 2
    assert [ban.prefix for ban in state.bans(NOW)] == ["192.0.2.2/32"]
    assert state.times_by_prefix()["192.0.2.1/32"] == 2


def test_past_bans_are_remembered_until_they_ended_or_were_lifted(state: State) -> None:
    with state.transaction() as tx:
        period = tx.open_period(NOW)
        tx.add_ban(period, Ban("192.0.2.1/32", NOW, NOW + 60, "sshd.yaml", "why", 5))
        tx.add_ban(period, Ban("192.0.2.2/32", NOW, NOW + 90, "sshd.yaml", "why", 5))
        tx.lift_ban("192.0.2.2/32", NOW + 30)
    assert [(ban.prefix, ban.until) for ban in state.bans_since(NOW)] == [
        ("192.0.2.1/32", NOW + 60),
        ("192.0.2.2/32", NOW + 30),
    ]
    assert [ban.prefix for ban in state.bans_since(NOW + 45)] == ["192.0.2.1/32"]


def test_the_same_notice_is_said_once_a_period(state: State) -> None:
    with state.transaction() as tx:
        for _ in range(3):
            tx.add_notice(tx.open_period(NOW), Notice(NoticeKind.GAP, "journal", "lost", NOW))
    assert len(state.notices(1)) == 1


def test_a_message_stays_in_the_outbox_until_it_is_delivered(state: State) -> None:
    with state.transaction() as tx:
        tx.post(Message(0, "<1@h>", "a@h", ("b@h", "c@h"), b"\xff raw"), NOW)
    message = state.due(NOW)
    assert message is not None
    assert message.content == b"\xff raw"
    with state.transaction() as tx:
        tx.not_delivered(message.id, "no route", NOW + 60, ("c@h",))
    assert state.due(NOW) is None
    assert state.next_delivery() == NOW + 60
    assert state.undelivered()[0]["error"] == "no route"
    again = state.due(NOW + 60)
    assert again is not None
    assert (again.recipients, again.attempts) == (("c@h",), 1)
    with state.transaction() as tx:
        tx.delivered(again.id, NOW + 61)
    assert state.next_delivery() is None


def test_totals_outlive_the_periods_that_they_are_made_of(state: State) -> None:
    for hour in range(3):
        with state.transaction() as tx:
            period = tx.open_period(NOW + hour)
            tx.set_cursor("file:/x", str(hour), NOW + hour)
            tx.count(period, "file:/x", 2, Classified({Outcome.IGNORED: 2}, {"a.rules:1": 2}, ()), NOW + hour)
            tx.close_period(period, NOW + hour)
            tx.forget(NOW + hour)
    assert state.tallies()["file:/x"][Outcome.IGNORED] == 6
    assert state.rule_totals() == {"a.rules:1": (6, NOW + 2)}
    assert state.rule_hits(1) == {}


def test_the_counts_of_sources_that_are_gone_are_added_up_and_no_line_is_lost(state: State) -> None:
    sources = ["file:/a", "file:/b", "file:/\udcff", "journal"]
    for number in range(2):
        with state.transaction() as tx:
            period = tx.open_period(NOW)
            for source in sources:
                tx.count(period, source, 3, Classified({Outcome.IGNORED: 2, Outcome.ATTACK: 1}, {}, ()), NOW)
                tx.set_cursor(source, str(number), NOW)
            tx.close_period(period, NOW + number)
    with state.transaction() as tx:
        tx.forget_sources(["file:/b", "file:/\udcff"])
        tx.forget(NOW + 1)
    assert set(state.cursors()) == {"file:/a", "journal"}
    assert state.read() == {"file:/a": 6, "file:/b": 3, "file:/\udcff": 3, "journal": 6, GONE: 6}
    for _ in range(2):
        with state.transaction() as tx:
            tx.forget(NOW + 2)
    assert state.read() == {"file:/a": 6, "journal": 6, GONE: 12}
    assert state.tallies()[GONE] == {**dict.fromkeys(Outcome, 0), Outcome.IGNORED: 8, Outcome.ATTACK: 4}


def test_a_database_of_a_newer_logwarden_is_left_alone(state: State, tmp_path: Path) -> None:
    state.close()
    with sqlite3.connect(tmp_path / "state" / FILE) as db:
        db.execute("PRAGMA user_version=999")
    with pytest.raises(StateError, match="newer"):
        State(str(tmp_path / "state"))


def test_a_second_writer_is_an_error_and_not_a_crash(state: State, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "state" / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    state._db.execute("PRAGMA busy_timeout=1")
    with pytest.raises(StateError, match="no transaction"), state.transaction():
        pass


def test_forgetting_keeps_bans_in_force_and_undelivered_mail(state: State) -> None:
    with state.transaction() as tx:
        period = tx.open_period(NOW)
        tx.add_entries(period, [unexplained("x")], NOW)
        tx.add_ban(period, Ban("192.0.2.1/32", NOW, NOW + 9e6, "sshd.yaml", "why", 5))
        tx.post(Message(0, "<1@h>", "a@h", ("b@h",), b""), NOW)
        tx.close_period(period, NOW)
    with state.transaction() as tx:
        tx.forget(NOW + 1e6)
    assert list(state.entries(period)) == []
    assert len(state.bans(NOW + 1e6)) == 1
    assert state.due(NOW + 1e6) is not None


def test_old_lines_go_a_few_at_a_time_and_their_counts_are_added_up_once(state: State) -> None:
    with state.transaction() as tx:
        period = tx.open_period(NOW)
        tx.set_cursor("file:/x", "5", NOW)
        tx.count(period, "file:/x", 5, Classified({Outcome.UNEXPLAINED: 5}, {"sshd.yaml#a": 5}, ()), NOW)
        for number in range(5):
            tx.add_entries(period, [unexplained(str(number))], NOW)
        tx.close_period(period, NOW)
    gone = []
    for _ in range(4):
        with state.transaction() as tx:
            gone.append(tx.forget(NOW + 1, rows=2))
    assert gone == [2, 2, 1, 0]
    assert state.tallies()["file:/x"][Outcome.UNEXPLAINED] == state.read()["file:/x"] == 5
    assert state.attack_files() == {"sshd.yaml"}


OVERLAPPING = [
    *("203.0.113.5/32", "203.0.113.4/31", "203.0.113.0/24", "203.0.112.0/22", "203.0.0.0/16", "192.0.0.0/2"),
    *("203.0.11.5/32", "203.0.114.0/24", "20.3.0.0/16", "1.2.3.4/32"),
    *("2001:db8::/32", "2001:db8::/48", "2001:db8::/64", "2001:db8::5/128", "2001:db8:0:1::/64", "2001:db8:5::/48"),
    *(
        "2001::/16",
        "2001::/32",
        "2001:0:0:1::/64",
        "2000::/3",
        "2001:d::/32",
        "::1:0:0:1/128",
        "2001:db8:1:2:3:4:5:6/128",
    ),
]


def test_the_bans_on_a_prefix_are_those_that_share_an_address_with_it_and_the_longest_of_each(state: State) -> None:
    with state.transaction() as tx:
        period = tx.open_period(NOW)
        for text in OVERLAPPING:
            tx.add_ban(period, Ban(text, NOW, NOW + 90, "manual", "longer"))
            tx.add_ban(period, Ban(text, NOW, NOW + 60, "sshd.yaml", "why"))
    for network in map(prefix, OVERLAPPING):
        sharing = {each for each in OVERLAPPING if prefix(each).version == network.version}
        sharing = {each for each in sharing if prefix(each).overlaps(network)}
        found = state.bans_on(network, NOW)
        assert sorted(ban.prefix for ban in found) == sorted(sharing)
        assert {(ban.until, ban.attack) for ban in found} == {(NOW + 90, "manual")}
        assert state.bans_on(network, NOW + 90) == []
    assert dict(state.prefixes_banned(NOW)) == dict.fromkeys(OVERLAPPING, "manual")


def test_a_ban_is_found_among_many_by_an_index(state: State) -> None:
    asked: list[str] = []
    state._db.set_trace_callback(asked.append)
    state.bans_on(prefix("2001:db8:5::/48"), NOW)
    state._db.set_trace_callback(None)
    assert len(asked) == 2
    for query in asked:
        plan = " ".join(row[3] for row in state._db.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "SEARCH ban USING INDEX ban_prefix" in plan
