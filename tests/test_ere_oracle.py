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
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from logcheck_database import MISSING, how_many, installed_rules

from logwarden import ere, matcher
from logwarden.ere.backreferences import LOST, UNSETTLED, WORDS
from logwarden.ere.parser import MIXED
from logwarden.errors import RuleError
from logwarden.model import AttackRule, Batch, Classified, Dialect, IgnoreRule, Location, RuleSet

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

BUNDLED = ("demo/sample.log", "captured/hour", "captured/faults")
"""What real machines said, and one that we made up."""

PARTS = 4
TAKEN = 25 * settings().max_examples
"""Random rules that grep takes and so do we, with some 70 lines each, for each part, which a worker of its own may do:
10,000 in all in `make test`, a million in `make fuzz`, where they are others each time."""
SET = 16
"""They come in sets of eight to twenty-four: what takes long is to compile for the matcher, and to write them."""

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


NOT_TAKEN = (LOST, MIXED, UNSETTLED, WORDS)
"""Why we refuse what grep takes."""
REFUSED = "refused by both"
LATE = "grep comes to no end"


def _agree(pattern: bytes, lines: list[bytes], *, alone: bool = True) -> frozenset[int] | str:
    """Fail where grep and an engine differ about the pattern or about one of the lines. Which lines match, or why that
    is not known. `alone`: Hyperscan is to compile the rule by itself as well, which takes longer than all the rest."""
    try:
        expected = grep(pattern, lines)
    except subprocess.TimeoutExpired:
        return LATE
    except BadPatternError as error:
        if "stack overflow" in str(error):  # its own, over a rule that it took
            return LATE
        with pytest.raises(RuleError):
            ere.parse(pattern)
        return REFUSED
    try:
        tree = ere.parse(pattern)
    except RuleError as error:
        assert str(error) in NOT_TAKEN, f"refused, and grep takes it: {error}"  # noqa: PT017 - the exceptions
        return str(error)
    _equal(pattern, lines, by_regex(tree, lines), expected, "regex")
    found = by_hyperscan(tree, lines) if alone else None
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
    st.sampled_from(["[:digit:]", "[:punct:]", "[:xdigit:]", "[:cntrl:]", "[.a.]", "[=b=]", "[.-.]", "[.].]"]),
    _characters,
    st.tuples(_characters, _characters).map(lambda ends: "-".join(sorted(ends))),
    st.builds("{}-{}".format, _characters, _characters) | st.sampled_from(["[:", "[=", "[.", "c-a"]),
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
_counts = st.sampled_from(["*", "+", "?", "{2}", "{0}", "{1,2}", "{,2}", "{1,}", "{1,3}", "{,3}", "**", "+?"])
_repeats = st.one_of(
    *[st.just("")] * 7, *[_counts] * 9, st.sampled_from(["{", "{,", "{1", "{2,1}", "{a}", "{}", "{1", "{", "{"])
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
_ranges = st.builds(
    "({0}|{0}{1}){2}{3}{4}".format,
    *[st.sampled_from("ab.")] * 3,
    st.sampled_from(["?", "{1,2}", "{1,3}", "{,3}", "{2,3}"]),
    st.text("ab", min_size=2, max_size=3),
)
"""A range behind beginnings of several lengths: `regex` may take it for tried."""
_heads = st.sampled_from([b"", b"", b"", *HEADS])
_rules = st.tuples(_heads, st.one_of(*[_expressions] * 15, _ranges).map(lambda text: text.encode("latin-1")))
"""A rule in two parts: logcheck's header, where it has one, and what it says."""


@st.composite
def _references(draw: st.DrawFn) -> str:
    """`(x)R ... \\N`: groups in repetitions, in alternations, optional and in one another; places of all kinds."""
    opened, closed = 0, list[int]()

    def group(depth: int) -> str:
        nonlocal opened
        opened += 1
        number = opened
        text = branches(depth)
        closed.append(number)
        return f"({text})"

    def part(depth: int) -> str:
        kind = draw(st.integers(0, 39))
        if kind == 0:
            return draw(places)
        if kind < 10 and depth:
            return group(depth - 1) + draw(repeats)
        if kind < 16 and closed:
            return f"\\{draw(st.sampled_from(closed[-2:]))}{draw(repeats)}"
        return draw(atoms) + draw(repeats)

    def branches(depth: int) -> str:
        texts = []
        for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
            before = len(closed)
            texts.append(part(depth) + draw(st.just("") | atoms))
            del closed[before:]  # a group of one branch is none of the next one's
        return "|".join(texts)

    repeats = st.one_of(*[st.just("")] * 6, _counts)
    places = st.sampled_from(["^", "$", "\\<", "\\>", "\\b", "\\B"])
    atoms = st.sampled_from(["a", "b", "-", ".", "[ab]", "[^b]", "\\w", "ab", "a-"])
    ends = st.sampled_from([*[""] * 9, "$", "$", "\\>", "\\b"])
    begun = draw(st.sampled_from(["", "^"])) + part(0) + group(2)
    begun += draw(repeats) + part(0) + part(2)
    return f"{begun}\\{draw(st.sampled_from(closed))}{draw(repeats)}{part(1)}{draw(ends)}"


_referring = st.tuples(_heads, _references().map(str.encode))


@pytest.mark.slow
@pytest.mark.hypothesis
@pytest.mark.parametrize("part", range(PARTS))
def test_random_rules_mean_what_they_mean_to_grep_alone_and_together(part: int) -> None:
    said = _compare(_rules, part, ("taken",), TAKEN)
    taken, refused = said["taken"], sum(said[why] for why in NOT_TAKEN)
    assert taken >= TAKEN
    assert refused <= 0.02 * taken
    assert said[LATE] <= 0.005 * taken
    assert said[TOGETHER_LATE] <= 0.005 * taken


@pytest.mark.slow
@pytest.mark.hypothesis
@pytest.mark.parametrize("part", range(PARTS))
def test_random_backreferences_mean_what_they_mean_to_grep_or_are_refused(part: int) -> None:
    said = _compare(_referring, part, ("taken", *NOT_TAKEN), TAKEN // 10)
    assert said["taken"] >= TAKEN // 50, "what is refused proves nothing"


TOGETHER_LATE = "the matcher ran out of time over a set"


def _compare(
    rules: st.SearchStrategy[tuple[bytes, bytes]], part: int, counted: tuple[str, ...], wanted: int
) -> Counter[str]:
    """Fail where grep and we differ about one of the rules, of which so many are to be counted. How many were taken,
    and why the others were not. For each part they are others, but the same each time, except in `make fuzz`."""
    said: Counter[str] = Counter()

    @settings(max_examples=25)
    @given(st.lists(rules, min_size=SET // 2, max_size=SET * 3 // 2), _lines, st.integers(0, 2**32))
    def compare(rules: list[tuple[bytes, bytes]], lines: list[bytes], number: int) -> None:
        random = Random(number)
        lines = [b"", b"a", b"ab", b"b a", LINE_HEAD + b"a", LINE_HEAD + b"mail", *lines]
        for head, text in rules:
            lines += [(LINE_HEAD if head else b"") + line for line in _made_for(text, random)]
        patterns = [head + text for head, text in rules]
        answers = [(each, _agree(each, lines, alone=each == patterns[0])) for each in patterns]
        said.update("taken" if isinstance(answer, frozenset) else answer for _, answer in answers)
        kept = [(pattern, answer) for pattern, answer in answers if answer != LATE]
        expected = [answer if isinstance(answer, frozenset) else None for _, answer in kept]
        said[TOGETHER_LATE] += not _agree_together([pattern for pattern, _ in kept], lines, expected)

    for start in itertools.count(part, PARTS):
        (seed(start)(compare) if settings().derandomize else compare)()
        if sum(said[each] for each in counted) >= wanted:
            return said
    raise AssertionError


def _rule(number: int, pattern: bytes) -> IgnoreRule | AttackRule:
    """Every third is an attack's."""
    place, text = Location("rules", number), pattern.decode("utf-8", "surrogateescape")
    if number % 3:
        return IgnoreRule(place, text, (), Dialect.GREP)
    return AttackRule(place, "rules", str(number), (), text, dialect=Dialect.GREP)


def _agree_together(patterns: list[bytes], lines: list[bytes], expected: list[frozenset[int] | None]) -> bool:
    """Fail where the matcher, with all rules at once, says other things of them, line by line or in one block. Whether
    it had time enough."""
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
        if any(each.notices for each in (*found, together)):
            return False
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
    return True


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


def _bundled() -> list[bytes]:
    return [line for name in BUNDLED for line in (HERE / name).read_bytes().splitlines()]


@pytest.mark.slow
@pytest.mark.skipif(not installed_rules(), reason=MISSING)
def test_the_rules_of_the_database_are_all_that_dpkg_and_grep_see() -> None:
    assert len(installed_rules()) == how_many()


@pytest.mark.slow
@pytest.mark.skipif(not installed_rules(), reason=MISSING)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_rule_of_the_database_means_what_it_means_to_grep(part: int) -> None:
    """On the bundled logs, on lines made from each rule, on near misses of these, and on lines of other rules."""
    rules = installed_rules()[part::PARTS]
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
