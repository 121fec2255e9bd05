"""What the tracker promises: the ban an attacker earned, once, and never one for what is over or for somebody else."""

from __future__ import annotations

import itertools
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.address import Address, Guard, Prefix, parse, prefix
from logwarden.logins import Logins
from logwarden.model import AttackRule, Ban, Event, Location, Outcome, Policy, Provenance, Severity, Verdict
from logwarden.tracker import PLACES, SPARED_APART, Aggregation, Growth, Hit, Spared, Tracker, counts
from logwarden.tracker.window import Windows

NOW = 1_700_000_000.0
POLICY = Policy(threshold=3, window=600, ban=3600)
GUARD = Guard(permit_documentation=True)
ATTACKER = "203.0.113.9"
CROWD = Aggregation(threshold=4, window=3600, ban=7200)


def rule(file: str = "sshd.yaml", **changes: object) -> AttackRule:
    return AttackRule(Location(file, 1), file, "failed", ("sshd",), "x", **changes)  # type: ignore[arg-type]


def hit(
    address: str | None = ATTACKER,
    time: float | None = NOW,
    by: AttackRule | None = None,
    provenance: Provenance | None = None,
    host: str | None = "host",
) -> Verdict:
    event = Event(time, host, "sshd", 1, "Failed", "raw", provenance)
    return Verdict("auth.log", event, Outcome.ATTACK, attack_by=by or rule(), address=address)


def tracker(policy: Policy = POLICY, guard: Guard = GUARD, **options: object) -> Tracker:
    options.setdefault("growth", Growth(factor=1))
    return Tracker(policy, guard=guard, **options)  # type: ignore[arg-type]


def strike(subject: Tracker, times: int, now: float = NOW, address: str = ATTACKER) -> list[Ban | Spared]:
    return [made for _ in range(times) if (made := subject.weigh(hit(address, now), now)[1])]


def one_ban(subject: Tracker, now: float = NOW, address: str = ATTACKER) -> Ban:
    (made,) = strike(subject, 3, now, address)
    assert isinstance(made, Ban)
    return made


# --- the window ---------------------------------------------------------------------------------------------------


def test_the_hit_that_reaches_the_threshold_bans() -> None:
    subject = tracker()
    assert [subject.weigh(hit(time=NOW + n), NOW + n)[1] for n in range(2)] == [None, None]
    assert subject.weigh(hit(time=NOW + 2), NOW + 2)[1] == Ban(
        f"{ATTACKER}/32", NOW + 2, NOW + 2 + 3600, "sshd.yaml", "sshd.yaml#failed: score 3 within 600 s", 3
    )


def test_a_score_counts_as_that_many_hits() -> None:
    subject = tracker()
    assert subject.weigh(hit(by=rule(score=2)), NOW)[1] is None
    assert isinstance(subject.weigh(hit(by=rule(score=2)), NOW)[1], Ban)
    assert isinstance(tracker().weigh(hit(by=rule(score=99)), NOW)[1], Ban)


def test_hits_that_never_stand_in_one_window_ban_nobody() -> None:
    subject = tracker()
    assert [subject.weigh(hit(time=NOW + 301 * n), NOW + 301 * n)[1] for n in range(20)] == [None] * 20


def test_a_hit_leaves_its_window_after_exactly_its_length() -> None:
    for gap, bans in ((599.9, True), (600.0, False)):
        subject = tracker()
        strike(subject, 2)
        assert (subject.weigh(hit(time=NOW + gap), NOW + gap)[1] is not None) == bans


@given(st.lists(st.floats(0, 3000), min_size=1, max_size=40), st.integers(1, 5))
def test_a_ban_comes_exactly_when_a_window_first_holds_enough_hits(offsets: list[float], threshold: int) -> None:
    subject = tracker(Policy(threshold, 600, 3600))
    times = sorted(NOW + offset for offset in offsets)
    full = (n for n in range(len(times)) if sum(times[n] - 600 < time for time in times[: n + 1]) >= threshold)
    made = [n for n, time in enumerate(times) if subject.weigh(hit(time=time), time)[1]]
    assert made[:1] == list(itertools.islice(full, 1))


@given(st.permutations([NOW - 300, NOW - 200, NOW - 100]))
def test_hits_may_come_in_any_order(times: list[float]) -> None:
    subject = tracker()
    made = [subject.weigh(hit(time=time), NOW)[1] for time in times]
    assert [each is not None for each in made] == [False, False, True]


def test_files_count_apart_and_addresses_count_apart() -> None:
    subject = tracker()
    strike(subject, 2)
    assert subject.weigh(hit(by=rule("nginx.yaml")), NOW)[1] is None
    assert subject.weigh(hit("203.0.113.10"), NOW)[1] is None
    assert subject.weigh(hit(), NOW)[1] is not None


def test_hosts_count_apart_and_an_address_that_is_banned_on_one_starts_afresh_on_all() -> None:
    subject = tracker()
    strike(subject, 2)
    assert subject.weigh(hit(host="web2"), NOW)[1] is None
    assert subject.weigh(hit(host="web2"), NOW)[1] is None
    assert subject.weigh(hit(), NOW)[1] is not None
    subject.lift(prefix(ATTACKER), NOW)
    assert subject.weigh(hit(host="web2"), NOW)[1] is None


def test_invented_hosts_beyond_a_bound_count_together() -> None:
    subject = tracker()
    for number in range(PLACES):
        subject.weigh(hit("203.0.113.200", host=f"h{number}"), NOW)[1]
    made = [subject.weigh(hit(host=f"new{number}"), NOW)[1] for number in range(3)]
    assert isinstance(made[2], Ban)


def test_restored_hits_count_on_their_host() -> None:
    subject = tracker()
    subject.restore(hits=[Hit(NOW - 5, "sshd.yaml", ATTACKER, 2, "host")])
    assert subject.weigh(hit(host="web2"), NOW)[1] is None
    assert subject.weigh(hit(), NOW)[1] is not None


# --- the policy ---------------------------------------------------------------------------------------------------


def test_the_config_overrides_the_file_and_the_file_the_default() -> None:
    strict, lax = Policy(1, 60, 60), Policy(2, 60, 60)
    assert isinstance(tracker().weigh(hit(by=rule(policy=strict)), NOW)[1], Ban)
    assert tracker(policies={"sshd.yaml": lax}).weigh(hit(by=rule(policy=strict)), NOW)[1] is None
    assert tracker(policies={"nginx.yaml": lax}).weigh(hit(by=rule(policy=strict)), NOW)[1] is not None


# --- what does not count ------------------------------------------------------------------------------------------


def test_a_violation_and_an_attack_without_an_address_count_against_nobody() -> None:
    subject = tracker(Policy(1, 600, 3600))
    for verdict in (hit(by=rule(severity=Severity.VIOLATION)), hit(None)):
        assert not counts(verdict)
        assert subject.weigh(verdict, NOW)[1] is None


@pytest.mark.parametrize("text", ["999.1.1.1", "203.0.113.9; reboot", "example.org", "2001:db8::1::2"])
def test_what_is_no_address_is_said_and_bans_nobody(text: str) -> None:
    made = tracker(Policy(1, 600, 3600)).weigh(hit(text), NOW)[1]
    assert made == Spared(text, "sshd.yaml", "not an address")


def test_a_backlog_bans_nobody_for_what_is_over() -> None:
    subject = tracker()
    assert [subject.weigh(hit(time=NOW - 86_400), NOW)[1] for _ in range(99)] == [None] * 99
    assert [subject.weigh(hit(time=NOW - 601), NOW)[1] for _ in range(99)] == [None] * 99


def test_a_backlog_bans_for_the_rest_of_a_ban_that_would_still_run() -> None:
    subject = tracker()
    made = [subject.weigh(hit(time=NOW - 400), NOW)[1] for _ in range(3)][-1]
    assert isinstance(made, Ban)
    assert (made.since, made.until) == (NOW, NOW - 400 + 3600)


def test_a_ban_that_would_have_ended_is_not_made() -> None:
    subject = tracker(Policy(3, 600, 60))
    assert [subject.weigh(hit(time=NOW - 61), NOW)[1] for _ in range(9)] == [None] * 9
    assert isinstance(subject.weigh(hit(), NOW)[1], Ban)


def test_old_hits_complete_a_window_whose_newest_hit_is_recent() -> None:
    subject = tracker()
    assert subject.weigh(hit(time=NOW - 700), NOW)[1] is None
    assert subject.weigh(hit(time=NOW - 650), NOW)[1] is None
    assert isinstance(subject.weigh(hit(time=NOW - 150), NOW)[1], Ban)


def test_an_event_from_the_future_counts_as_of_now() -> None:
    subject = tracker()
    made = [subject.weigh(hit(time=NOW + 1e6), NOW)[1] for _ in range(3)][-1]
    assert isinstance(made, Ban)
    assert made.until == NOW + 3600


def test_an_event_without_a_time_counts_as_of_now() -> None:
    subject = tracker()
    assert isinstance([subject.weigh(hit(time=None), NOW)[1] for _ in range(3)][-1], Ban)


# --- whose prefix -------------------------------------------------------------------------------------------------


def test_ipv6_counts_by_64() -> None:
    subject = tracker()
    made = [subject.weigh(hit(f"2001:db8::{n}"), NOW)[1] for n in range(3)][-1]
    assert isinstance(made, Ban)
    assert made.prefix == "2001:db8::/64"


def test_ipv4_mapped_is_ipv4() -> None:
    assert one_ban(tracker(), address=f"::ffff:{ATTACKER}").prefix == f"{ATTACKER}/32"


def test_a_64_that_holds_somebody_to_protect_is_banned_address_by_address() -> None:
    guard = Guard([prefix("2001:db8::7")], permit_documentation=True)
    subject = tracker(guard=guard)
    assert one_ban(subject, address="2001:db8::8").prefix == "2001:db8::8/128"
    assert [type(made) for made in strike(subject, 3, address="2001:db8::7")] == [Spared]


# --- the guard ----------------------------------------------------------------------------------------------------


def test_a_refusal_is_stated_once_a_ban_length() -> None:
    subject = tracker(guard=Guard([prefix("203.0.113.0/24")], permit_documentation=True))
    reason = f"{ATTACKER}/32 is in the allowlist: 203.0.113.0/24"
    assert strike(subject, 1000) == [Spared(f"{ATTACKER}/32", "sshd.yaml", reason)]
    assert len(strike(subject, 1000, NOW + 3601)) == 1


def test_a_new_guard_counts_at_once() -> None:
    subject = tracker()
    strike(subject, 2)
    subject.guard = Guard([prefix(ATTACKER)], permit_documentation=True)
    assert [type(made) for made in strike(subject, 1)] == [Spared]


# --- provenance ---------------------------------------------------------------------------------------------------


def test_a_forged_line_never_counts_and_is_stated_once() -> None:
    subject = tracker(Policy(1, 600, 3600))
    forgers = [Provenance(65534, "session-3.scope", f"logger{n}", "syslog") for n in range(100)]
    made = [each for forger in forgers if (each := subject.weigh(hit(provenance=forger), NOW)[1])]
    assert made == [
        Spared(f"{ATTACKER}/32", "sshd.yaml", "it names sshd but came from logger0 (uid 65534) in session-3.scope")
    ]
    assert not counts(hit(provenance=forgers[0]))


def cut_line(address: str, provenance: Provenance | None = None) -> Verdict:
    by = rule()._replace(regex="Failed <USER> from <ADDR>.*")
    verdict = hit(address, by=by, provenance=provenance)
    return verdict._replace(event=verdict.event._replace(message=f"Failed {'x' * 1_000} from {address} x"))


@pytest.mark.parametrize("writer", [None, Provenance(0, "ssh.service", "sshd", "syslog")], ids=["file", "journal"])
def test_a_line_that_may_have_been_cut_is_stated_of_each_address(writer: Provenance | None) -> None:
    subject = tracker()
    addresses = [f"203.0.113.{n}" for n in (1, 2, 3)]
    made = [subject.weigh(cut_line(each, writer), NOW)[1] for _ in range(2) for each in addresses]
    assert [each.prefix for each in made if isinstance(each, Spared)] == [f"{each}/32" for each in addresses]


def test_cut_lines_of_invented_addresses_do_not_fill_the_digest() -> None:
    subject = tracker()
    addresses = [f"203.0.{n // 256}.{n % 256}" for n in range(2 * SPARED_APART)]
    assert sum(subject.weigh(cut_line(each), NOW)[1] is not None for each in addresses) == SPARED_APART + 1


def test_a_line_of_the_real_sshd_counts() -> None:
    real = Provenance(0, "ssh.service", "sshd", "syslog")
    assert counts(hit(provenance=real))
    assert isinstance(tracker(Policy(1, 600, 3600)).weigh(hit(provenance=real), NOW)[1], Ban)


# --- banned already -----------------------------------------------------------------------------------------------


def test_a_banned_address_is_not_banned_again_before_the_ban_ends() -> None:
    subject = tracker()
    one_ban(subject)
    assert strike(subject, 1000, NOW + 3599) == []
    assert one_ban(subject, NOW + 3600).since == NOW + 3600


def test_hits_in_flight_during_a_ban_do_not_count_after_it() -> None:
    subject = tracker(Policy(3, 600, 60))
    one_ban(subject)
    strike(subject, 99, NOW + 59)
    assert strike(subject, 2, NOW + 61) == []


def test_a_manual_ban_of_a_prefix_covers_the_addresses_in_it() -> None:
    subject = tracker()
    subject.note_ban(Ban("203.0.113.0/24", NOW, NOW + 60, "manual", ""))
    subject.note_ban(Ban("2001:db8::/32", NOW, NOW + 60, "manual", ""))
    assert strike(subject, 99) == strike(subject, 99, address="2001:db8:1::1") == []
    assert one_ban(subject, NOW + 60)


def test_a_lifted_ban_starts_anew() -> None:
    subject = tracker()
    one_ban(subject)
    subject.lift(prefix(ATTACKER), NOW)
    assert strike(subject, 2) == []
    assert len(strike(subject, 1)) == 1


def test_lifting_forgets_hits_that_have_not_banned_yet() -> None:
    subject = tracker()
    strike(subject, 2)
    subject.lift(prefix(ATTACKER), NOW)
    assert strike(subject, 2) == []


# --- those who come back ------------------------------------------------------------------------------------------


def test_each_ban_is_longer_up_to_the_ceiling() -> None:
    subject = tracker(growth=Growth(factor=3, ceiling=20_000, decay=1e9))
    now, lengths = NOW, []
    for _ in range(5):
        ban = one_ban(subject, now)
        lengths.append(ban.until - ban.since)
        now = ban.until
    assert lengths == [3600, 10_800, 20_000, 20_000, 20_000]
    assert ban.why == "sshd.yaml#failed: score 3 within 600 s; banned 4 times before"


def test_good_behaviour_is_forgiven_a_ban_for_each_decay() -> None:
    subject = tracker(growth=Growth(factor=2, ceiling=1e9, decay=86_400))
    ends = NOW
    for _ in range(3):
        ends = one_ban(subject, ends).until
    subject.expire(ends + 86_401)
    ban = one_ban(subject, ends + 86_401)
    assert ban.until - ban.since == 3600 * 4
    late = one_ban(subject, ban.until + 30 * 86_400)
    assert late.until - late.since == 3600


def test_a_ceiling_below_the_policy_shortens_no_ban() -> None:
    assert Growth(factor=2, ceiling=60, decay=1).length(3600, 5) == 3600
    assert Growth(factor=10, ceiling=1e6, decay=1).length(3600, 10**9) == 1e6


def test_a_repeat_offender_over_all_files_is_banned_for_longer() -> None:
    subject = tracker(repeat=Policy(threshold=3, window=86_400, ban=604_800))
    lengths = []
    for n, file in enumerate(("sshd.yaml", "nginx.yaml", "dovecot.yaml")):
        now = NOW + 7200 * n
        made = [subject.weigh(hit(time=now, by=rule(file)), now)[1] for _ in range(3)][-1]
        assert isinstance(made, Ban)
        lengths.append(made.until - made.since)
    assert lengths == [3600, 3600, 604_800]
    assert isinstance(made, Ban)
    assert made.why.endswith("a repeat offender")


# --- who logs in there ----------------------------------------------------------------------------------------------


class Household:
    """Who has logged in, and from where somebody is logged in now, as the daemon knows it."""

    def __init__(self, login: str | None = None, session: str | None = None) -> None:
        self.logins = Logins(7 * 86_400)
        if login:
            self.logins.note("alice", login, NOW)
        self.session = parse(session) if session else None

    def as_same_user(self, address: Address, by: AttackRule, message: str, now: float) -> str | None:
        return self.logins.as_same_user(address, by, message, now)

    def logged_in(self, network: Prefix, now: float) -> str | None:
        there = self.session and self.session.version == network.version and self.session in network
        return "alice is logged in" if there else self.logins.within(network, now)


def failed(user: str, address: str) -> Verdict:
    message = f"Failed password for {user} from {address}"
    event = Event(NOW, "host", "sshd", 1, message, message)
    by = AttackRule(
        Location("sshd.yaml", 1), "sshd.yaml", "failed", ("sshd",), "Failed password for <USER> from <ADDR>"
    )
    return Verdict("auth.log", event, Outcome.ATTACK, attack_by=by, address=address)


@pytest.mark.parametrize("known", [Household(login="2001:db8::7"), Household(session="2001:db8::7")])
def test_a_prefix_from_which_somebody_logs_in_is_banned_address_by_address(known: Household) -> None:
    subject = tracker(known=known)
    made = [subject.weigh(failed("root", "2001:db8::9"), NOW)[1] for _ in range(3)][-1]
    assert isinstance(made, Ban)
    assert made.prefix == "2001:db8::9/128"
    assert [subject.weigh(failed("root", f"2001:db8::a{n}"), NOW)[1] for n in range(3)] == [None] * 3
    elsewhere = [subject.weigh(failed("root", f"2001:db8:1::{n}"), NOW)[1] for n in range(3)][-1]
    assert isinstance(elsewhere, Ban)
    assert elsewhere.prefix == "2001:db8:1::/64"


def test_who_is_logged_in_is_reported_and_not_banned_with_his_prefix_or_without_it() -> None:
    subject = tracker(known=Household(session="2001:db8::7"))
    made = [subject.weigh(failed("root", "2001:db8::7"), NOW)[1] for _ in range(9)]
    assert [each for each in made if each] == [Spared("2001:db8::7/128", "sshd.yaml", "alice is logged in")]


def test_who_mistypes_from_another_address_of_the_prefix_he_logs_in_from_is_forgiven() -> None:
    """An IPv6 host takes a new address each day (RFC 8981)."""
    subject = tracker(known=Household(login="2001:db8::7"))
    made = [subject.weigh(failed("alice", f"2001:db8::{n}"), NOW)[1] for n in range(1, 10)]
    assert {each.why for each in made if isinstance(each, Spared)} == {"alice has logged in from 2001:db8::/64 lately"}
    assert not any(isinstance(each, Ban) for each in made)


@pytest.mark.parametrize(
    ("login", "crowd"), [("203.0.113.77", "203.0.113.{}"), ("2001:db8:0:77::1", "2001:db8:0:{}::1")]
)
def test_neighbours_are_not_banned_as_one_prefix_where_somebody_logs_in(login: str, crowd: str) -> None:
    subject = tracker(aggregation=CROWD, known=Household(login=login))
    bans = [one_ban(subject, NOW + n, crowd.format(n)) for n in range(1, 9)]
    assert {prefix(ban.prefix).prefixlen for ban in bans} <= {32, 64}


# --- neighbours ---------------------------------------------------------------------------------------------------


def test_too_many_neighbours_are_banned_as_one_prefix() -> None:
    subject = tracker(aggregation=CROWD)
    bans = [one_ban(subject, NOW + n, f"203.0.113.{n}") for n in range(1, 5)]
    assert [ban.prefix for ban in bans] == ["203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32", "203.0.113.0/24"]
    assert bans[-1].until == NOW + 4 + 7200
    assert "4 prefixes in it banned within 3600 s" in bans[-1].why
    assert strike(subject, 99, NOW + 9, "203.0.113.200") == []


def test_who_came_last_into_an_aggregate_is_free_when_it_ends_and_banned_when_he_comes_again() -> None:
    """His own ban is nowhere but in the aggregate, however long it would have been."""
    subject = tracker(Policy(3, 600, 86_400), aggregation=CROWD)
    for n in range(1, 5):
        one_ban(subject, NOW + n, f"203.0.113.{n}")
    later = NOW + 2 * 7200
    assert one_ban(subject, later, "203.0.113.4").prefix == "203.0.113.4/32"
    assert strike(subject, 99, later, "203.0.113.3") == [], "banned by himself, for a day"


def test_whose_ban_was_lifted_does_not_count_among_neighbours_not_after_a_restart_either() -> None:
    subject = tracker(aggregation=CROWD)
    bans = [one_ban(subject, NOW + n, f"203.0.113.{n}") for n in range(1, 4)]
    subject.lift(prefix("203.0.113.2"), NOW + 4)
    again = tracker(aggregation=CROWD)
    again.restore(
        bans=[ban._replace(until=NOW + 4, lifted=True) if ban is bans[1] else ban for ban in bans], now=NOW + 4
    )
    for each in (subject, again):
        assert one_ban(each, NOW + 5, "203.0.113.5").prefix == "203.0.113.5/32"
        assert one_ban(each, NOW + 6, "203.0.113.6").prefix == "203.0.113.0/24"


def test_a_prefix_that_was_banned_for_its_crowd_and_lifted_is_not_banned_again_for_one_more() -> None:
    subject = tracker(aggregation=CROWD)
    for n in range(1, 5):
        one_ban(subject, NOW + n, f"203.0.113.{n}")
    subject.lift(prefix("203.0.113.0/24"), NOW + 5)
    assert [one_ban(subject, NOW + n, f"203.0.113.{n}").prefix for n in range(6, 10)] == [
        *(f"203.0.113.{n}/32" for n in range(6, 9)),
        "203.0.113.0/24",
    ]
    subject.lift(prefix("198.51.100.1"), NOW + 10)
    subject.expire(NOW + 10)


def test_aggregation_is_off_by_default() -> None:
    subject = tracker()
    assert all(one_ban(subject, address=f"203.0.113.{n}").prefix.endswith("/32") for n in range(1, 100))


def test_ipv6_neighbours_are_banned_by_48() -> None:
    subject = tracker(aggregation=CROWD)
    assert [one_ban(subject, address=f"2001:db8:0:{n}::1") for n in range(4)][-1].prefix == "2001:db8::/48"


def test_neighbours_banned_long_ago_do_not_count() -> None:
    subject = tracker(aggregation=CROWD)
    bans = [one_ban(subject, NOW + 1300 * n, f"203.0.113.{n}") for n in range(1, 30)]
    assert all(ban.prefix.endswith("/32") for ban in bans)


def test_a_prefix_that_holds_somebody_to_protect_is_not_aggregated() -> None:
    subject = tracker(aggregation=CROWD, guard=Guard([prefix("203.0.113.77")], permit_documentation=True))
    assert all(one_ban(subject, address=f"203.0.113.{n}").prefix.endswith("/32") for n in range(1, 9))


def test_bans_of_prefixes_by_hand_do_not_count_towards_the_cap_of_aggregates() -> None:
    subject = tracker(aggregation=Aggregation(threshold=1, window=3600, ban=7200, cap=1))
    for network, attack in (("192.0.2.0/25", "manual"), ("2001:db8:5::/48", "manual"), ("192.0.2.0/24", "recovered")):
        subject.note_ban(Ban(network, NOW, NOW + 86_400, attack, ""))
    assert one_ban(subject, address="203.0.113.1").prefix == "203.0.113.0/24"
    assert one_ban(subject, address="198.51.100.1").prefix == "198.51.100.1/32"


def test_an_aggregate_that_has_ended_makes_room_for_another_at_once() -> None:
    subject = tracker(aggregation=Aggregation(threshold=1, window=3600, ban=7200, cap=1))
    one_ban(subject, address="203.0.113.1")
    assert one_ban(subject, NOW + 7200, address="198.51.100.1").prefix == "198.51.100.0/24"


def test_aggregates_are_capped() -> None:
    subject = tracker(aggregation=Aggregation(threshold=1, window=3600, ban=7200, cap=1))
    first, second = one_ban(subject, address="192.0.2.1"), one_ban(subject, address="198.51.100.1")
    assert (first.prefix, second.prefix) == ("192.0.2.0/24", "198.51.100.1/32")


# --- restart ------------------------------------------------------------------------------------------------------


def test_windows_and_bans_survive_a_restart() -> None:
    subject = tracker()
    subject.restore(
        hits=[Hit(NOW - 5, "sshd.yaml", ATTACKER, 2, "host"), Hit(NOW - 5, "sshd.yaml", "198.51.100.1", 2, "host")],
        bans=[Ban("198.51.100.1/32", NOW - 10, NOW + 50, "sshd.yaml", "")],
    )
    assert strike(subject, 99, address="198.51.100.1") == []
    assert len(strike(subject, 1)) == 1


def test_restored_hits_that_led_to_a_ban_are_spent() -> None:
    subject = tracker()
    subject.restore(
        hits=[Hit(NOW - 100, "sshd.yaml", ATTACKER, 1, "host")] * 3,
        bans=[Ban(f"{ATTACKER}/32", NOW - 100, NOW - 1, "sshd.yaml", "")],
    )
    assert strike(subject, 2) == []


def test_restored_hits_wait_for_a_policy_that_only_the_rule_knows() -> None:
    subject = tracker()
    subject.restore(hits=[Hit(NOW - 7000, "sshd.yaml", ATTACKER, 9, "host")])
    subject.expire(NOW)
    assert subject.weigh(hit(by=rule(policy=Policy(10, 7200, 60))), NOW)[1] is not None


def test_restored_hits_outside_the_window_ban_nobody() -> None:
    subject = tracker()
    subject.restore(hits=[Hit(NOW - 700, "sshd.yaml", ATTACKER, 9, "host")])
    assert strike(subject, 2) == []


def test_restored_hits_of_a_window_longer_than_a_day_are_all_there() -> None:
    week = Policy(threshold=2_000, window=7 * 86_400, ban=3600)
    subject = tracker(policies={"sshd.yaml": week})
    subject.restore([Hit(NOW - 6 * 86_400 + n, "sshd.yaml", ATTACKER, 1, "host") for n in range(1_998)])
    subject.restore([Hit(NOW - 60, "sshd.yaml", ATTACKER, 1, "host")])
    assert len(strike(subject, 1)) == 1


def test_growth_says_how_long_past_bans_matter() -> None:
    assert Growth(factor=2, ceiling=16 * 3600, decay=10).memory(3600) == 50
    assert Growth(factor=1, ceiling=16 * 3600, decay=10).memory(3600) == 0
    assert Growth(factor=2, ceiling=60, decay=10).memory(3600) == 10
    assert Growth(factor=1.001, ceiling=1e9, decay=10).memory(3600) == 650


def test_growth_remembers_over_a_restart() -> None:
    subject = tracker(growth=Growth(factor=2))
    past = [Ban(f"{ATTACKER}/32", NOW - 9000 + n, NOW - 8000 + n, "sshd.yaml", "") for n in range(2)]
    subject.restore(bans=past)
    ban = one_ban(subject)
    assert ban.until - ban.since == 3600 * 4


# --- memory -------------------------------------------------------------------------------------------------------


def test_a_flood_of_single_hits_never_displaces_an_address_with_two() -> None:
    subject = tracker(capacity=100)
    strike(subject, 2)
    for n in range(2_000):
        assert subject.weigh(hit(f"198.51.{n >> 8}.{n & 255}"), NOW)[1] is None
    assert len(strike(subject, 1)) == 1


@given(st.lists(st.integers(1, 40), min_size=2, max_size=30, unique=True))
def test_where_there_is_no_room_the_lightest_goes_first(counts: list[int]) -> None:
    windows = Windows(capacity=len(counts))
    for count in counts:
        for _ in range(count):
            windows.push(("file", "host", str(count)), NOW, 1, 600, 100)
    windows.push(("file", "host", "new"), NOW, 1, 600, 100)
    gone = [count for count in counts if not windows.forget(("file", "host", str(count)))]
    assert len(gone) == 1
    assert gone[0] == min(counts) or gone[0] < 2 * min(counts)
    assert gone[0] == min(counts) or gone[0] > 7


def test_a_flood_of_light_addresses_never_displaces_a_heavy_one() -> None:
    subject = tracker(Policy(5, 600, 3600), capacity=100)
    strike(subject, 4)
    for n in range(2_000):
        assert subject.weigh(hit(f"198.51.{n >> 8}.{n & 255}"), NOW)[1] is None
    assert len(strike(subject, 1)) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), max_size=200))
def test_no_window_ever_holds_a_hit_that_was_not_there(hits: list[tuple[int, int]]) -> None:
    windows, true = Windows(capacity=4), Counter[tuple[str, str]]()
    for number, time in hits:
        key = ("file", str(number))
        true[key] += 1
        assert len(windows.push(key, time, 1, 50, 1000)) <= true[key]
        assert len(windows) <= 4


def test_what_is_over_is_forgotten() -> None:
    subject = tracker(aggregation=CROWD, growth=Growth(decay=1))
    one_ban(subject)
    strike(subject, 1, address="198.51.100.1")
    subject.expire(NOW + 100_000)
    assert len(subject._windows) == len(subject._bans._exact) == 0
    assert not subject._history._past
    assert not subject._neighbours._since  # type: ignore[union-attr]


@pytest.mark.slow
def test_memory_is_bounded_by_the_capacity_and_not_by_the_attackers() -> None:
    subject = tracker(Policy(2, 600, 3600), capacity=500)
    attackers = [f"198.51.{n >> 8}.{n & 255}" for n in range(2_000)]
    tracemalloc.start()
    for address in attackers:
        strike(subject, 2, address=address)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 500 * 2_000
