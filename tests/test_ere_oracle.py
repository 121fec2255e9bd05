"""A rule means to both engines what it means to `LC_ALL=C grep -E --text`: line by line, and in blocks."""

from __future__ import annotations

import itertools
import subprocess
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from grep_oracle import (
    BadPatternError,
    Combined,
    by_hyperscan,
    by_regex,
    example,
    grep,
    mutate,
    why_not,
)
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from logwarden import ere, matcher
from logwarden.ere.parser import LOST, MIXED
from logwarden.errors import RuleError
from logwarden.model import AttackRule, Batch, Classified, Dialect, IgnoreRule, Location, RuleSet

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

DATABASE = Path("/etc/logcheck")
BUNDLED = ("demo/sample.log", "captured/hour", "captured/faults")
"""What real machines said, and one that we made up."""

PARTS = 4
EXAMPLES = 25 * settings().max_examples
"""For each part, which a worker of its own may do: 10,000 rules with some 50 lines each in `make test`, a million in
`make fuzz`."""
SETS = EXAMPLES // 6
"""They come in sets of two to twelve: what takes long is to compile for the matcher, and to write them."""

HERE = Path(__file__).parent
ODDITIES = dict(part.split("\n", 1) for part in (HERE / "ere_rules.txt").read_text().split("# ")[1:])
"""Rules at the edges of the syntax, separated by blanks, by their subject."""

LINES = [
    *(bytes(chosen) for size in range(4) for chosen in itertools.product(b"ab-", repeat=size)),
    *(HERE / "ere_lines.txt").read_bytes().split(),
    *("é".encode(), "éé".encode(), "aé".encode(), "é".encode("latin-1"), b"\xa0\xc3"),
    *(b"\x00", b"a\x00b", b"\xff", b"\x80", b"a\xe9b", b"\r", b"a\r", b"\x7f", b"\x01", b"\v", b"\f"),
    *(b"\t", b" ", b"a b", b" a", b"a ", b"-a-", b"a -b", b"ab ab"),
]


def _agree(pattern: bytes, lines: list[bytes]) -> frozenset[int] | None:
    """Fail where grep and an engine differ about the pattern or about one of the lines. Which lines match; None where
    the pattern is refused."""
    try:
        expected = grep(pattern, lines)
    except subprocess.TimeoutExpired:
        reject()
    except BadPatternError:
        with pytest.raises(RuleError):
            ere.parse(pattern)
        return None
    try:
        tree = ere.parse(pattern)
    except RuleError as error:
        assert str(error) in (LOST, MIXED), f"refused, and grep takes it: {error}"  # noqa: PT017 - the two exceptions
        return None
    _equal(pattern, lines, by_regex(tree, lines), expected, "regex")
    found = by_hyperscan(tree, lines)
    if found is not None:
        _equal(pattern, lines, found, expected, "hyperscan")
    return expected


def _equal(pattern: bytes, lines: list[bytes], found: frozenset[int], expected: frozenset[int], engine: str) -> None:
    wrong = {lines[index]: index in expected for index in found ^ expected}
    assert not wrong, f"{engine} on {pattern!r}: grep's answers are {wrong}"


@pytest.mark.slow
@pytest.mark.parametrize("subject", ODDITIES)
def test_grep_says_the_same_of(subject: str) -> None:
    for pattern in ODDITIES[subject].split():
        _agree(pattern.encode(), LINES)


# --- random rules, random lines -----------------------------------------------------------------------------

_characters = st.one_of(
    st.sampled_from("abcAB01 -_.:,=%/\\]}{^x"),
    st.characters(min_codepoint=0x20, max_codepoint=0x7E),
    st.sampled_from("\0\1\t\r\x7f\x80\xa0\xc3\xe9\xff"),
    st.characters(max_codepoint=0xFF, exclude_characters="\n"),
)
"""A byte each, as Latin-1 has them."""
_bracket_items = st.one_of(
    st.sampled_from(["a", "b", "-", "]", "[", "^", ":", ".", "=", "\\", "a-c", "0-9", "+--", "[:alpha:]", "[:space:]"]),
    st.sampled_from(
        ["[:digit:]", "[:punct:]", "[:xdigit:]", "[:cntrl:]", "[.a.]", "[=b=]", "[.-.]", "[.].]", "[:", "[="]
    ),
    _characters,
    st.builds("{}-{}".format, _characters, _characters),
)
_brackets = st.builds(
    lambda head, items: f"[{head}{''.join(items)}]",
    st.sampled_from(["", "", "^", "]", "^]", "-"]),
    st.lists(_bracket_items, max_size=4),
)
_escapes = st.sampled_from([f"\\{letter}" for letter in "wWsSbB<>`'.*[](){}|^$\\+?dn-/1"])
_atoms = st.one_of(
    st.sampled_from(["a", "b", "ab", "a", "b", ".", "^", "$", "x", " ", "{", "}", ")"]),
    _brackets,
    _escapes,
    _characters,
)
_repeats = st.sampled_from(
    ["", "", "", "", "*", "+", "?", "{2}", "{0}", "{1,2}", "{,2}", "{1,}", "{", "{,", "{1", "{2,1}", "**", "+?"]
)
_expressions = st.recursive(
    st.builds("".join, st.lists(st.builds(str.__add__, _atoms, _repeats), max_size=4)),
    lambda inner: st.one_of(
        st.builds("({}){}".format, inner, _repeats),
        st.builds("{}|{}".format, inner, inner),
        st.builds("({}|{}){}".format, inner, inner, _repeats),
        st.builds("{}{}".format, inner, inner),
    ),
    max_leaves=5,
)
_lines = st.lists(
    st.binary(max_size=8).map(lambda line: line.replace(b"\n", b""))
    | st.text("ab x-_.1\\]", max_size=6).map(str.encode),
    max_size=8,
)


HEADS = (
    rb"^\w{3} [ :[:digit:]]{11} [._[:alnum:]-]+ su: ",
    rb"^(\w{3} [ :[:digit:]]{11}|[0-9T:.+-]{32}) ([._[:alnum:]-]+) su: ",
)
LINE_HEAD = b"Nov 22 17:00:00 mail su: "
_rules = st.tuples(st.sampled_from([b"", b"", b"", *HEADS]), _expressions.map(lambda text: text.encode("latin-1")))
"""A rule in two parts: logcheck's header, where it has one, and what it says."""


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@settings(max_examples=SETS)
@given(st.lists(_rules, min_size=2, max_size=12), _lines, st.integers(0, 2**32))
def test_random_rules_mean_what_they_mean_to_grep_alone_and_together(
    part: int, rules: list[tuple[bytes, bytes]], lines: list[bytes], seed: int
) -> None:
    random = Random(seed)
    lines = [b"", b"a", b"ab", b"b a", LINE_HEAD + b"a", LINE_HEAD + b"mail", *lines]
    for head, text in rules:
        lines += [(LINE_HEAD if head else b"") + line for line in _made_for(text, random)]
    patterns = [head + text for head, text in rules]
    expected = [_agree(pattern, lines) for pattern in patterns]
    _agree_together(patterns, lines, expected)


def _rule(number: int, pattern: bytes) -> IgnoreRule | AttackRule:
    """Every third is an attack's."""
    place, text = Location("rules", number), pattern.decode("utf-8", "surrogateescape")
    if number % 3:
        return IgnoreRule(place, text, (), Dialect.GREP)
    return AttackRule(place, "rules", str(number), (), text, dialect=Dialect.GREP)


def _agree_together(patterns: list[bytes], lines: list[bytes], expected: list[frozenset[int] | None]) -> None:
    """Fail where the matcher, with all rules at once, says other things of them, line by line or in one block."""
    rules = [_rule(number, pattern) for number, pattern in enumerate(patterns)]
    ignores = tuple(rule for rule in rules if isinstance(rule, IgnoreRule))
    attacks = tuple(rule for rule in rules if isinstance(rule, AttackRule))
    names = {str(rule) if isinstance(rule, AttackRule) else str(rule.where): rule.where.line for rule in rules}
    whole = [index for index, line in enumerate(lines) if not line.endswith(b"\r")]  # or it would be none of the line's
    for portable in (False, True):
        made = matcher.compile(RuleSet(ignores, attacks), portable=portable)
        assert {each.where.line for each in made.refused} == {n for n, found in enumerate(expected) if found is None}
        found = [_classified(made, [lines[index]]) for index in whole]
        together = _classified(made, [lines[index] for index in whole])
        if any(each.notices for each in (*found, together)):  # out of time
            reject()
        for index, alone, verdict in zip(whole, found, together.verdicts, strict=True):
            wanted = {number for number, matching in enumerate(expected) if index in (matching or ())}
            context = f"{'regex' if portable else 'hyperscan'} on {patterns!r} and {lines[index]!r}"
            assert {names[name] for name in +Counter(alone.hits)} == wanted, context
            first = min((n for n in wanted if not n % 3), default=min(wanted, default=None))
            for each in (alone.verdicts[0], verdict):
                by = each.attack_by or each.ignored_by  # what logcheck's rules raise, logcheck's do not hide
                assert (by and by.where.line) == first, context
        counts = {name: len(set(whole) & (expected[number] or frozenset())) for name, number in names.items()}
        assert dict(+Counter(together.hits)) == {name: count for name, count in counts.items() if count}


def _classified(made: matcher.Matcher, lines: list[bytes]) -> Classified:
    block = b"".join(line + b"\n" for line in lines)
    return made.classify(Batch("test", block, len(lines), ""), 1e9, every=True)


def _made_for(pattern: bytes, random: Random) -> list[bytes]:
    try:
        tree = ere.parse(pattern)
    except RuleError:
        return []
    made = [example(tree, random)[:200] for _ in range(3)]
    return [*made, *(mutate(line, random) for line in made), *(b"a" + line for line in made[:1])]


# --- the rules of the Debian package logcheck-database, read where it is installed ----------------------------


def _database() -> list[bytes]:
    lines = (line for file in sorted(DATABASE.glob("*.d*/*")) for line in file.read_bytes().split(b"\n"))
    return [line for line in lines if line.strip() and not line.startswith(b"#")]


def _bundled() -> list[bytes]:
    return [line for name in BUNDLED for line in (HERE / name).read_bytes().splitlines()]


@pytest.mark.slow
@pytest.mark.skipif(not _database(), reason="the Debian package logcheck-database is not installed")
@pytest.mark.parametrize("part", range(PARTS))
def test_every_rule_of_the_database_means_what_it_means_to_grep(part: int) -> None:
    """On the bundled logs, on lines made from each rule, on near misses of these, and on lines of other rules."""
    rules = _database()[part::PARTS]
    random = Random(part)
    trees = [ere.parse(rule) for rule in rules]
    made = [[example(tree, random)[:500] for _ in range(3)] for tree in trees]
    common = [*_bundled(), *(lines[0] for lines in made[:: len(made) // 40])]
    own = [[*lines, *(mutate(line, random) for line in lines * 3)] for lines in made]
    together = Combined(trees)
    everything = [*common, *(line for lines in own for line in lines)]
    within, alone = together.scan(everything), together.scan_alone(everything)
    assert within == alone
    start = len(common)
    matched = 0
    for index, (rule, tree, mine) in enumerate(zip(rules, trees, own, strict=True)):
        lines = [*common, *mine]
        wanted = grep(rule, lines)
        matched += bool(wanted)
        _equal(rule, lines, by_regex(tree, lines), wanted, "regex")
        if index not in together.refused:
            hits = within.get(index, set())
            at_home = {hit - start + len(common) for hit in hits if start <= hit < start + len(mine)}
            _equal(rule, lines, frozenset(at_home | {hit for hit in hits if hit < len(common)}), wanted, "hyperscan")
        start += len(mine)
    assert matched > 0.99 * len(rules), "the examples do not show what rules match"
    assert len(together.refused) <= 3, "only backreferences go to the other engine"
