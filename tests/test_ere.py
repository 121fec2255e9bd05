"""The rule language beyond grep's: placeholders, what is captured, and what is refused before it costs anything."""

from __future__ import annotations

import functools
import ipaddress
import time
from collections.abc import Callable
from random import Random

import pytest
import regex
from grep_oracle import by_hyperscan, by_regex, example, hyperscan_database, hyperscan_matches
from hypothesis import given
from hypothesis import strategies as st

from logwarden import ere
from logwarden.ere import Dialect, nodes
from logwarden.ere.parser import MAX_DEPTH, MAX_LENGTH
from logwarden.errors import RuleError


def matches(rule: str, line: str, dialect: Dialect = Dialect.IGNORE) -> bool:
    """Whether the whole line matches, as both engines see it."""
    tree = ere.parse(f"^({rule})$".encode(), dialect)
    found = by_regex(tree, [line.encode()])
    assert by_hyperscan(tree, [line.encode()]) in (found, None)
    return bool(found)


@functools.cache
def _attack(rule: str) -> regex.Pattern[bytes]:
    return regex.compile(ere.emit(ere.parse(f"^({rule})$".encode(), Dialect.ATTACK), "capture"), regex.MULTILINE)


def captured(rule: str, line: str) -> str | None:
    """The address that an attack rule takes from a message; None where it does not match."""
    found = _attack(rule).search(line.encode(), timeout=1)
    return found["addr"].decode() if found else None


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("from <ADDR>", "from 192.0.2.1"),
        ("from <ADDR>", "from 2001:db8::1"),
        ("from <ADDR>", "from fe80::1%eth0"),
        ("from <ADDR>", "from ::ffff:192.0.2.1"),
        ("from <ADDR>", "from ::"),
        ("from <ADDR>", "from 2001:db8:0:1:2:3:4:5"),
        ("from <HOST>", "from host-1.example.net"),
        ("for <USER>", "for alice@example.net"),
        ("port <PORT>", "port 65535"),
        ("<NUM> bytes", "1234567890123 bytes"),
        ("id <HEX>", "id 0xDEADbeef"),
        ("id <UUID>", "id 123e4567-e89b-12d3-a456-426614174000"),
        ("open <PATH>", "open /srv/www/a"),
        ("said <WORD>", "said --x=1"),
        ("said <TEXT>", "said whatever it is, or nothing"),
        (r"\d+ \d", "10 1"),
        ("<<NUM>>", "<5>"),
        ("[<]NULL>", "<NULL>"),
    ],
)
def test_a_placeholder_stands_for_its_kind_of_value(rule: str, line: str) -> None:
    assert matches(rule, line)


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("from <ADDR>", "from host"),
        ("from <ADDR>", "from 192.0.2"),
        ("from <ADDR>", "from 1:2"),
        ("at <ADDR>", "at 12:30:45"),
        ("from <ADDR>", "from 2001:db8::1:"),
        ("from <ADDR>", "from 1::2::3"),
        ("for <USER>", "for a b"),
        ("for <USER>", "for "),
        ("port <PORT>", "port 123456"),
        ("open <PATH>", "open srv"),
        ("<NUM>", "1\u0661"),
    ],
)
def test_a_placeholder_stands_for_nothing_else(rule: str, line: str) -> None:
    assert not matches(rule, line)


def test_a_user_of_an_attack_rule_may_be_anything_at_all() -> None:
    rule = "Invalid user <USER> from <ADDR> port <PORT>"
    for name in ("", "a b", "x from 198.51.100.1 port 1", "\u00e9\x1b"):
        line = f"Invalid user {name} from 192.0.2.1 port 22"
        assert matches(rule, line, Dialect.ATTACK)
        assert captured(rule, line) == "192.0.2.1"
    assert not matches(rule, "Invalid user a b from 192.0.2.1 port 22", Dialect.IGNORE)


def test_a_misspelt_placeholder_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RuleError, match=r"unknown placeholder <ADRR>.*<ADDR> <HOST>"):
        ere.parse(b"from <ADRR>", Dialect.ATTACK)


def test_grep_has_no_placeholders_and_no_digits() -> None:
    assert matches("<ADDR>", "<ADDR>", Dialect.GREP)
    assert matches(r"\d", "d", Dialect.GREP)


def test_parentheses_of_a_placeholder_do_not_count_for_backreferences() -> None:
    # group 1 is the one that `matches` adds
    assert matches(r"<ADDR> (a|b)\2", "192.0.2.1 aa")
    assert not matches(r"<ADDR> (a|b)\2", "192.0.2.1 ab")


# --- what is captured ---------------------------------------------------------------------------------------

ADDRESSES = st.ip_addresses().map(str) | st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}")


@pytest.mark.parametrize(
    "rule",
    ["from <ADDR> port <PORT>", ".*<ADDR>.*", ".* ?<ADDR>( port <PORT>)?", ".*[ =]<ADDR>.*", "(from |to )<ADDR>.*"],
)
@given(address=ADDRESSES)
def test_an_address_is_captured_whole_wherever_free_text_stands(rule: str, address: str) -> None:
    assert captured(rule, f"from {address} port 4242") == address


@given(address=st.ip_addresses(v=4).map(str))
def test_an_address_behind_a_colon_is_captured_where_it_is_no_tail_of_another(address: str) -> None:
    assert captured("user .*:<ADDR>", f"user alice@example.net:{address}") == address


@pytest.mark.parametrize(
    "line",
    [
        "x 192.0.2.1.5",
        "x 1192.0.2.1",
        "x 192.0.2.1234",
        "x 192.0.2.1.example.net",
        "x64:ff9b::192.0.2.1",
        "x 192.0.2.1a",
    ],
)
def test_part_of_something_longer_is_no_address(line: str) -> None:
    assert captured(".*<ADDR>.*", line) in (None, "64:ff9b::192.0.2.1")


@given(st.text(st.sampled_from("0123456789abcdef:.% x"), max_size=24))
def test_what_is_captured_beside_free_text_stands_alone_in_the_line(line: str) -> None:
    found = _attack(".*<ADDR>.*").search(line.encode(), timeout=1)
    if found is not None:
        start, end = found.span("addr")
        assert not line[:start][-1:].isalnum()
        assert not line[end:][:1].isalnum()
        assert line[:start][-1:] != "."


def test_hyperscan_proposes_wherever_the_regex_engine_captures() -> None:
    tree = ere.parse(b".*<ADDR>.*", Dialect.ATTACK)
    random = Random(1)
    lines = [example(tree, random) for _ in range(200)]
    proposed = by_hyperscan(tree, lines)
    assert proposed is not None
    assert by_regex(tree, lines) <= proposed


def test_an_ignore_rule_captures_nothing() -> None:
    assert b"addr" not in ere.emit(ere.parse(b"from <ADDR>", Dialect.IGNORE), "capture")


# --- what is emitted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", [r"[^a]", r"\W", r"\S", ".", r"[^[:alpha:]]", "[\x01-\xff]", r"[^^]", r"a\s*b", "(.|x)*"]
)
@pytest.mark.parametrize("engine", ["hyperscan", "regex"])
def test_nothing_that_is_emitted_matches_a_newline(rule: str, engine: ere.Engine) -> None:
    emitted = ere.emit(ere.parse(f"a{rule}b".encode("latin-1")), engine)
    block = b"a\nb\na\n\nb"
    if engine == "regex":
        assert not regex.search(emitted, block, regex.MULTILINE)
    else:
        assert not hyperscan_matches(hyperscan_database([emitted]), block)


@pytest.mark.parametrize("rule", [r"(a)\1", r"\<", r"a*\>", r"a^b", "[^\x01-\xff\x00]"])
def test_what_hyperscan_cannot_take_is_said_so_that_the_other_engine_does(rule: str) -> None:
    tree = ere.parse(rule.encode("latin-1"))
    with pytest.raises(ere.UnsupportedError):
        ere.emit(tree, "hyperscan")
    regex.compile(ere.emit(tree, "regex"))


@pytest.mark.parametrize("rule", [r"\<cron\>", r"\<[ab]+\>", r"(\<a|\<b)c", r"a (x\`b|c)$"])
def test_hyperscan_takes_what_neighbours_make_clear(rule: str) -> None:
    ere.emit(ere.parse(rule.encode()), "hyperscan")


# --- what can be said of a rule without an engine -------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", ["", "x?", "^x?", "^$", ".*", "a*b*", "(a|)", "|a", r"\B", "(a?){3}", "a{0}", "<TEXT>"]
)
def test_a_rule_that_can_match_an_empty_line_is_recognised(rule: str) -> None:
    tree = ere.parse(rule.encode(), Dialect.IGNORE)
    assert ere.can_match_empty(tree)
    assert by_regex(tree, [b""])


@pytest.mark.parametrize("rule", ["a", "^a?b$", ".+", r"\b", r"\<", "(a|b)", "a{1,3}", r"(a)\1", "<USER>"])
def test_a_rule_that_needs_a_byte_is_no_empty_one(rule: str) -> None:
    tree = ere.parse(rule.encode(), Dialect.IGNORE)
    assert not ere.can_match_empty(tree)
    assert not by_regex(tree, [b""])


def test_the_required_text_stands_in_every_line_that_matches() -> None:
    random = Random(2)
    for rule in ("abc.*de", "(abc|x)de", "(abc)+x", "(abc)?x", "a|b", "[a]bc", "x{2}yz"):
        tree = ere.parse(rule.encode())
        assert all(ere.required_text(tree) in example(tree, random) for _ in range(50))
    assert ere.required_text(ere.parse(b"^a session of (x+) opened")) == b"a session of "


# --- hostile rules ------------------------------------------------------------------------------------------

HOSTILE: dict[str, Callable[[], str]] = {
    "nested intervals": lambda: "(((a{100}){100}){100}){100}",
    "the largest intervals in one another": lambda: "(a{32767}){32767}",
    "an interval of many digits": lambda: "a{" + "9" * 60_000 + "}",
    "many parentheses": lambda: "(" * 30_000 + ")" * 30_000,
    "many that stay open": lambda: "(" * 60_000,
    "repetitions of one another": lambda: "a" + "{2,}" * 10_000,
    "repetitions of groups of one another": lambda: "(" * 40 + "a" + "{2,}){1,2}{1,2}{1,2}{1,2}" * 40,
    "a long rule": lambda: "a" * (MAX_LENGTH + 1),
    "a newline": lambda: "a\nb",
    "a bracket that stays open": lambda: "[" * 60_000,
    "a class name that does not end": lambda: "[[:" + "a" * 60_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_rule_is_refused_before_it_costs_anything(name: str) -> None:
    started = time.process_time()
    with pytest.raises(RuleError):
        ere.parse(HOSTILE[name]().encode())
    assert time.process_time() - started < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule",
    [
        "a" * 10_000,
        "(a|b)" * 2_000,
        "a*" * 5_000,
        "[[:alpha:]]" * 900,
        "(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH,
        "a|" * 5_000 + "b",
        "*" * 10_000 + "a",
        "^" + "*" * 10_000 + "a",
        "a" + "*+?" * 3_000,
        "(a|b(" * 8 + "c" + ")*d)+" * 8,
    ],
)
def test_a_rule_of_ten_thousand_characters_is_read_and_written(rule: str) -> None:
    tree = ere.parse(rule.encode())
    assert nodes.size(tree) <= 20_000
    for engine in ("regex", "hyperscan"):
        ere.emit(tree, engine)


@given(st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=60), st.sampled_from(Dialect))
def test_any_text_at_all_is_a_rule_or_a_rule_error(text: str, dialect: Dialect) -> None:
    try:
        tree = ere.parse(text.encode("latin-1"), dialect)
    except RuleError:
        return
    regex.compile(ere.emit(tree, "regex"), regex.MULTILINE, cache_pattern=False)


ADDRESS = ere.parse(b"^<ADDR>$", Dialect.IGNORE)


def test_addresses_of_all_spellings_are_addresses() -> None:
    random = Random(5)
    bits = (random.getrandbits(128) & random.getrandbits(128) & random.getrandbits(128) for _ in range(500))
    addresses = [ipaddress.IPv6Address(each) for each in bits]
    texts = [text for each in addresses for text in (each.compressed, each.exploded, each.compressed.upper())]
    lines = [text.encode() for text in texts]
    assert by_regex(ADDRESS, lines) == frozenset(range(len(lines)))


@given(st.lists(st.text(st.sampled_from("0123456789af:"), max_size=20), min_size=20))
def test_text_of_digits_and_colons_is_an_address_with_seven_colons_or_a_double_one(texts: list[str]) -> None:
    for index in by_regex(ADDRESS, [text.encode() for text in texts]):
        assert texts[index].count(":") == 7 or "::" in texts[index]
        assert ":::" not in texts[index]
