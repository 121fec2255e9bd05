"""Which rules match which lines, against references that are slow and obvious, on both engines; and what that means."""

from __future__ import annotations

import gc
import itertools
import re
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden import header, matcher
from logwarden.matcher import Matcher
from logwarden.matcher.build import Way, build
from logwarden.matcher.engine import Patience
from logwarden.matcher.patterns import Pattern, Text
from logwarden.model import (
    BLOCK,
    MAX_LINE,
    AttackRule,
    Batch,
    Classified,
    Dialect,
    IgnoreRule,
    Location,
    NoticeKind,
    Outcome,
    Provenance,
    RuleSet,
    Severity,
    Verdict,
)

NOW = 1_795_366_800.0
COUNTER = itertools.count(1)
BOTH = pytest.mark.parametrize("portable", [False, True], ids=["hyperscan", "regex"])


def ignore(programs: str, regex: str, **more: tuple[str, ...]) -> IgnoreRule:
    """A native rule, or with no programs one of logcheck's, on a line of its own."""
    names = tuple(programs.split())
    dialect = Dialect.IGNORE if names else Dialect.GREP
    return IgnoreRule(Location("local.rules", next(COUNTER)), regex, names, dialect, **more)


def attack(programs: str, regex: str, severity: Severity = Severity.ATTACK, file: str = "x.yaml") -> AttackRule:
    number = next(COUNTER)
    names = tuple(programs.split())
    dialect = Dialect.ATTACK if names else Dialect.GREP
    return AttackRule(Location(file, number), file, f"r{number}", names, regex, severity=severity, dialect=dialect)


def compiled(*rules: IgnoreRule | AttackRule, portable: bool = False) -> Matcher:
    ignores = tuple(rule for rule in rules if isinstance(rule, IgnoreRule))
    attacks = tuple(rule for rule in rules if isinstance(rule, AttackRule))
    return matcher.compile(RuleSet(ignores, attacks), portable=portable)


def classify(made: Matcher, *lines: str | bytes, program: str | None = None, every: bool = True) -> Classified:
    block = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    return made.classify(Batch("test", block, len(lines), "", program), NOW, every)


def verdict(made: Matcher, line: str | bytes, program: str | None = None) -> Verdict:
    (found,) = classify(made, line, program=program).verdicts
    return found


def ignored(made: Matcher, line: str | bytes, program: str | None = None) -> bool:
    return verdict(made, line, program).outcome is Outcome.IGNORED


# --- the native rule against a reference ----------------------------------------------------------------------------

NATIVE = [
    ignore("sshd", "Accepted .*"),
    ignore("sshd sshd-session", "Connection from [0-9.]+ port [0-9]+"),
    ignore("postfix/*", "(dis)?connect from [^ ]+"),
    ignore("*", "x+"),
    ignore("kernel", r"\[ *[0-9.]+\] .*"),
    ignore("[!s]* ?", "[^a]*"),
    ignore("su", "(a|^b|c$)"),
    ignore("su", "^y$"),
    ignore("sudo", r"\s+\S+ :\W.*"),
    ignore("m[aeiou-z]x", "[[:space:]]?a{2,3}"),
    ignore("cr*n", r"(ab)+c?"),
]
REFERENCES = {r"[[:space:]]": r"\s"}
HEADERS = [
    "Nov 22 17:00:00 mail ",
    "<38>Nov  2 17:00:00 2001:db8::1 ",
    "2026-11-22T17:00:00.5+01:00 mail ",
    "2026-11-22 17:00:00 mail ",
    "Nov 22 2026 17:00:00 mail ",
    "[2026-11-22 17:00:00] ",
    "",
]
TAGS = [
    "sshd[1]: ",
    "sshd-session: ",
    "postfix/smtpd[1]: ",
    "kernel: ",
    "su[7]: ",
    "sudo: ",
    "mex: ",
    "crn: ",
    "s: ",
    "q:",
]
MESSAGES = [
    "Accepted x", "Accepted", "Connection from 192.0.2.1 port 7", "disconnect from a", "connect from a b", "xxx", "x",
    "[  1.5] up", "b", "b\n", "a", "y", "yy", "  root : TTY", " aa", "aaaa", "ababc", "abab c", "", "\x01t", "\xff",
]  # fmt: skip
LINES = st.one_of(
    st.tuples(*map(st.sampled_from, (HEADERS, [*TAGS, ""], MESSAGES))).map("".join),
    st.tuples(st.sampled_from(["<34>1 - - su 7 - - ", "<34>1 - - - - - - "]), st.sampled_from(MESSAGES)).map("".join),
    st.text(max_size=20),
).map(lambda text: text.replace("\n", " ").rstrip("\r"))


def matches_reference(rule: IgnoreRule, line: str, program: str | None) -> bool:
    """By the book: read the header, compare the program with each glob, match the whole message."""
    event = header.parse(line.encode(), program, NOW)
    regex = rule.regex.replace("[[:space:]]", r"\s").encode()
    message = line.encode()[header.take_apart(line.encode(), program, NOW).start :]
    named = event.program is not None and any(fnmatchcase(event.program, glob) for glob in rule.programs)
    means = named or "*" in rule.programs or event.program == "*"
    return means and re.fullmatch(regex, message, re.DOTALL) is not None


NATIVE_MATCHERS = {portable: compiled(*NATIVE, portable=portable) for portable in (False, True)}


@BOTH
@given(st.lists(LINES, max_size=12), st.sampled_from([None, "*", "su", "kernel"]))
def test_native_rules_match_what_the_reference_matches(portable: bool, lines: list[str], program: str | None) -> None:
    found = classify(NATIVE_MATCHERS[portable], *lines, program=program)
    expected = [[rule for rule in NATIVE if matches_reference(rule, line, program)] for line in lines]
    assert [each.ignored_by for each in found.verdicts] == [rules[0] if rules else None for rules in expected]
    assert +Counter(found.hits) == Counter(str(rule.where) for rules in expected for rule in rules)


@given(st.lists(LINES, max_size=12), st.sampled_from([None, "*", "su"]))
def test_many_lines_in_a_block_are_as_each_by_itself(lines: list[str], program: str | None) -> None:
    made = NATIVE_MATCHERS[False]
    together = classify(made, *lines, program=program).verdicts
    assert together == tuple(verdict(made, line, program) for line in lines)


@given(st.lists(LINES, max_size=12))
def test_verdicts_are_those_of_every_line_without_what_is_ignored(lines: list[str]) -> None:
    made = NATIVE_MATCHERS[False]
    every, some = classify(made, *lines), classify(made, *lines, every=False)
    assert some.verdicts == tuple(each for each in every.verdicts if each.outcome is not Outcome.IGNORED)
    assert (+Counter(some.counts), +Counter(some.hits)) == (+Counter(every.counts), +Counter(every.hits))
    assert sum(some.counts.values()) == len(lines)


# --- logcheck's rules against grep ----------------------------------------------------------------------------------

HEAD = r"^(\w{3} [ :[:digit:]]{11}|[0-9T:.+-]{32}) [._[:alnum:]-]+ "
LOGCHECK = [
    ignore("", HEAD + r"sshd\[[[:digit:]]+\]: Accepted .*"),
    ignore("", HEAD + r"sshd\[[[:digit:]]+\]: x+$"),
    ignore("", HEAD + r"(CRON|cron)(\[[0-9]+\])?: [^x]*$"),
    ignore("", HEAD + r"kernel: (a|b$)"),
    ignore("", HEAD + r"kernel: (^|c)d"),
    ignore("", HEAD + r"last message repeated [0-9]+ times$"),
    ignore("", HEAD + r"su: (.+) and \1$"),
    ignore("", HEAD + r"su: \<a.*b\>"),
    ignore("", r"^[-0-9]{10} [0-9:]{8} exim\W"),
    ignore("", r"^.* loose$"),
    ignore("", r"^Nov .* su: only november$"),
    ignore("", HEAD + r"a: | z$"),
]
HARD_LINES = [
    "Nov 22 17:00:00 mail sshd[1]: Accepted x", "Nov 22 17:00:00 mail sshd[1]: xx", "Nov 22 17:00:00 mail sshd[1]: xxy",
    "Nov 22 17:00:00 mail cron: abc", "Nov 22 17:00:00 mail CRON[12]: ", "Nov 22 17:00:00 mail cron: axb",
    "Nov 22 17:00:00 mail kernel: ab", "Nov 22 17:00:00 mail kernel: b", "Nov 22 17:00:00 mail kernel: bb",
    "Nov 22 17:00:00 mail kernel: cd", "Nov 22 17:00:00 mail kernel: d",
    "Nov 22 17:00:00 mail last message repeated 2 times", "Nov 22 17:00:00 mail last message repeated 2 times.",
    "Nov 22 17:00:00 mail su: a and a", "Nov 22 17:00:00 mail su: a and b", "Nov 22 17:00:00 mail su: a b.",
    "Nov 22 17:00:00 mail su: a bc", "2026-11-22 17:00:00 exim x", "2026-11-22 17:00:00 exim", "very loose",
    "2026-11-22T17:00:00.123456+01:00 mail sshd[1]: Accepted", "Nov 22 17:00:00 mail su: only november",
    "Dec 22 17:00:00 mail su: only november", "Nov 22 17:00:00 mail a: b", "any z", "Nov 22 17:00:00 mail b: z",
    "", " ",
]  # fmt: skip
LOGCHECK_MATCHERS = {portable: compiled(*LOGCHECK, portable=portable) for portable in (False, True)}


def grep(regex: str, lines: Sequence[str]) -> list[bool]:
    """What GNU grep says of each line."""
    text = "".join(f"{line}\n" for line in lines).encode()
    done = subprocess.run(["grep", "-nE", "--text", regex], input=text, capture_output=True, env={"LC_ALL": "C"})
    numbers = {int(line.partition(b":")[0]) for line in done.stdout.splitlines()}
    return [number in numbers for number in range(1, len(lines) + 1)]


@BOTH
def test_logcheck_rules_match_what_grep_matches(portable: bool) -> None:
    found = classify(LOGCHECK_MATCHERS[portable], *HARD_LINES)
    expected = {str(rule.where): sum(grep(rule.regex, HARD_LINES)) for rule in LOGCHECK}
    assert +Counter(found.hits) == +Counter(expected)
    matching = [
        {line for line, hit in zip(HARD_LINES, grep(rule.regex, HARD_LINES), strict=True) if hit} for rule in LOGCHECK
    ]
    firsts = [
        next((rule for rule, those in zip(LOGCHECK, matching, strict=True) if line in those), None)
        for line in HARD_LINES
    ]
    assert [each.ignored_by for each in found.verdicts] == firsts


@BOTH
@pytest.mark.parametrize(
    "line",
    [
        "<38>Nov 22 17:00:00 mail sshd[1]: xx",
        "2026-11-22T17:00:00Z mail sshd[1]: xx",
        "<34>1 2026-11-22T17:00:00Z mail sshd 1 - - xx",
        "Nov 22 17:00:00 2001:db8::1 sshd[1]: xx",
        "[2026-11-22 17:00:00] sshd[1]: xx",
    ],
)
def test_the_standard_header_of_a_logcheck_rule_means_any_header(portable: bool, line: str) -> None:
    assert ignored(LOGCHECK_MATCHERS[portable], line)


@BOTH
def test_a_logcheck_rule_for_a_line_without_a_tag_holds_for_any_header(portable: bool) -> None:
    made = LOGCHECK_MATCHERS[portable]
    assert ignored(made, "<34>1 - mail - - - - last message repeated 2 times")
    assert ignored(made, "2026-11-22T17:00:00Z mail last message repeated 2 times")


HEADERLESS = [
    "sshd[1]: xx", "sshd[1]: Accepted x", "cron: abc", "last message repeated 2 times", "a: b", "su: a and a",
    "- cron: b", "- - sshd[1]: xx", " cron: abc", "Traceback: cron: abc", "mail sshd[1]: xx", "\tcron: abc",
    "<38>cron: abc", '192.0.2.1 - - [22/Nov/2026:17:00:00 +0100] "GET / HTTP/1.1" 200 1', "17:00:00 mail cron: abc",
]  # fmt: skip
LOOSE_TAGS = [
    "cron:abc", "sshd[1]:xx", "sshd[1] xx", "sshd [1]: xx", " cron: abc", "cron :abc", "kernel:d", "su:a and a",
    "cron:", "a:",
]  # fmt: skip


@BOTH
@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("program", [None, "cron", "sshd", "nginx"])
def test_a_logcheck_rule_for_what_follows_a_header_has_no_word_for_a_line_without_one(
    portable: bool, every: bool, program: str | None
) -> None:
    """Or else who gets a newline into a message could write a second one that is hidden."""
    assert not [rule for rule in LOGCHECK if any(grep(rule.regex, HEADERLESS))]
    found = classify(LOGCHECK_MATCHERS[portable], *HEADERLESS, program=program, every=every)
    assert (found.hits, found.counts) == ({}, {Outcome.UNEXPLAINED: len(HEADERLESS), Outcome.IGNORED: 0})
    raising = compiled(attack("", HEAD + "cron: abc$"), portable=portable)
    assert Outcome.ATTACK not in classify(raising, *HEADERLESS, program=program, every=every).counts


@BOTH
def test_a_native_rule_holds_for_a_line_without_a_header_where_the_source_names_the_program(portable: bool) -> None:
    made = compiled(ignore("cron", "a+"), ignore("", HEAD + "cron: b$"), portable=portable)
    assert ignored(made, "aa", "cron")
    assert not ignored(made, "b", "cron")
    assert ignored(made, "[2026-11-22 17:00:00] b", "cron"), "that is a header, if not a traditional one"


@BOTH
@pytest.mark.parametrize("every", [True, False])
def test_behind_a_traditional_header_a_logcheck_rule_sees_what_grep_sees(portable: bool, every: bool) -> None:
    """Also where it is no tag as it should be; to a native rule it is as good as one."""
    lines = [f"Nov 22 17:00:00 mail {text}" for text in LOOSE_TAGS]
    lines += [f"2026-11-22T17:00:00.123456+01:00 mail {text}" for text in LOOSE_TAGS]
    expected = {str(rule.where): sum(grep(rule.regex, lines)) for rule in LOGCHECK}
    assert +Counter(classify(LOGCHECK_MATCHERS[portable], *lines, every=every).hits) == +Counter(expected)
    assert ignored(compiled(ignore("cron", "a.c"), portable=portable), "Nov 22 17:00:00 mail cron:abc")


# --- blocks ---------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("regex", ["a[^x]*b", r"a\s+b", r"a\Wb", "a[[:space:]]b", "a.*b", r"a\Sb", "a[[:cntrl:]]b"])
def test_no_rule_joins_two_lines(portable: bool, regex: str) -> None:
    for made in (compiled(ignore("su", regex), portable=portable), compiled(ignore("", regex), portable=portable)):
        lines = ["Nov 22 17:00:00 h su: a", "b", "Nov 22 17:00:00 h su: a", "Nov 22 17:00:00 h su: b"]
        assert classify(made, *lines).counts[Outcome.IGNORED] == 0


@BOTH
def test_a_carriage_return_before_the_newline_changes_nothing(portable: bool) -> None:
    made = compiled(ignore("su", "x"), ignore("", HEAD + "cron: y$"), portable=portable)
    assert ignored(made, "Nov 22 17:00:00 mail su: x\r")
    assert ignored(made, "Nov 22 17:00:00 mail cron: y\r")
    assert verdict(made, "Nov 22 17:00:00 mail su: x\r").event.raw == "Nov 22 17:00:00 mail su: x"
    assert not ignored(made, "Nov 22 17:00:00 mail su: x\r\r")


def test_a_last_line_without_a_newline_counts() -> None:
    made = compiled(ignore("su", "x"))
    found = made.classify(Batch("test", b"\nNov 22 17:00:00 mail su: x", 2, ""), NOW, every=True)
    assert [each.outcome for each in found.verdicts] == [Outcome.UNEXPLAINED, Outcome.IGNORED]


def test_an_empty_batch_has_no_lines() -> None:
    found = classify(compiled(ignore("su", "x")))
    assert (sum(found.counts.values()), found.verdicts) == (0, ())


def test_without_rules_every_line_is_unexplained() -> None:
    assert classify(compiled(), "a", "", "b").counts[Outcome.UNEXPLAINED] == 3


@pytest.mark.slow
def test_a_large_batch_is_as_its_lines() -> None:
    made = compiled(ignore("su", "x"), ignore("", r"^only\W"))
    lines = ["Nov 22 17:00:00 mail su: x", "Nov 22 17:00:00 mail su: y", "only this", "", "z" * 200] * 4_000
    found = classify(made, *lines, every=False)
    assert found.counts == {Outcome.IGNORED: 8_000, Outcome.UNEXPLAINED: 12_000}
    assert [each.event.raw for each in found.verdicts[:6]] == [lines[1], "", lines[4], lines[1], "", lines[4]]


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 3 * MAX_LINE, 1_000_000])
@pytest.mark.parametrize("before", [0, 1, 30_000, MAX_LINE - 1, MAX_LINE, BLOCK - 4_000])
def test_a_line_that_is_too_long_is_quarantined_and_nothing_else_is(length: int, before: int) -> None:
    made = compiled(ignore("", "^aa+$"), ignore("", "^b*$"))
    block = b"b" * before + b"\n" + b"a" * length + b"\nbb\n"
    found = made.classify(Batch("test", block, 3, ""), NOW, every=True)
    long, short = Outcome.QUARANTINED, Outcome.IGNORED
    assert [each.outcome for each in found.verdicts] == [
        long if before > MAX_LINE else short,
        long if length > MAX_LINE else short,
        short,
    ]
    assert found.counts[long] == (before > MAX_LINE) + (length > MAX_LINE)


def test_each_line_keeps_its_provenance() -> None:
    made = compiled(ignore("", "^b$"))
    lines = [b"b", b"c" * 200_000, b"a", b"b", *[b"d" * 100] * 4_000, b"a"]
    provenance = tuple(Provenance(uid=number) for number in range(len(lines)))
    batch = Batch("test", b"\n".join(lines) + b"\n", len(lines), "", provenance=provenance)
    for each in made.classify(batch, NOW).verdicts:
        assert each.event.provenance is not None
        assert lines[each.event.provenance.uid or 0] == each.event.raw.encode()


# --- whose lines ----------------------------------------------------------------------------------------------------


@BOTH
def test_a_line_that_names_no_program_is_of_the_sources(portable: bool) -> None:
    made = compiled(ignore("nginx", r"\[error\] .*"), portable=portable)
    assert ignored(made, "2026/11/22 17:00:00 [error] 1#1: x", "nginx")
    assert not ignored(made, "2026/11/22 17:00:00 [error] 1#1: x", "apache2")
    assert not ignored(made, "2026/11/22 17:00:00 [error] 1#1: x")
    assert ignored(made, "2026/11/22 17:00:00 [error] 1#1: x", "*")


@BOTH
@pytest.mark.parametrize(
    "line",
    [
        "Nov 22 17:00:00 mail *: x", "Nov 22 17:00:00 mail *[1]: x", "*: x", "\x01*x", "\x01n x", "\x01tsu: x", "\x01x",
        "<34>1 - mail * - - - x", "<34>1 - mail su:x - - - x", "Nov 22 17:00:00 mail \x01*: x", "x", "su: x",
    ],
)  # fmt: skip
def test_no_line_can_claim_to_be_of_any_program(portable: bool, line: str) -> None:
    assert not ignored(compiled(ignore("su", "x"), portable=portable), line)


@BOTH
def test_a_rule_for_any_program_holds_for_lines_of_none(portable: bool) -> None:
    made = compiled(ignore("*", "last message repeated <NUM> times"), portable=portable)
    assert ignored(made, "Nov 22 17:00:00 mail last message repeated 3 times")
    assert ignored(made, "last message repeated 3 times")
    assert ignored(made, "Nov 22 17:00:00 mail su: last message repeated 3 times")


# --- attacks --------------------------------------------------------------------------------------------------------

FAILED = attack("sshd", "Failed password for <USER> from <ADDR> port <PORT>( ssh2)?")


@BOTH
def test_an_attack_names_its_rule_and_its_address(portable: bool) -> None:
    made = compiled(FAILED, portable=portable)
    found = verdict(
        made, "Nov 22 17:00:00 mail sshd[1]: Failed password for root from ::ffff:203.0.113.9 port 4242 ssh2"
    )
    assert (found.outcome, found.attack_by, found.address) == (Outcome.ATTACK, FAILED, "203.0.113.9")
    assert found.ignored_by is None


@BOTH
def test_of_addresses_that_a_rule_repeats_the_last_is_named_in_one_line_and_in_many(portable: bool) -> None:
    made = compiled(attack("web", "refused: (<ADDR>,? ?)+"), portable=portable)
    lines = [f"Nov 22 17:00:00 mail web: refused: 192.0.2.1, 198.51.100.{number}" for number in (7, 8)]
    assert [verdict(made, line).address for line in lines] == ["198.51.100.7", "198.51.100.8"]
    assert [each.address for each in classify(made, *lines).verdicts] == ["198.51.100.7", "198.51.100.8"]


@BOTH
def test_a_user_name_cannot_supply_the_address(portable: bool) -> None:
    made = compiled(FAILED, portable=portable)
    line = "Nov 22 17:00:00 mail sshd[1]: Failed password for x from 192.0.2.1 port 22 ssh2 from 203.0.113.9 port 4242"
    assert verdict(made, line).address == "203.0.113.9"


@BOTH
def test_what_is_no_address_is_none(portable: bool) -> None:
    made = compiled(attack("su", "from <ADDR>"), attack("cron", "by <HOST>"), portable=portable)
    found = verdict(made, "Nov 22 17:00:00 mail su: from 999.0.0.1")
    assert (found.outcome, found.address) == (Outcome.ATTACK, None)
    assert verdict(made, "Nov 22 17:00:00 mail cron: by example.org").address is None
    assert verdict(made, "Nov 22 17:00:00 mail cron: by 2001:DB8::9").address == "2001:db8::9"


@BOTH
def test_an_ignore_rule_does_not_blind_a_ban(portable: bool) -> None:
    hide = ignore("sshd", "Failed .*")
    found = verdict(
        compiled(hide, FAILED, portable=portable), "Nov 22 17:00:00 m sshd: Failed password for a from 192.0.2.1 port 1"
    )
    assert (found.outcome, found.ignored_by, found.attack_by) == (Outcome.ATTACK, hide, FAILED)
    assert not found.reported


@BOTH
@pytest.mark.parametrize(
    "header_", ["<34>1 - m sshd 1 - - ", "2026-11-22 17:00:00 m sshd[1]: ", "Nov 22 17:00:00 m sshd[1]:"]
)
def test_an_attack_behind_an_unusual_header_is_seen_though_the_raw_line_is_hidden(portable: bool, header_: str) -> None:
    hide = ignore("", "Failed password")
    line = header_ + "Failed password for root from 192.0.2.1 port 1"
    found = verdict(compiled(hide, FAILED, portable=portable), line)
    assert (found.outcome, found.ignored_by, found.address) == (Outcome.ATTACK, hide, "192.0.2.1")


@BOTH
def test_an_attack_comes_before_a_violation_and_counts_for_both(portable: bool) -> None:
    look = attack("sshd", ".*root.*", Severity.VIOLATION)
    found = classify(
        compiled(look, FAILED, portable=portable),
        "Nov 22 17:00:00 m sshd: Failed password for root from 192.0.2.1 port 1",
    )
    assert found.verdicts[0].attack_by is FAILED
    assert found.hits == {str(look): 1, str(FAILED): 1}
    found = classify(compiled(look, FAILED, portable=portable), "Nov 22 17:00:00 m sshd: hello root")
    assert (found.verdicts[0].attack_by, found.verdicts[0].outcome) == (look, Outcome.ATTACK)


@BOTH
def test_an_alert_comes_before_a_violation_and_after_an_attack(portable: bool) -> None:
    look, alarm = attack("sshd", ".*root.*", Severity.VIOLATION), attack("sshd", ".*root .*", Severity.ALERT)
    compiler = compiled(look, alarm, FAILED, portable=portable)
    found = classify(compiler, "Nov 22 17:00:00 m sshd: hello root there")
    assert found.verdicts[0].attack_by is alarm
    found = classify(compiler, "Nov 22 17:00:00 m sshd: Failed password for root from 192.0.2.1 port 1")
    assert found.verdicts[0].attack_by is FAILED


@BOTH
def test_logchecks_own_exemptions_take_a_violation_away(portable: bool) -> None:
    alarm, other = attack("", "ALARM", file="violations.d/a"), attack("", "fire", file="violations.d/b")
    exempt = ignore("", "false ALARM", exempts=("violations.d/a",))
    made = compiled(exempt, alarm, other, portable=portable)
    assert verdict(made, "an ALARM").attack_by is alarm
    assert verdict(made, "a false ALARM").ignored_by is exempt
    assert verdict(made, "a false ALARM").outcome is Outcome.IGNORED
    assert verdict(made, "a false ALARM of fire").attack_by is other
    assert verdict(compiled(exempt, portable=portable), "a false ALARM").outcome is Outcome.UNEXPLAINED


@BOTH
@pytest.mark.parametrize("text", ["192.0.2.1.5", "192.0.2.1abc", "192.0.2.1234", "x192.0.2.1"])
def test_what_is_no_address_but_begins_like_one_is_an_attack_by_nobody(portable: bool, text: str) -> None:
    refused, hidden = attack("su", "fail from .*<ADDR>.*"), ignore("su", "fail from .*")
    found = verdict(compiled(refused, hidden, portable=portable), f"Nov 22 17:00:00 mail su: fail from {text}")
    assert (found.outcome, found.attack_by, found.address) == (Outcome.ATTACK, refused, None)


# --- no runaway -----------------------------------------------------------------------------------------------------

SLOW = r"(a|aa)*(a|aa)*(a|aa)*(x|y)\4"
"""With a backreference, so that Hyperscan cannot save it; on a line of many a's it takes for ever."""


@pytest.mark.slow
@BOTH
def test_a_rule_that_takes_too_long_is_suspended_and_its_line_quarantined(portable: bool) -> None:
    slow, other = ignore("", f"^{SLOW}$"), ignore("", "^b+$")
    made = compiled(slow, other, portable=portable)
    before = time.monotonic()
    found = classify(made, "a" * 5_000 + "xy", "bb", "xx", "a" * 5_000 + "xy", every=True)
    assert time.monotonic() - before < 1
    assert [each.outcome for each in found.verdicts] == [
        Outcome.QUARANTINED,
        Outcome.IGNORED,
        Outcome.UNEXPLAINED,
        Outcome.UNEXPLAINED,
    ]
    assert found.verdicts[0].quarantined_for == f"{slow.where} took longer than 100 ms"
    assert [(each.kind, each.about) for each in found.notices] == [(NoticeKind.REFUSED, str(slow.where))]
    assert classify(made, "xx").notices == ()


@BOTH
@pytest.mark.parametrize(
    "regex",
    [
        "(a+)+$", "(a|aa)+$", "(.*)*x", "(a*)*b", "([a-z]+)*[0-9]", "(a?){50}a{50}b", "(.*)*(.*)*(.*)*x$",
        r"(.*)(.*)(.*)\1\2\3x", r"(a*)*\1b", r"((a|aa)+)\1\1\1!b", r"(\w+\s?)*\1!b",
    ],
)  # fmt: skip
@pytest.mark.slow
def test_no_rule_holds_the_daemon(portable: bool, regex: str) -> None:
    """Two lines of 30,000 bytes, and a second for both: a rule is suspended after 0.1 s."""
    made = compiled(ignore("", f"^{regex}"), ignore("", "^quiet$"), portable=portable)
    before = time.process_time()
    found = classify(made, "a" * 30_000 + "!", "quiet", "a" * 30_000 + "!")
    assert time.process_time() - before < 1
    assert found.verdicts[1].outcome is Outcome.IGNORED
    assert sum(found.counts.values()) == 3


CLUMSY = r"(\w+) *(\w+) *\1\2"
"""Takes some 10 ms for each of CLUMSY_LINES, which is not too long for one."""
CLUMSY_LINES = ["Nov 22 17:00:00 mail su: " + "a" * 200 + "b"] * 250


@pytest.mark.slow
@BOTH
def test_a_rule_that_takes_a_little_less_on_each_of_many_lines_is_suspended_too(portable: bool) -> None:
    clumsy, other = ignore("su", CLUMSY), ignore("su", "x+")
    made = compiled(clumsy, other, portable=portable)
    before = time.process_time()
    found = classify(made, *CLUMSY_LINES, "Nov 22 17:00:00 mail su: xx")
    assert time.process_time() - before < 2
    assert found.counts == {Outcome.UNEXPLAINED: len(CLUMSY_LINES), Outcome.IGNORED: 1}
    why = f"{clumsy.where} took too long for its lines, 1 s in all, and is suspended"
    assert [(each.kind, each.about, each.text) for each in found.notices] == [
        (NoticeKind.REFUSED, str(clumsy.where), why)
    ]
    before = time.process_time()
    assert classify(made, *CLUMSY_LINES, "Nov 22 17:00:00 mail su: abab").notices == ()
    assert time.process_time() - before < 1


@pytest.mark.slow
@BOTH
def test_batch_after_batch_comes_to_the_same(portable: bool) -> None:
    made = compiled(ignore("su", CLUMSY), portable=portable)
    before = time.process_time()
    said = [notice for line in CLUMSY_LINES for notice in classify(made, line).notices]
    assert time.process_time() - before < 2
    assert len(said) == 1


@pytest.mark.slow
@BOTH
def test_an_attack_rule_that_takes_too_long_for_many_lines_still_finds_attacks_in_short_ones(portable: bool) -> None:
    made = compiled(attack("su", f"{CLUMSY} from <ADDR>"), portable=portable)
    hostile = [f"{line} from 192.0.2.1" for line in CLUMSY_LINES]
    before = time.process_time()
    found = classify(made, *hostile, "Nov 22 17:00:00 mail su: abab from 192.0.2.1")
    assert time.process_time() - before < 2
    assert len(found.notices) == 1
    assert found.verdicts[-1].address == "192.0.2.1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "count"), [("and so on and so on", 300_000), ("and so on " * 6_000 + "and so on", 300)]
)
def test_an_honest_rule_is_kept_however_many_lines_it_is_for(line: str, count: int) -> None:
    """The `regex` engine, at one moment, so that no time goes by in which anything would be forgiven."""
    backreference, spaces = ignore("su", r".*(so on)( .*)? and \1"), ignore("su", "and( [a-z]+)* ?")
    made = compiled(backreference, spaces, portable=True)
    block = f"Nov 22 17:00:00 mail su: {line}\n".encode() * count
    found = made.classify(Batch("test", block, count, ""), NOW)
    assert (found.notices, found.hits) == ((), dict.fromkeys(map(str, (backreference.where, spaces.where)), count))


def spending(patience: Patience, pattern: Pattern, seconds: float, *texts: bytes) -> bool:
    """Whether a pattern may be tried again after it has taken so long for these."""
    patience.timer = lambda: seconds
    patience.spend(pattern, 0.0, texts)
    return patience.allows(pattern, 1)


def test_what_a_rule_may_take_grows_with_its_lines_and_their_length() -> None:
    (pattern,) = compiled(ignore("", "^a$"), portable=True)._engines[0].patterns.values()
    patience = Patience()
    assert all(spending(patience, pattern, 0.0001 * 200, *[b"a"] * 200) for _ in range(1_000))
    assert all(spending(patience, pattern, 0.0051, b"a" * 20_000) for _ in range(1_000))
    assert not all(spending(patience, pattern, 0.0051, b"a" * 10) for _ in range(1_000))


def test_a_rule_that_takes_long_now_and_then_is_kept_and_a_clock_that_jumps_changes_nothing() -> None:
    (pattern,) = compiled(ignore("", "^a$"), portable=True)._engines[0].patterns.values()
    patience = Patience()
    for second in range(1_000):
        patience.begin(NOW + second)
        assert spending(patience, pattern, 0.09, b"a")
    for second in range(12):
        patience.begin(NOW - 3_600 * second)
        kept = spending(patience, pattern, 0.09, b"a")
    assert not kept
    assert [why for _, why in patience.lost()] == ["took too long for its lines, 1 s in all, and is suspended"]


def test_a_rule_is_not_blamed_for_what_the_machine_did_in_a_batch_before() -> None:
    (pattern,) = compiled(ignore("", "^a$"), portable=True)._engines[0].patterns.values()
    times = {"clock": 0.0, "own": 0.0}
    patience = Patience(timer=lambda: times["clock"], own=lambda: times["own"])
    for clock, own in ((0.9, 0.01), (0.2, 0.2)):
        patience.begin(NOW)
        since = times["clock"]
        times["clock"], times["own"] = times["clock"] + clock, times["own"] + own
        patience.spend(pattern, since, [b"a"])
        patience.spent()
    assert patience.allows(pattern, 1)


def test_an_attack_rule_that_took_too_long_for_many_lines_is_still_tried_on_half_of_the_longest() -> None:
    (pattern,) = compiled(attack("su", "a from <ADDR>"), portable=True)._engines[0].patterns.values()
    patience = Patience(timer=lambda: 0.6, own=lambda: 0.6)
    patience.spend(pattern, 0.0, [b"a" * 900])
    patience.spend(pattern, 0.0, [b"a" * 20])
    assert (patience.allows(pattern, 449), patience.allows(pattern, 451)) == (True, False)


def test_a_rule_is_not_blamed_for_the_time_that_others_have_on_a_busy_machine() -> None:
    (pattern,) = compiled(ignore("", "^a$"), portable=True)._engines[0].patterns.values()
    for share, kept in ((0.1, True), (0.6, False), (1.0, False)):
        clock = [0.0]
        patience = Patience(timer=lambda clock=clock: clock[0], own=lambda clock=clock, share=share: clock[0] * share)
        patience.begin(NOW)
        for _ in range(40):
            since, clock[0] = clock[0], clock[0] + 0.05
            patience.spend(pattern, since, [b"a"])
        assert patience.allows(pattern, 1) is kept


@pytest.mark.slow
@BOTH
def test_one_long_line_does_not_switch_an_attack_rule_off(portable: bool) -> None:
    made = compiled(attack("su", f"{SLOW} from <ADDR>"), portable=portable)
    head = "Nov 22 17:00:00 mail su: "
    found = classify(made, head + "a" * 5_000 + "xy from 192.0.2.1", head + "aaxx from 192.0.2.1")
    assert [each.outcome for each in found.verdicts] == [Outcome.QUARANTINED, Outcome.ATTACK]
    assert found.verdicts[1].address == "192.0.2.1"
    assert len(found.notices) == 1


@pytest.mark.slow
@BOTH
def test_what_rules_cost_in_the_slow_engine_is_told_by_rule(portable: bool) -> None:
    slow, quick = ignore("", f"^{SLOW}$"), ignore("", r"^(b)\1+$")
    made = compiled(slow, quick, portable=portable)
    found = classify(made, "a" * 5_000 + "xy", "bb")
    assert found.slow[str(slow.where)] > 0.05
    assert classify(made, "a" * 5_000 + "xy").slow == {}, "it is suspended"
    many = [classify(made, *["bb"] * 500).slow.get(str(quick.where), 0.0) for _ in range(20)]
    assert 0.001 <= sum(many) < 1


def test_the_time_of_a_rule_is_told_once_and_small_change_is_saved_up() -> None:
    (pattern,) = compiled(ignore("", "^a$"), portable=True)._engines[0].patterns.values()
    patience = Patience(timer=lambda: 0.0012)
    patience.spend(pattern, 0.0008, [b"a"])
    assert patience.spent() == {}
    patience.spend(pattern, 0.0004, [b"a"])
    assert patience.spent() == {pattern.name: pytest.approx(0.0012)}
    assert patience.spent() == {}


def test_an_address_that_takes_too_long_to_find_is_none() -> None:
    made = compiled(attack("su", "(a|aa)*(a|aa)*(a|aa)*xy from <ADDR>(z|zz)*"))
    head = "Nov 22 17:00:00 mail su: "
    line = head + "a" * 5_000 + "xy from 192.0.2.1"
    assert verdict(made, line).outcome is Outcome.ATTACK
    assert verdict(made, head + "aaxy from 192.0.2.1").address == "192.0.2.1"


@BOTH
def test_one_bad_rule_is_refused_alone(portable: bool) -> None:
    bad, good = ignore("su", "("), ignore("su", "x")
    made = compiled(bad, good, ignore("[[]", "x"), portable=portable)
    assert made.refused[0].where == bad.where
    assert len(made.refused) == 2
    assert ignored(made, "Nov 22 17:00:00 mail su: x")


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("(ab)?" * 900, "abab"),
        ("a" * 10_000, "a" * 10_000),
        ("(a|b)" * 2_000, "ab" * 1_000),
        ("[ab]*c" * 500, "c" * 500),
    ],
    ids=["optional", "letters", "alternatives", "repetitions"],
)
def test_a_rule_on_which_hyperscan_would_brood_for_minutes_is_not_given_to_it(regex: str, message: str) -> None:
    """Each of these took its compiler from 12 s to more than there was patience for."""
    built = build([Text(regex, ("su",), Dialect.IGNORE), Text("x", ("su",), Dialect.IGNORE)], portable=False)
    assert [row.way for row in built.rows] == [Way.REGEX, Way.STRICT]
    made = compiled(ignore("su", regex), ignore("su", "x"), portable=False)
    assert ignored(made, f"Nov 22 17:00:00 mail su: {message}")
    assert not ignored(made, f"Nov 22 17:00:00 mail su: {message}?")


@BOTH
def test_what_one_engine_refuses_the_other_takes(portable: bool) -> None:
    made = compiled(ignore("su", r"(.+) is \1"), ignore("su", "(a|b){1,400}(c|d){1,400}z{1,9000}"), portable=portable)
    assert made.refused == ()
    assert ignored(made, "Nov 22 17:00:00 mail su: x is x")
    assert not ignored(made, "Nov 22 17:00:00 mail su: x is y")
    assert ignored(made, "Nov 22 17:00:00 mail su: abcz")


# --- its memory -----------------------------------------------------------------------------------------------------


@BOTH
def test_of_a_matcher_that_is_replaced_nothing_stays(portable: bool) -> None:
    """Nor does anything wait for the collector of cycles, which comes late: after a hundred edits, say."""
    gc.collect()
    gc.disable()
    try:
        before = patterns()
        made = compiled(
            *NATIVE, attack("su", "from <ADDR>"), ignore("", "^Nov .* mail (sshd): (.*) \\2"), portable=portable
        )
        classify(made, *(header_ + tag + message for header_ in HEADERS for tag in TAGS for message in MESSAGES[:5]))
        assert patterns() > before
        del made
        assert patterns() == before
    finally:
        gc.enable()


def patterns() -> int:
    return sum(isinstance(each, Pattern) for each in gc.get_objects())
