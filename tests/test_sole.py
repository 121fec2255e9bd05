"""Where a message holds one address, and its rule no other word for it, no regex has to say which it is."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden import ere, rules
from logwarden.ere.nodes import Alt, Capture, Cat, Group, Literal, Node, Repeat, Set
from logwarden.errors import RuleError
from logwarden.matcher.analysis import Analysis
from logwarden.matcher.build import NOTHING
from logwarden.matcher.patterns import TIMEOUT, Pattern, text_of
from logwarden.matcher.sole import Behind, behind_text, is_whole, sole, soles
from logwarden.model import AttackRule, Dialect, Location

SHIPPED = rules.load(attack=[str(Path(__file__).parent.parent / "attack.d")]).attack
PIECES = (
    *(b"192.0.2.1", b"198.51.100.77", b"198.51.100.7", b"1.2.3.4.5", b"999.1.1.1", b"10.0.0.1:22", b"192.0.2.1%eth0"),
    *(b"2001:db8::9", b"::1", b"::ffff:192.0.2.1", b"1:2:3:4:5:6:7:8", b"12:30:45", b"-192.0.2.1", b"x192.0.2.1"),
    *(b"[192.0.2.1]:22", b" ", b":", b".", b"a", b"%", b"[", b"]", b","),
    *(b"1:2:3:4:5:6:192.0.2.1", b"192.0.2.1.", b":192.0.2.1", b"0192.0.2.1", b"fe:", b"::", b"from ", b"\xe9"),
)
ATOMS = (
    *(
        "from ",
        "from",
        " ",
        ":",
        "::",
        "fe:",
        "a",
        "1",
        ".",
        "-",
        "%",
        "[[]",
        "<USER>",
        "<NUM>",
        "<PORT>",
        "<LOGIN>",
        ".*",
    ),
    *("[a-f.:]", "[^ ]+", "[0-9]*", r"\w?", "[:.]?", r"\b", r"\<", r"\>", r"\B", "^", "$", "(, once|)", "( <PORT>)?"),
)


@pytest.mark.parametrize(
    ("regex", "whole"),
    [
        ("Failed password for <USER> from <ADDR> port <PORT>", True),
        ("<ADDR>", True),
        (r"refused \[<ADDR>\]", True),
        ("refused <ADDR>(:<PORT>)?", True),
        ("(client )?\\[?<ADDR>\\]?", True),
        (r"\b<ADDR>\b", True),
        ("ip=<ADDR>.*", False),
        ("ip=<ADDR>[.,]? bye", False),
        ("x<USER><ADDR>", False),
        ("from 1?<ADDR> port", False),
        ("port:<ADDR> x", False),
        ("from <HOST> port", False),
        ("from <ADDR> to <ADDR>", True),
        ("from (host (<ADDR>)|<ADDR> once)( again)?", True),
        ("from (host <ADDR>|nobody at (<ADDR>)?)", False),
        ("from (x<ADDR>|<ADDR>)", False),
        ("from (<ADDR>|<HOST>!)", False),
        ("from (<ADDR>|nowhere)", False),
        ("(from <ADDR> )+", True),
        ("(<ADDR>)+", False),
        (r"(a) <ADDR>\1", False),
        ("nobody", False),
    ],
)
def test_a_rule_captures_a_whole_address_where_nothing_beside_it_may_belong_to_one(regex: str, whole: bool) -> None:
    assert is_whole(ere.parse(regex.encode(), Dialect.ATTACK)) is whole


@pytest.mark.parametrize(
    ("message", "address"),
    [
        (b"Failed password for root from 192.0.2.1 port 22", b"192.0.2.1"),
        (b"from 192.0.2.1 (192.0.2.1)", b"192.0.2.1"),
        (b"from 192.0.2.1 to 192.0.2.2", None),
        (b"from 192.0.2.1, once ::1", None),
        (b"from 192.0.2.1, once 1:2:3:4:5:6:7:8", None),
        (b"from nowhere", None),
        (b"at 12:30:45 of a day, 00:11:22:33:44:55 from 192.0.2.1", b"192.0.2.1"),
        (b'{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"ip":"192.0.2.1"}', b"192.0.2.1"),
        (b"", None),
    ],
)
def test_a_message_with_one_ipv4_address_and_none_of_ipv6_has_a_sole_one(message: bytes, address: bytes | None) -> None:
    assert sole(message) == address


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map(b" ".join)))
def test_of_many_messages_the_sole_addresses_are_those_of_each(messages: list[bytes]) -> None:
    assert soles(messages) == [sole(message) for message in messages]


def test_most_shipped_rules_capture_a_whole_address() -> None:
    """It is what the shortcut is worth."""
    capturing = [rule for rule in SHIPPED if "<ADDR>" in rule.regex]
    assert sum(is_whole(Analysis(text_of(rule)).tree) for rule in capturing) > 0.9 * len(capturing)


def test_what_stands_beside_the_address_of_a_rule_with_thousands_of_parts_is_known_at_once() -> None:
    begun = time.process_time()
    assert is_whole(ere.parse(b"<ADDR> " + b"a?" * 3_000, Dialect.ATTACK))
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("regex", "text"),
    [
        ("login=<USER> rhost=<HOST>( user=<USER>)?", b" rhost="),
        ("<ADDR> refused", None),
        ("from <ADDR>:<PORT>", b"from "),
        ("from <HOST>:<PORT>", None),
        ("from <ADDR>[.]? bye", None),
        ("from <HOST>(, once|) again", b"from "),
        ("from <HOST>.*", None),
        ("from ?<HOST>", None),
        ("from (<HOST>) bye", None),
        ("from <ADDR> or <HOST>", None),
        (".*fe:<ADDR>", None),
        (".*::<HOST>", None),
        (".*[[]::<HOST>", None),
        ("nobody", None),
    ],
)
def test_what_a_rule_captures_stands_behind_a_text_where_it_ends_with_the_name(regex: str, text: bytes | None) -> None:
    behind = behind_text(ere.parse(regex.encode(), Dialect.ATTACK))
    assert (behind and behind.text) == text


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (b"rhost=192.0.2.1 user=root", b"192.0.2.1"),
        (b"rhost=mail.example.org", b"mail.example.org"),
        (b"rhost=2001:db8::9%eth0, user=root", b"2001:db8::9%eth0"),
        (b"rhost=192.0.2.1 user=x rhost=192.0.2.2", None),
        (b"rhost= user=root", None),
        (b"nothing", None),
    ],
)
def test_behind_a_text_that_stands_there_once_a_name_is_read_to_its_end(message: bytes, name: bytes | None) -> None:
    assert reader(" rhost=<HOST>( user=<USER>)?").read(b" " + message) == name


@pytest.mark.parametrize(
    ("message", "address"),
    [
        (b"from 192.0.2.1:22", b"192.0.2.1"),
        (b"from 192.0.2.1", b"192.0.2.1"),
        (b"from 192.0.2.1.3:22", None),
        (b"from 2001:db8::9:22", None),
    ],
)
def test_before_a_port_only_an_ipv4_address_is_read(message: bytes, address: bytes | None) -> None:
    assert reader("from <ADDR>(:<PORT>)?").read(message) == address


def test_texts_that_overlap_are_two() -> None:
    assert reader("from::<HOST> x").read(b"from::from::192.0.2.1 x") is None
    assert reader("-:-<HOST> x").read(b"-:-:-192.0.2.1 x") is None


def reader(regex: str) -> Behind:
    found = behind_text(ere.parse(regex.encode(), Dialect.ATTACK))
    assert found
    return found


def example(node: Node, chance: random.Random) -> bytes:
    """What `node` matches, with addresses where it lets anything stand."""
    match node:
        case Literal(text):
            return text
        case Set(bits):
            return bytes([chance.choice([byte for byte in range(256) if bits >> byte & 1])])
        case Cat(parts):
            return b"".join(example(part, chance) for part in parts)
        case Alt(branches):
            return example(chance.choice(branches), chance)
        case Repeat(Set(bits), low, None) if chance.random() < 0.7:
            text = b"".join(chance.choices(PIECES, k=chance.randint(low, low + 3)))
            return bytes(byte for byte in text if bits >> byte & 1)
        case Repeat(inner, low, high):
            return b"".join(example(inner, chance) for _ in range(chance.randint(low, min(low + 3, high or low + 3))))
        case Group(_, inner):
            return example(inner, chance)
        case Capture():
            return chance.choice((b"203.0.113.9", b"203.0.113.9", b"192.0.2.1", b"2001:db8::9", b"::1", b"1.2.3.456"))
    return b""


@pytest.mark.parametrize("part", range(8))
def test_of_every_shipped_rule_each_shortcut_finds_what_its_regex_captures(part: int) -> None:
    chance, compared = random.Random(part), 0
    for rule in SHIPPED[part::8]:
        pattern = Pattern(rule, 0, NOTHING)
        if pattern.shortcuts:
            compared += agree(rule, pattern, chance)
    assert compared > 200


def rule_of(chance: random.Random, depth: int = 0) -> str:
    """Any rule at all, most of them such as nobody would write."""
    parts = []
    for _ in range(chance.randint(1, 4 - depth)):
        kind = chance.random()
        if kind < 0.3:
            parts.append(chance.choice(("<ADDR>", "<ADDR>", "<HOST>")))
        elif kind < 0.45 and depth < 3:
            branches = (rule_of(chance, depth + 1) for _ in range(chance.randint(1, 3)))
            parts.append(f"({'|'.join(branches)}){chance.choice(('', '', '?', '{2}', '{1,2}'))}")
        else:
            parts.append(chance.choice(ATOMS))
    return "".join(parts)


@pytest.mark.parametrize("part", range(4))
def test_of_any_rule_each_shortcut_finds_what_its_regex_captures(part: int) -> None:
    chance, compared = random.Random(part), 0
    for text in (rule_of(chance) for _ in range(400)):
        rule = AttackRule(Location("x.yaml", 1), "x.yaml", "x", ("x",), text)
        pattern = Pattern(rule, 0, NOTHING)
        if "<ADDR>" in text or "<HOST>" in text:
            with contextlib.suppress(TimeoutError, RuleError):
                compared += agree(rule, pattern, chance) if pattern.shortcuts else 0
    assert compared > 200


def agree(rule: AttackRule, pattern: Pattern, chance: random.Random) -> int:
    """How many lines that a rule matches both were asked of."""
    analysis, compared = Analysis(text_of(rule)), 0
    matches = analysis.regex()
    lines = [sample.line.encode() for sample in rule.samples]
    lines += [example(analysis.tree, chance) for _ in range(60)]
    for line in lines:
        at = chance.randrange(len(line) + 1)
        for message in (line, line[:at] + chance.choice(PIECES) + line[at:]):
            if b"\n" in message or not matches.fullmatch(message, timeout=TIMEOUT):
                continue
            for (found,) in (read([message]) for read in pattern.shortcuts):
                if found is not None:
                    assert pattern.capture(message) == found, (rule, message)
                    compared += 1
    return compared
