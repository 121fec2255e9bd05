"""Who logs in takes back what was counted for his own mistyped passwords, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small import NOW, Small

from logwarden import upkeep
from logwarden.address import Guard, parse, prefix
from logwarden.errors import StateError
from logwarden.logins import Logins
from logwarden.model import AttackRule, Ban, Batch, Event, Location, Manner, Outcome, Policy, Provenance, Verdict
from logwarden.tracker import Tracker
from logwarden.tracker.attempts import CAPACITY, LONGEST, Attempts

HERE, ELSEWHERE = "203.0.113.9", "203.0.113.10"
RULE = AttackRule(
    Location("sshd.yaml", 1), "sshd.yaml", "failed", ("sshd",), "Failed password for <USER> from <ADDR>( as <USER>)?"
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Small]:
    """A host that bans at the third failure."""
    small = Small(tmp_path)
    with small.running():
        yield small


def fail(host: Small, *users: str, address: str = HERE) -> None:
    host.write(*[f"Failed password for {user} from {address}" for user in users], tag="sshd[9]")


def log_in(host: Small, user: str = "alice", address: str = HERE, port: int = 4242) -> None:
    host.write(f"Accepted password for {user} from {address} port {port} ssh2", tag="sshd[10]")


def test_who_mistypes_and_logs_in_stands_where_he_stood_before(host: Small) -> None:
    fail(host, "alice", "alice")
    log_in(host)
    fail(host, "root", "root")
    assert host.bans() == {}
    fail(host, "root")
    assert set(host.bans()) == {f"{HERE}/32"}


def test_an_account_of_ones_own_takes_back_no_guess_at_anybody_elses(host: Small) -> None:
    fail(host, "root", "alice", "bob")
    assert set(host.bans()) == {f"{HERE}/32"}
    for port, user in enumerate(("root", "alice", "bob")):
        fail(host, user, address=ELSEWHERE)
        log_in(host, address=ELSEWHERE, port=port)
    fail(host, "mallory", address=ELSEWHERE)
    assert f"{ELSEWHERE}/32" in host.bans()


@pytest.mark.parametrize(
    ("user", "address"), [("bob", HERE), ("alice", ELSEWHERE), ("Alice", HERE), ("alic", HERE), ("alice", "nowhere")]
)
def test_what_anybody_else_does_takes_back_nothing(host: Small, user: str, address: str) -> None:
    fail(host, "alice", "alice")
    log_in(host, user, address)
    fail(host, "root")
    assert set(host.bans()) == {f"{HERE}/32"}


def test_a_login_that_somebody_else_wrote_takes_back_nothing(host: Small) -> None:
    fail(host, "alice", "alice")
    host.write(f"sshd[10]: Accepted password for alice from {HERE} port 4242 ssh2", tag="app[7]")
    host.write(
        f"Invalid user Accepted password for alice from {HERE} port 1 ssh2 from {ELSEWHERE} port 2", tag="sshd[9]"
    )
    fail(host, "root")
    assert set(host.bans()) == {f"{HERE}/32"}


def test_who_mistyped_before_a_restart_or_a_reload_and_logs_in_stands_where_he_stood_before(tmp_path: Path) -> None:
    host = Small(tmp_path)
    with host.running():
        fail(host, "alice")
    with host.running():
        fail(host, "alice")
        upkeep.learn_again(host.daemon, host.hands.wall)
        log_in(host)
        fail(host, "root", "root")
        assert host.bans() == {}
        lines = host.daemon.state.attacks_from(prefix(HERE), 9)
        assert [bool(each["counted"]) for each in lines] == [False, False, True, True]
    with host.running():
        log_in(host, "mallory")
        fail(host, "root")
        assert set(host.bans()) == {f"{HERE}/32"}


def test_a_line_whose_rule_has_changed_since_is_taken_back_by_nobody_it_does_not_name(tmp_path: Path) -> None:
    host = Small(tmp_path)
    with host.running():
        fail(host, "alice", "alice")
    rules = tmp_path / "attack.d" / "sshd.yaml"
    rules.write_text(rules.read_text().replace("for <USER> from", "for [a-z]+ from"))
    with host.running():
        log_in(host)
        fail(host, "root")
        assert set(host.bans()) == {f"{HERE}/32"}


def test_what_was_taken_back_stays_so_over_a_reload_and_a_restart(tmp_path: Path) -> None:
    host = Small(tmp_path)
    with host.running():
        fail(host, "alice", "root")
        log_in(host)
        upkeep.learn_again(host.daemon, host.hands.wall)
        fail(host, "root")
    with host.running():
        assert host.bans() == {}
        fail(host, "root")
        assert set(host.bans()) == {f"{HERE}/32"}
        lines = host.daemon.state.attacks_from(prefix(HERE), 9)
        assert [bool(each["counted"]) for each in lines] == [False, True, True, True]


def test_what_was_taken_back_while_the_database_took_nothing_is_written_down_when_it_does(
    host: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise StateError("no space left")

    monkeypatch.setattr(host.daemon.state, "transaction", full)
    fail(host, "alice", "root")
    log_in(host)
    pipeline = host.daemon.pipeline
    assert [hit.address for hit in pipeline.unwritten_hits(host.hands.wall)] == [HERE]
    monkeypatch.undo()
    pipeline.next_try = 0.0
    host.write("something")
    assert [row["raw"].split()[6] for row in host.daemon.state.attacks(0)] == ["root"]
    assert not pipeline.owes


def test_an_account_counts_for_the_prefix_that_its_owner_holds(host: Small) -> None:
    """An IPv6 host takes a new address each day (RFC 8981)."""
    fail(host, "alice", "alice", address="2001:db8::1")
    log_in(host, address="2001:db8::2")
    fail(host, "root", "root", address="2001:db8::1")
    assert host.bans() == {}


def test_a_clock_that_jumps_changes_nothing_of_it(host: Small) -> None:
    fail(host, "alice", "alice")
    host.hands.wall += 7200
    log_in(host)
    fail(host, "root", "root")
    assert host.bans() == {}


# --- in the tracker -------------------------------------------------------------------------------------------------


class Known:
    """Nobody has logged in before."""

    def as_same_user(self, *_: object) -> None:
        return None

    def logged_in(self, *_: object) -> None:
        return None


def failed(message: str, address: str = HERE, rule: AttackRule = RULE, time: float = NOW) -> Verdict:
    event = Event(time, "host", "sshd", 1, message, f"sshd[1]: {message}", Provenance(0))
    return Verdict("auth.log", event, Outcome.ATTACK, attack_by=rule, address=address)


def tracker() -> Tracker:
    return Tracker(Policy(3, 600, 3600), guard=Guard(permit_documentation=True), known=Known())


def test_a_line_that_names_somebody_else_too_is_not_taken_back() -> None:
    subject = tracker()
    both = failed(f"Failed password for alice from {HERE} as root")
    subject.weigh(both, NOW)
    assert subject.take_back("alice", parse(HERE)) == []
    assert subject.take_back("root", parse(HERE)) == []


def test_a_hit_of_a_high_score_is_taken_back_whole_and_once() -> None:
    subject, his = tracker(), failed(f"Failed password for alice from {HERE}", rule=RULE._replace(score=2))
    subject.weigh(his, NOW)
    assert subject.take_back("alice", parse(HERE)) == [his]
    assert subject.take_back("alice", parse(HERE)) == []
    other = failed(f"Failed password for root from {HERE}")
    made = [subject.weigh(other, NOW)[1] for _ in range(3)]
    assert [type(each) for each in made] == [type(None), type(None), Ban]
    assert subject.take_back("root", parse(HERE)) == [], "what led to a ban is spent"


def test_what_was_read_ahead_is_not_taken_back_for_it_comes_again() -> None:
    subject = tracker()
    subject.weigh(failed(f"Failed password for alice from {HERE}"), NOW, ahead="file:auth.log")
    assert subject.take_back("alice", parse(HERE)) == []


def test_hits_that_may_be_taken_back_are_few_and_short() -> None:
    attempts, key = Attempts(), ("sshd.yaml", "host", f"{HERE}/32")
    his = failed(f"Failed password for alice from {HERE}")
    long = failed(f"Failed password for {'a' * LONGEST} from {HERE}")
    for rule, verdict in ((RULE, his), (RULE, long), (RULE._replace(regex="Failed from <ADDR>"), his)):
        attempts.note(key, NOW, rule, verdict)
    assert len(attempts) == 1
    for number in range(CAPACITY):
        there = f"198.51.{number >> 8}.{number & 255}"
        attempts.note(key, NOW, RULE, failed(f"Failed password for alice from {there}", there))
    assert len(attempts) == CAPACITY
    assert attempts.by("alice", prefix(HERE)) == []
    assert len(attempts.by("alice", prefix("198.51.0.1"))) == 1
    assert len(attempts) == CAPACITY - 1
    attempts.expire({key: 0})
    assert len(attempts) == CAPACITY - 1
    attempts.expire({})
    assert len(attempts) == 0


@pytest.mark.parametrize(("program", "known"), [("odoo", False), ("sshd", True), ("sshd-session", True), ("*", True)])
def test_a_log_of_another_program_that_is_read_for_its_attacks_tells_of_no_login(program: str, known: bool) -> None:
    """Who makes a web application write a line of his own into its log has logged in nowhere."""
    line = f"2023-11-14T22:13:20+00:00 web1 sshd[1]: Accepted password for alice from {HERE} port 4242 ssh2\n"
    batch = Batch("file:/x", line.encode(), 1, "", program, manner=Manner(alone=True))
    assert bool(Logins(60).hear(batch, 1_700_000_000.0)) is known


def test_nothing_is_remembered_where_no_login_counts() -> None:
    line = f"2023-11-14T22:13:20+00:00 web1 sshd[1]: Accepted password for alice from {HERE} port 4242 ssh2\n"
    batch = Batch("auth.log", line.encode(), 1, "")
    assert Logins(0).hear(batch, NOW) == []
    written = 1_700_000_000.0
    assert Logins(60).hear(batch, written + 59) == [("alice", parse(HERE))]
    assert Logins(60).hear(batch, written + 60) == []
