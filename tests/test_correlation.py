"""Attacks that it takes two lines of one session to see, and what such lines are where there is no second one."""

from __future__ import annotations

import functools
import textwrap
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from logwarden import matcher, rules, veto
from logwarden.address import Guard
from logwarden.correlation import AGE, LONGEST, Correlation
from logwarden.firewall import BACKENDS
from logwarden.matcher import Matcher
from logwarden.model import (
    AttackRule,
    Batch,
    Classified,
    Dialect,
    IgnoreRule,
    Location,
    Outcome,
    Policy,
    Provenance,
    RuleSet,
    Severity,
    Verdict,
)
from logwarden.notices import Owed
from logwarden.pipeline import Pipeline
from logwarden.silence import Roll
from logwarden.state import State
from logwarden.tracker import Tracker, counts

ROOT = Path(__file__).parent.parent
NOW = 1_795_366_800.0 + 86_400.0  # the day after what the lines say, wherever that is
CAME, LEFT = "Connection from 203.0.113.9 port 4242", "Disconnecting: Too many authentication failures [preauth]"
CONNECTIONS = """
    program: app
    rules:
      - id: refused
        requires: accepted
        match: 'conn=<SESSION> refused( for <USER>)?'
        samples: [{line: 'conn=1 refused', after: 'conn=1 from 203.0.113.9', address: 203.0.113.9}]
      - id: accepted
        severity: context
        match: 'conn=<SESSION> from <ADDR>'
        samples: [{line: 'conn=1 from 203.0.113.9', address: 203.0.113.9}]
      - id: closed
        requires: refused-by-name
        match: 'conn=<SESSION> closed from <ADDR>'
        samples: [{line: 'conn=1 closed from 203.0.113.9', after: 'conn=1 who?', address: 203.0.113.9}]
      - id: refused-by-name
        severity: context
        match: 'conn=<SESSION> who\\?'
        samples: [{line: 'conn=1 who?'}]
      - id: dropped
        requires: dropped-by-name
        match: 'dropped( of conn=<SESSION>)?'
        samples: [{line: 'dropped', after: 'dropped 203.0.113.9', address: 203.0.113.9}]
      - id: dropped-by-name
        severity: context
        match: 'dropped( of conn=<SESSION>)? <ADDR>'
        samples: [{line: 'dropped 203.0.113.9', address: 203.0.113.9}]
    """


@functools.cache
def shipped() -> RuleSet:
    return rules.load(ignore=[str(ROOT / "ignore.d")], attack=[str(ROOT / "attack.d")], aggressive=True)


@functools.cache
def sshd() -> Matcher:
    files = {"sshd.yaml", "slapd.yaml"}
    return matcher.compile(
        RuleSet(attack=tuple(rule for rule in shipped().attack if rule.file in files)), portable=True
    )


@pytest.fixture
def app(tmp_path: Path) -> Matcher:
    (tmp_path / "app.yaml").write_text(textwrap.dedent(CONNECTIONS))
    ruleset = rules.load(attack=[str(tmp_path)])
    assert ruleset.refused == ()
    return matcher.compile(ruleset, portable=True)


def line(message: str, *, time: str = "17:00:00", host: str = "mail", program: str = "sshd[42]") -> str:
    return f"Nov 22 {time} {host} {program}: {message}"


def judged(
    made: Matcher,
    *lines: str,
    correlation: Correlation | None = None,
    provenance: tuple[Provenance, ...] = (),
    every: bool = True,
) -> Classified:
    block = "".join(f"{each}\n" for each in lines).encode()
    batch = Batch("test", block, len(lines), "", provenance=provenance)
    return (correlation or Correlation()).join(made.classify(batch, NOW, every=every), NOW, every=every)


def convicted(*lines: str, made: Matcher | None = None, correlation: Correlation | None = None) -> list[str | None]:
    """The address of each attack."""
    found = judged(made or sshd(), *lines, correlation=correlation).verdicts
    return [each.address for each in found if each.outcome is Outcome.ATTACK]


def test_a_line_counts_against_the_address_that_its_session_named_before() -> None:
    came, left = judged(sshd(), line(CAME), line(LEFT)).verdicts
    assert (came.outcome, came.attack_by, came.address) == (Outcome.UNEXPLAINED, None, None)
    assert (left.outcome, left.address) == (Outcome.ATTACK, "203.0.113.9")
    assert left.attack_by is not None
    assert left.attack_by.severity is Severity.ATTACK
    assert left.attack_by.file == "sshd.yaml"


@pytest.mark.parametrize(
    "other",
    [
        line(CAME, program="sshd[43]"),
        line(CAME, host="web"),
        line(CAME, program="sshd"),
        line(CAME, time="16:49:59"),
        line(CAME, time="17:00:01"),
        line("Connection closed by 203.0.113.9 port 4242"),
    ],
)
def test_a_line_of_another_session_says_nothing(other: str) -> None:
    assert convicted(other, line(LEFT)) == []


def test_where_it_is_not_known_who_it_was_the_line_is_no_attack() -> None:
    found = judged(sshd(), line(LEFT), line(CAME))
    assert +Counter(found.counts) == {Outcome.UNEXPLAINED: 2}
    assert found.hits == {}
    assert [each.attack_by for each in found.verdicts] == [None, None]


def test_the_last_address_that_a_session_named_counts() -> None:
    other = line("Connection from 198.51.100.9 port 4242")
    assert convicted(line(CAME), other, line(LEFT)) == ["198.51.100.9"]


def test_a_session_goes_on_over_batches_and_over_a_clock_that_jumps() -> None:
    correlation = Correlation()
    assert convicted(line(CAME), correlation=correlation) == []
    correlation.shift(7200.0)
    assert convicted(line(LEFT, time="19:00:10"), correlation=correlation) == ["203.0.113.9"]
    correlation.shift(AGE + 1)
    assert convicted(line(LEFT), correlation=correlation) == []


def test_who_waits_before_he_attacks_is_known_all_the_same_where_the_session_has_a_name() -> None:
    slapd = functools.partial(line, program="slapd[7]")
    came = slapd("conn=1000 fd=12 ACCEPT from IP=203.0.113.9:4242 (IP=0.0.0.0:389)")
    failed = (slapd("conn=1000 op=1 RESULT tag=97 err=49 text=", time=f"2{hour}:10:01") for hour in range(4))
    assert convicted(came, *failed) == ["203.0.113.9"] * 4


def test_a_process_that_is_not_silent_for_long_is_the_same_one() -> None:
    tried = line("Failed none for root from 203.0.113.9 port 4242 ssh2", time="17:09:00")
    assert convicted(line(CAME), tried, line(LEFT, time="17:18:00")) == ["203.0.113.9"]
    assert convicted(line(CAME), line(LEFT, time="17:09:00"), line(LEFT, time="17:18:00")) == ["203.0.113.9"] * 2
    assert convicted(line(CAME), tried, line(LEFT, time="17:19:01")) == []


def test_a_line_that_names_no_address_says_nothing_of_who_has_its_session_name_much_later(app: Matcher) -> None:
    """mongod numbers its connections anew when it starts: what ends as conn=1 then may be anybody's."""
    failed, closed = (f"Nov 22 {{}}:00 mail app: conn=1 {each}" for each in ("who?", "closed from 203.0.113.9"))
    assert convicted(failed.format("17:00"), closed.format("18:05"), made=app) == ["203.0.113.9"]
    assert convicted(failed.format("17:00"), closed.format("18:06"), made=app) == []


def test_a_session_whose_name_is_too_long_to_be_kept_is_not_followed(app: Matcher) -> None:
    came, left = (f"Nov 22 17:00:00 mail app: conn={{}} {each}" for each in ("from 203.0.113.9", "refused"))
    assert convicted(came.format("1" * LONGEST), left.format("1" * LONGEST), made=app) == ["203.0.113.9"]
    assert convicted(came.format("1" * (LONGEST + 1)), left.format("1" * (LONGEST + 1)), made=app) == []


def test_the_latest_sessions_are_remembered_and_no_more() -> None:
    correlation = Correlation(capacity=2)
    convicted(*(line(CAME, program=f"sshd[{pid}]") for pid in (1, 2, 3)), correlation=correlation)
    assert convicted(*(line(LEFT, program=f"sshd[{pid}]") for pid in (1, 3)), correlation=correlation) != []
    assert convicted(line(LEFT, program="sshd[1]"), correlation=correlation) == []


def test_what_names_a_session_tells_those_of_one_process_apart(app: Matcher) -> None:
    lines = [f"Nov 22 17:00:00 mail app: {each}" for each in ("conn=1 from 203.0.113.9", "conn=2 from 203.0.113.8")]
    assert convicted(*lines, "Nov 22 17:00:01 mail app: conn=1 refused for x conn=2", made=app) == ["203.0.113.9"]
    assert convicted(*lines, "Nov 22 17:00:01 mail app: conn=3 refused", made=app) == []


def test_a_line_that_names_its_source_may_need_another_all_the_same(app: Matcher) -> None:
    closed = "Nov 22 17:00:01 mail app: conn=1 closed from 203.0.113.9"
    assert convicted("Nov 22 17:00:00 mail app: conn=1 who?", closed, made=app) == ["203.0.113.9"]
    assert convicted(closed, made=app) == []


def test_a_rule_that_need_not_name_a_session_goes_by_the_process_where_it_does_not(app: Matcher) -> None:
    came, left = ("Nov 22 17:00:00 mail app[7]: dropped" + each for each in (" 203.0.113.9", ""))
    assert convicted(came, left, made=app) == ["203.0.113.9"]
    assert convicted(came, left.replace("[7]", ""), made=app) == []
    assert convicted(came, left + " of conn=1", made=app) == []


def test_a_line_that_takes_too_long_to_say_which_session_it_is_of_is_of_none() -> None:
    rule = shipped().attack[0]._replace(regex="(a|a)*<SESSION>(!|!)*(a|a)*(!|!)*c", dialect=Dialect.ATTACK)
    assert matcher.session(rule, "a" * 5_000 + "!" * 5_000) is None


def test_what_somebody_else_writes_in_the_name_of_a_daemon_is_no_part_of_its_sessions() -> None:
    root, alice = Provenance(uid=0, transport="syslog"), Provenance(uid=1000, unit="user@1000.service")
    assert convicted_by((root, root)) == ["203.0.113.9"]
    assert convicted_by((alice, root)) == []


def convicted_by(provenance: tuple[Provenance, Provenance]) -> list[str | None]:
    found = judged(sshd(), line(CAME), line(LEFT), provenance=provenance).verdicts
    return [each.address for each in found if each.outcome is Outcome.ATTACK]


def test_a_context_that_an_ignore_rule_hides_is_ignored_and_says_who_it_was_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "local.rules").write_text("sshd: Connection from .*\n")
    ruleset = rules.load(ignore=[str(tmp_path)], attack=[str(ROOT / "attack.d")])
    assert ruleset.refused == ()
    made = matcher.compile(
        ruleset._replace(attack=tuple(each for each in ruleset.attack if each.file == "sshd.yaml")), portable=True
    )
    for every, shown in ((False, [Outcome.ATTACK]), (True, [Outcome.IGNORED, Outcome.ATTACK])):
        found = judged(made, line(CAME), line(LEFT), every=every)
        assert [each.outcome for each in found.verdicts] == shown
        assert +Counter(found.counts) == {Outcome.IGNORED: 1, Outcome.ATTACK: 1}


# --- what has counted already ---------------------------------------------------------------------------------------

GONE = "Connection closed by authenticating user root {} port 4242 [preauth]"
FAILED = "Failed password for root from {} port 4242 ssh2"
HE, OTHER = "203.0.113.9", "198.51.100.9"


@functools.cache
def gone() -> Matcher:
    files = {"sshd.yaml", "sshd-scan.yaml", "pam.yaml"}
    return matcher.compile(
        RuleSet(attack=tuple(each for each in shipped().attack if each.file in files)), portable=True
    )


def scores(*lines: str, correlation: Correlation | None = None, ahead: str | None = None) -> list[int]:
    """How much each line counts; each is an attack."""
    batch = Batch("test", "".join(f"{each}\n" for each in lines).encode(), len(lines), "")
    found = (correlation or Correlation()).join(gone().classify(batch, NOW), NOW, ahead=ahead)
    assert found.counts[Outcome.ATTACK] == len(lines) == sum(found.hits.values())
    return [each.attack_by.score if counts(each) and each.attack_by else 0 for each in found.verdicts]


@pytest.mark.parametrize("how", ["Connection closed by", "Connection reset by", "Disconnected from"])
@pytest.mark.parametrize("who", ["authenticating user root", "invalid user x from 192.0.2.1"])
def test_that_a_client_is_gone_counts_where_nothing_else_of_his_session_has(how: str, who: str) -> None:
    """Who has a key that fits nobody, and no password to try, leaves no other line."""
    left = line(f"{how} {who} {HE} port 4242 [preauth]")
    assert scores(left) == [1]
    assert scores(line(FAILED.format(HE)), line(FAILED.format(HE)), left) == [1, 1, 0]
    assert scores(line(FAILED.format(HE), program="sshd[41]"), left) == [1, 1]


def test_an_attempt_that_ends_in_several_lines_counts_once() -> None:
    came, bye = f"Invalid user x from {HE} port 4242", f"Received disconnect from {HE} port 4242:11: Bye Bye [preauth]"
    left = f"Disconnected from invalid user x {HE} port 4242 [preauth]"
    assert scores(*map(line, (came, bye, left))) == [1, 0, 0]
    assert scores(*map(line, (bye, left))) == [1, 0]


def test_what_counted_by_a_rule_of_another_file_counts_no_second_time() -> None:
    failed = f"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={HE}  user=root"
    assert scores(line(failed), line(GONE.format(HE))) == [1, 0]


def test_nobody_is_spared_for_what_somebody_else_did_with_the_same_pid() -> None:
    first = line(FAILED.format(OTHER), time="16:59:59")
    assert scores(first, line(GONE.format(HE))) == [1, 1]
    assert scores(first, line(FAILED.format(HE)), first, line(GONE.format(HE))) == [1, 1, 1, 0]


def test_a_pid_that_is_given_again_after_a_while_is_another_session() -> None:
    assert scores(line(FAILED.format(HE), time="16:49:59"), line(GONE.format(HE))) == [1, 1]
    assert scores(line(FAILED.format(HE), time="17:00:01"), line(GONE.format(HE))) == [1, 1]
    correlation = Correlation()
    scores(line(FAILED.format(HE)), correlation=correlation)
    correlation.shift(3600.0)
    assert scores(line(GONE.format(HE), time="18:00:01"), correlation=correlation) == [0]


def test_where_nothing_tells_whose_line_it_is_each_counts() -> None:
    assert scores(line(FAILED.format(HE), program="sshd"), line(GONE.format(HE), program="sshd")) == [1, 1]


def test_a_line_that_somebody_else_wrote_in_the_name_of_a_daemon_spares_nobody() -> None:
    root, alice = Provenance(uid=0, transport="syslog"), Provenance(uid=1000, unit="user@1000.service")
    block = "".join(f"{line(each.format(HE))}\n" for each in (FAILED, GONE)).encode()
    batch = Batch("test", block, 2, "", provenance=(alice, root))
    forged, left = Correlation().join(gone().classify(batch, NOW), NOW).verdicts
    assert (counts(forged), counts(left)) == (False, True)


def test_the_sessions_that_have_counted_are_bounded_and_one_that_is_forgotten_counts_again() -> None:
    correlation = Correlation(capacity=2)
    scores(*(line(FAILED.format(HE), program=f"sshd[{pid}]") for pid in (1, 2, 3)), correlation=correlation)
    left = (line(GONE.format(HE), program=f"sshd[{pid}]") for pid in (3, 2, 1))
    assert scores(*left, correlation=correlation) == [0, 0, 1]


def test_what_was_read_ahead_of_a_backlog_counts_once_there_and_once_in_its_turn() -> None:
    correlation = Correlation()
    left = line(GONE.format(HE))
    assert scores(left, left, correlation=correlation, ahead="file:auth.log") == [1, 0]
    assert scores(left, left, correlation=correlation) == [1, 0]
    correlation.count_anew("file:auth.log")
    assert scores(left, correlation=correlation) == [0]
    assert scores(left, correlation=correlation, ahead="file:auth.log") == [1]
    correlation.count_anew()
    assert scores(left, correlation=correlation) == [1]


def test_a_line_that_its_session_makes_an_attack_counts_once_too() -> None:
    tried = line("Connection from 203.0.113.9 port 4242")
    found = judged(gone(), tried, line(FAILED.format(HE)), line(LEFT)).verdicts
    assert [each.attack_by.score for each in found if each.attack_by] == [1, 0]
    assert [counts(each) for each in found] == [False, True, False]
    assert [counts(each) for each in judged(gone(), tried, line(LEFT)).verdicts] == [False, True]


# --- what other rules make of such lines ----------------------------------------------------------------------------


def with_rules(*attack: AttackRule, ignore: tuple[IgnoreRule, ...] = ()) -> Matcher:
    """Those of sshd, and others after them."""
    ours = tuple(rule for rule in shipped().attack if rule.file == "sshd.yaml")
    return matcher.compile(RuleSet(ignore, (*ours, *attack)), portable=True)


def sshd_rule(regex: str, severity: Severity = Severity.ATTACK) -> AttackRule:
    return AttackRule(Location("local.yaml", 1), "local.yaml", "watched", ("sshd",), regex, severity=severity)


def test_a_line_that_a_rule_reports_is_reported_and_says_who_it_was_all_the_same() -> None:
    made = with_rules(sshd_rule("Connection from 203[.].*", Severity.VIOLATION))
    found = judged(made, line(CAME), line(LEFT))
    assert [str(each.attack_by) for each in found.verdicts] == [
        "local.yaml#watched",
        "sshd.yaml#sshd-too-many-failures-of-session",
    ]
    assert found.hits == {str(each.attack_by): 1 for each in found.verdicts}
    assert found.verdicts[1].address == "203.0.113.9"


def test_a_line_that_violations_d_raises_and_ignore_d_hides_is_reported(tmp_path: Path) -> None:
    for name, text in {
        "violations.d": "Connection from 203\\.0\\.113\\.9",
        "ignore.d.server": r"^[[:alpha:]]{3} [ :[:digit:]]{11} [._[:alnum:]-]+ sshd\[42\]: Connection .*$",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "local").write_text(f"{text}\n")
    logcheck = rules.load(logcheck=str(tmp_path))
    assert (len(logcheck.attack), len(logcheck.ignore), logcheck.refused) == (1, 1, ())
    made = with_rules(*logcheck.attack, ignore=logcheck.ignore)
    came, left = judged(made, line(CAME), line(LEFT)).verdicts
    assert (str(came.attack_by), came.reported) == ("violations.d/local#1", True)
    assert (left.outcome, left.address) == (Outcome.ATTACK, "203.0.113.9")


def test_a_line_that_is_an_attack_by_itself_is_one_and_says_who_it_was_all_the_same() -> None:
    """With the aggressive rules a key that was tried is one."""
    tried = line("Failed publickey for alice from 203.0.113.9 port 4242 ssh2: RSA SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDP")
    tried, left = judged(with_rules(), tried, line(LEFT)).verdicts
    assert (str(tried.attack_by), tried.address) == ("sshd.yaml#sshd-failed-key", "203.0.113.9")
    assert (str(left.attack_by), left.address) == ("sshd.yaml#sshd-too-many-failures-of-session", "203.0.113.9")


def test_a_line_that_is_reported_or_an_attack_by_nobody_is_somebodys_by_its_session() -> None:
    for severity in (Severity.VIOLATION, Severity.ATTACK):
        made = with_rules(sshd_rule("Disconnecting: .*", severity))
        (alone,) = judged(made, line(LEFT)).verdicts
        assert (str(alone.attack_by), alone.address) == ("local.yaml#watched", None)
        assert convicted(line(CAME), line(LEFT), made=made) == ["203.0.113.9"]


@pytest.mark.slow
def test_a_line_on_which_an_attack_rule_ran_out_of_time_is_quarantined_unless_its_session_tells() -> None:
    slow = sshd_rule(r"Disconnecting: Too many authentication failures for ((a|a)*)*\1x")
    hide = IgnoreRule(Location("local.rules", 1), "Disconnecting: .*", ("sshd",))
    left = line(f"Disconnecting: Too many authentication failures for {'a' * 5_000}")
    found = judged(with_rules(slow, ignore=(hide,)), left).verdicts[0]
    assert (found.outcome, found.attack_by, found.reported) == (Outcome.QUARANTINED, None, True)
    found = judged(with_rules(slow), line(CAME), left).verdicts[1]
    assert (found.outcome, found.address, found.quarantined_for) == (Outcome.ATTACK, "203.0.113.9", None)


def test_a_line_that_no_rule_may_hide_is_accounted_for_once_and_says_who_it_was() -> None:
    """The journal calls it an error."""
    made = with_rules(ignore=(IgnoreRule(Location("local.rules", 1), "Connection from .*", ("sshd",)),))
    known = tuple(Provenance(uid=0, transport="syslog", priority=priority) for priority in (3, 6))
    batch = Batch("journal", f"{line(CAME)}\n{line(LEFT)}\n".encode(), 2, "", provenance=known)
    found = Correlation().join(veto.classify(made, batch, NOW), NOW)
    assert [each.outcome for each in found.verdicts] == [Outcome.UNEXPLAINED, Outcome.ATTACK]
    assert +Counter(found.counts) == {Outcome.UNEXPLAINED: 1, Outcome.ATTACK: 1}
    assert found.hits == {"sshd.yaml#sshd-too-many-failures-of-session": 1}


# --- the daemon -----------------------------------------------------------------------------------------------------


def test_the_daemon_bans_by_the_session_and_accounts_for_each_line_once(tmp_path: Path) -> None:
    now = datetime(2026, 11, 22, 17, 0, 10).timestamp()  # local, as such stamps are
    state = State(str(tmp_path))
    tracker = Tracker(Policy(9, 9.0, 9.0), {"sshd.yaml": Policy(2, 600.0, 3600.0)}, Guard(permit_documentation=True))
    given = Pipeline(sshd(), tracker, state, BACKENDS["dry-run"](None), Roll(now), Owed())
    lines = [line(text, time=f"17:00:0{pid}", program=f"sshd[{pid}]") for pid in (1, 2) for text in (CAME, LEFT)]
    for each in lines:  # a batch each
        given.process([Batch("file:auth.log", f"{each}\n".encode(), 1, "1")], now)
    assert [(ban.prefix, ban.attack, ban.hits) for ban in state.bans(now)] == [("203.0.113.9/32", "sshd.yaml", 2)]
    counts = state.tallies()["file:auth.log"]
    assert counts == {**dict.fromkeys(Outcome, 0), Outcome.UNEXPLAINED: 2, Outcome.ATTACK: 2}
    state.close()


@pytest.mark.slow
def test_each_sample_of_a_rule_that_requires_others_is_an_attack_after_the_line_that_it_names() -> None:
    made = matcher.compile(shipped(), portable=True)
    wanted = [(rule, sample) for rule in shipped().attack if rule.requires for sample in rule.samples]
    assert len(wanted) > 3
    for rule, sample in wanted:
        program = f"{rule.programs[0]}[42]"
        lines = [line(each, program=program) for each in (sample.after or "", sample.line)]
        found: Verdict = judged(made, *lines).verdicts[-1]
        assert (str(found.attack_by), found.address) == (str(rule), sample.address), sample.line
        assert judged(made, lines[-1]).verdicts[-1].outcome is not Outcome.ATTACK, sample.line
