"""A rule means to both engines what it means to `LC_ALL=C grep -E --text`: line by line, and in blocks."""

from __future__ import annotations

import itertools
import subprocess
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

from logwarden import ere
from logwarden.ere.parser import LOST, MIXED
from logwarden.errors import RuleError

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

DATABASE = Path("/etc/logcheck")
BUNDLED = ("demo/sample.log", "captured/hour", "captured/faults")
"""What real machines said, and one that we made up."""

PARTS = 4
EXAMPLES = 25 * settings().max_examples
"""For each part, which a worker of its own may do: 10,000 rules with some 20 lines each in `make test`, a million in
`make fuzz`."""

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


def _agree(pattern: bytes, lines: list[bytes]) -> None:
    """Fail where grep and an engine differ about the pattern or about one of the lines."""
    try:
        expected = grep(pattern, lines)
    except subprocess.TimeoutExpired:
        reject()
    except BadPatternError:
        with pytest.raises(RuleError):
            ere.parse(pattern)
        return
    try:
        tree = ere.parse(pattern)
    except RuleError as error:
        assert str(error) in (LOST, MIXED), f"refused, and grep takes it: {error}"  # noqa: PT017 - the two exceptions
        return
    _equal(pattern, lines, by_regex(tree, lines), expected, "regex")
    found = by_hyperscan(tree, lines)
    if found is not None:
        _equal(pattern, lines, found, expected, "hyperscan")


def _equal(pattern: bytes, lines: list[bytes], found: frozenset[int], expected: frozenset[int], engine: str) -> None:
    wrong = {lines[index]: index in expected for index in found ^ expected}
    assert not wrong, f"{engine} on {pattern!r}: grep's answers are {wrong}"


@pytest.mark.slow
@pytest.mark.parametrize("subject", ODDITIES)
def test_grep_says_the_same_of(subject: str) -> None:
    for pattern in ODDITIES[subject].split():
        _agree(pattern.encode(), LINES)


# --- random rules, random lines -----------------------------------------------------------------------------

_characters = st.sampled_from("abcAB01 -_.:,=%/\\]}{^x") | st.characters(min_codepoint=0x20, max_codepoint=0x7E)
_bracket_items = st.one_of(
    st.sampled_from(["a", "b", "-", "]", "[", "^", ":", ".", "=", "\\", "a-c", "0-9", "+--", "[:alpha:]", "[:space:]"]),
    st.sampled_from(
        ["[:digit:]", "[:punct:]", "[:xdigit:]", "[:cntrl:]", "[.a.]", "[=b=]", "[.-.]", "[.].]", "[:", "[="]
    ),
    _characters,
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


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@settings(max_examples=EXAMPLES)
@given(_expressions, _lines, st.integers(0, 2**32))
def test_a_random_rule_means_what_it_means_to_grep(part: int, rule: str, lines: list[bytes], seed: int) -> None:
    pattern = rule.replace("\n", "").encode("latin-1")
    random = Random(seed)
    _agree(pattern, [b"", b"a", b"ab", b"b a", *lines, *_made_for(pattern, random)])


def _made_for(pattern: bytes, random: Random) -> list[bytes]:
    try:
        tree = ere.parse(pattern)
    except RuleError:
        return []
    made = [example(tree, random) for _ in range(4)]
    return [
        line[:200] for line in (*made, *(mutate(line, random) for line in made), *(b"a" + line for line in made[:2]))
    ]


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
