"""Of the rules of the `regex` engine only some are tried on a line: the answer is as if all were."""

from __future__ import annotations

import re
import time
from fnmatch import fnmatchcase
from random import Random

import pytest
from grep_oracle import example, mutate
from hypothesis import given
from hypothesis import strategies as st

from logwarden import ere
from logwarden.errors import RuleError
from logwarden.header import Parts
from logwarden.matcher import globs, lines, openings, prefilter, tags
from logwarden.matcher.analysis import Analysis
from logwarden.matcher.dispatch import Dispatch
from logwarden.matcher.engine import Patience
from logwarden.matcher.patterns import Pattern, text_of
from logwarden.matcher.regex_engine import RegexEngine, try_one
from logwarden.model import Dialect, IgnoreRule, Location

HEAD = r"^(\w{3} [ :[:digit:]]{11}|[0-9T:.+-]{32}) [._[:alnum:]-]+ "
HEADER = b"Nov 22 17:00:00 mail "
PROGRAMS = ["sshd", "sshd*", "*", "su", "[a-s]*d", "s?", "CRON"]


def pattern(regex: str, *programs: str) -> Pattern:
    rule = IgnoreRule(Location("x.rules", 1), regex, programs, Dialect.IGNORE if programs else Dialect.GREP)
    return Pattern(rule, 0, Analysis(text_of(rule)).facts)


def readable(regex: str, *programs: str) -> Pattern | None:
    try:
        return pattern(regex, *programs)
    except RuleError:  # a backreference to another group than its own
        return None


def candidates(made: list[Pattern], *given: bytes) -> dict[int, list[int]]:
    """Which of `given` each may match."""
    found = Dispatch(dict(enumerate(made))).candidates(lines.views(b"".join(line + b"\n" for line in given)))
    return {id_: list(indices) for id_, indices in found.items()}


names = st.sampled_from(
    ["sshd", "su", "s[su]", "(CRON|cron)", "sshd(-session)?", "[[:alpha:]]+", "su(: )?x", "(su)?", ""]
)
pids = st.sampled_from(
    [r"\[[0-9]+\]", r"(\[[0-9]+\])?", "", r"(-x\[1\])?", r"\[[^]]*\]", r"(\[1\]|:x)?", "(: )?", "[[1]"]
)
colons = st.sampled_from([": ", ":", ":? ", ": *", ":[[:space:]]+", "(: )", ": {2}"])
pieces = st.sampled_from(
    ["abc", "a", "b*", "[ab]", "(abc|bcd)", "(a|)", r"\<a", ".*", "7+", "(ab)?", "^", "$", " y", "|", r"(ab)\1"]
)  # fmt: skip
messages = st.lists(pieces, max_size=6).map("".join)
rules = st.one_of(
    st.tuples(names, pids, colons, messages).map(lambda parts: readable(HEAD + "".join(parts))),
    st.tuples(st.sampled_from(["", "^", "^Nov", ".*"]), messages).map(lambda parts: readable("".join(parts))),
    st.tuples(messages, st.lists(st.sampled_from(PROGRAMS), min_size=1)).map(
        lambda parts: readable(parts[0], *parts[1])
    ),
).filter(bool)
texts = st.lists(
    st.sampled_from(["abc", "bcd", "a", "b", " ", "x", "xx", "7", "sshd", "su", ": ", ":", "[1]", "[", "cron", "\xff"])
).map(lambda parts: "".join(parts).encode("latin-1"))  # fmt: skip


def lines_for(rule: Pattern, random: Random) -> list[bytes]:
    """Lines that a rule matches, and near misses."""
    analysis = Analysis(text_of(rule.rule))
    made = [example(analysis.tree, random) for _ in range(3)]
    heads = {"line": b"", "rest": HEADER, "message": HEADER + random.choice([b"sshd: ", b"su[7]: ", b"CRON: ", b""])}
    lines = [heads[rule.scope] + text for text in made]
    return [line.replace(b"\n", b"") for line in (*lines, *(mutate(line, random) for line in lines))]


@given(st.lists(rules, min_size=1, max_size=6), st.lists(texts, max_size=4), st.integers(0, 2**32))
def test_what_is_found_is_what_trying_every_rule_finds(made: list[Pattern], more: list[bytes], seed: int) -> None:
    random = Random(seed)
    engine = RegexEngine(made, Patience())
    own = [line for rule in made for line in lines_for(rule, random)]
    given = [*own, *more, *(HEADER + text for text in more), *(HEADER + b"sshd[1]: " + text for text in more)]
    expected: list[tuple[int, int]] = []
    nobodys: list[tuple[bytes, Parts]] = []
    end = -1
    for line in given:
        view = lines.view(line)
        matching = [n for n, rule in enumerate(made) if try_one(Patience(), rule, view, len(line))]
        end += len(line) + 1
        expected += [(end, n) for n in matching]
        nobodys.append((line, Parts(False, None, None, random.choice([None, "*", "su"]), None, 0)))
    views = [lines.View(None, None, parts.program and parts.program.encode(), line) for line, parts in nobodys]
    expected_in_messages = [
        (n, [index for index, view in enumerate(views) if try_one(Patience(), rule, view, 0)])
        for n, rule in enumerate(made)
    ]
    found_in_messages = engine.try_all(lines.message_views(nobodys), [len(line) for line, _ in nobodys])
    assert sorted((id_, list(found)) for id_, found, late in found_in_messages if found and not late) == [
        (n, found) for n, found in expected_in_messages if found
    ]
    found_in_block = engine.scan(b"".join(line + b"\n" for line in given))
    assert (sorted(found_in_block.matches), found_in_block.late) == (expected, [])


def test_what_a_group_matched_in_one_line_is_forgotten_in_the_next() -> None:
    engine = RegexEngine([pattern(r"^(a|b)?y\1$")], Patience())
    assert engine.scan(b"aya\nya\nbyb\nyb\n").matches == [(3, 0), (10, 0)]


def test_a_block_of_empty_lines_is_one_like_any_other() -> None:
    engine = RegexEngine([pattern("^a*$"), pattern("^b+$")], Patience())
    assert engine.scan(b"\n" * 200_000).matches == [(end, 0) for end in range(200_000)]


@pytest.mark.slow
def test_the_line_that_takes_too_long_is_known_among_many() -> None:
    slow, quick = pattern(r"^(a|aa)*(a|aa)*(a|aa)*(x|y)\4$"), pattern("^a*xy?")
    quick.rank = 1
    engine = RegexEngine([slow, quick], Patience())
    block = b"axx\n" + b"a" * 5_000 + b"xy\naaxx\n"
    slow_end = block.index(b"y\n") + 1
    found = engine.scan(block)
    assert sorted(found.matches) == [(3, 0), (3, 1), (slow_end, 1), (len(block) - 1, 1)], "suspended for the last one"
    assert found.late == [(slow_end, 0)]


@given(messages.filter(lambda regex: "1" not in regex), st.integers(0, 2**32))
def test_every_text_begins_with_one_of_its_openings(regex: str, seed: int) -> None:
    tree = ere.parse(regex.encode())
    begins, all_of_it, random = openings.openings(tree), openings.spelled_out(tree), Random(seed)
    for text in (example(tree, random) for _ in range(20)):
        assert text.startswith(tuple(begins))
        assert all_of_it is None or text in all_of_it


@pytest.mark.parametrize(
    ("rest", "programs", "message"),
    [
        (r"sshd\[[0-9]+\]: Accepted .*", {b"sshd"}, "Accepted .*"),
        (r"(CRON|cron)(\[[0-9]+\])?: x", {b"CRON", b"cron"}, "x"),
        (r"kernel: \[ *[0-9.]+\] x", {b"kernel"}, r"\[ *[0-9.]+\] x"),
        (r"sshd(-session)?: x", {b"sshd", b"sshd-session"}, "x"),
    ],
)
def test_a_rule_for_the_lines_of_a_program_is_divided_as_they_are(
    rest: str, programs: set[bytes], message: str
) -> None:
    found = tags.split(ere.parse(rest.encode()))
    assert found is not None
    assert (found.programs, ere.emit(found.message, "regex")) == (
        programs,
        ere.emit(ere.parse(message.encode()), "regex"),
    )


@pytest.mark.parametrize(
    "rest",
    ["last message", "su: *x", ".*: x", "su(: )?x: y", r"su(-x\[1\])?: y", "su x: y", "(su:) x", r"su(\[1\])?-x: y"],
)
def test_what_may_be_of_another_program_is_not_divided(rest: str) -> None:
    assert tags.split(ere.parse(rest.encode())) is None


def test_a_rule_is_a_candidate_where_the_line_shows_its_signs_alone() -> None:
    made = [pattern(HEAD + r"sshd\[[0-9]+\]: Accepted .* for root"), pattern("one line|other"), pattern("x+", "su")]
    given = [
        HEADER + b"sshd[1]: Accepted key for root",
        HEADER + b"sshd[1]: Accepted key for ada",
        HEADER + b"sshd-session[1]: Accepted key for root",
        b"an other one line",
        HEADER + b"su: xx",
        HEADER + b"sshd[2]: Accepted password for root",
    ]
    assert candidates(made, *given) == {0: [0, 5], 1: [3], 2: [4]}


def test_a_rule_of_ten_thousand_letters_is_filed_like_any_other() -> None:
    long = [pattern(f"{n}{'a' * 10_000}") for n in range(20)]
    assert candidates(long, b"7" + b"a" * 10_000) == {7: [0]}
    assert len(prefilter.signs(ere.parse(b"|".join(b"%d" % n for n in range(500))), anywhere=False)) == 1


def test_what_repeats_perhaps_nothing_again_and_again_is_looked_at_once() -> None:
    before = time.process_time()
    assert openings.openings(ere.parse(b"((((a?){32}){32}){32}){3}b")) >= {b"b", b"ab", b"a" * 31 + b"b"}
    assert time.process_time() - before < 0.5


@given(
    st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", "ab", "é"]), min_size=1, max_size=8).map("".join),
    st.text(alphabet="ab-", max_size=12),
)
def test_a_glob_means_what_fnmatch_says(glob: str, program: str) -> None:
    assert bool(re.fullmatch(globs.linear((glob,)), program.encode())) is fnmatchcase(program, glob)


def test_a_long_tag_costs_a_glob_of_many_stars_little() -> None:
    """Each star would go over the tag once for each place of the one before: 64,000 to the power of nine steps."""
    made = pattern("x", "a" + "*a" * 8 + "*b")
    assert not made.is_for(b"a" * 64_000)
    assert made.is_for(b"a" * 64_000 + b"b")
    assert candidates([made], HEADER + b"a" * 8_000 + b": x", HEADER + b"a" * 8_000 + b"b: x") == {0: [1]}
