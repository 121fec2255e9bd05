"""A rule behind a gate sees each line that it can match: what stands at the gate is in all of them."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from grep_oracle import example
from hypothesis import given
from hypothesis import strategies as st

from logwarden import ere, matcher, rules
from logwarden.matcher import gate
from logwarden.matcher.analysis import Analysis
from logwarden.matcher.build import Way, build
from logwarden.matcher.patterns import text_of
from logwarden.model import AttackRule, Batch, IgnoreRule, Location, RuleSet

ROOT = Path(__file__).resolve().parents[1]
NOW = 1_795_366_800.0

pieces = st.sampled_from(
    ["Failed ", "abcde", "abc", "a", "b*", "[ab]", "(abcd|bcdef)", "(a|)", r"\<a", ".*", "(abcde)?", "(abcd){2}", "|"]
)


def attack(regex: str) -> AttackRule:
    return AttackRule(Location("x.yaml", 1), "x.yaml", "r", ("sshd",), regex)


@given(st.lists(pieces, max_size=7).map("".join), st.integers(0, 2**32))
def test_one_of_its_texts_stands_in_whatever_a_rule_matches(regex: str, seed: int) -> None:
    tree, random = ere.parse(regex.encode()), Random(seed)
    texts = gate.texts(tree)
    if texts is None:
        return
    for line in (example(tree, random) for _ in range(20)):
        assert any(text in line for text in texts)
        assert min(map(len, texts)) >= gate.SHORTEST


@pytest.mark.parametrize(
    ("regex", "texts"),
    [
        ("Failed password for <USER> from <ADDR>", {b"Failed password for "}),
        ("Connection (closed|reset) by <ADDR>", {b"Connection closed by ", b"Connection reset by "}),
        ("<USER>: (no such user|wrong password)", {b": no such user", b": wrong password"}),
        ("(from|by) <ADDR>", None),
        ("(abcdefgh)*<ADDR>", None),
        ("[0-9]+ <ADDR>", None),
    ],
)
def test_the_longest_text_is_what_a_rule_needs(regex: str, texts: set[bytes] | None) -> None:
    assert gate.texts(ere.parse(regex.encode(), ere.Dialect.ATTACK)) == texts


def test_of_two_texts_of_which_one_holds_the_other_the_shorter_is_looked_for() -> None:
    found = gate.expressions([frozenset({b"abcde", b"xyzz"}), frozenset({b"xxabcdexx"}), frozenset({b"a.b*"})])
    assert found == [rb"a\.b\*", b"abcde", b"xyzz"]


def test_each_sample_of_ours_holds_what_its_rule_needs() -> None:
    for rule in rules.load(attack=[str(ROOT / "attack.d")]).attack:
        texts = Analysis(text_of(rule)).needs
        for sample in rule.samples:
            assert texts is None or any(text in sample.line.encode() for text in texts), rule


def test_all_but_a_few_of_ours_are_behind_the_gate() -> None:
    ours = rules.load(attack=[str(ROOT / "attack.d")]).attack
    assert [rule.id for rule in ours if Analysis(text_of(rule)).needs is None] == ["web-attack-injection"]


def test_an_ignore_rule_has_no_gate() -> None:
    assert Analysis(text_of(IgnoreRule(Location("x.rules", 1), "Failed password", ("sshd",)))).needs is None


def test_a_rule_that_hyperscan_refuses_takes_nobody_his_gate() -> None:
    pytest.importorskip("logwarden.matcher._hyperscan", reason="logwarden was built without Hyperscan")
    refused = IgnoreRule(Location("x.rules", 1), r"a\bb", (), ere.Dialect.GREP)
    built = build([text_of(refused), text_of(attack("Failed password for <USER> from <ADDR>"))], portable=False)
    assert [row.way for row in built.rows][1] is Way.GATED
    assert all((built.databases.gated, built.databases.gate))


@pytest.mark.parametrize("portable", [False, True])
def test_with_the_gate_or_without_the_same_lines_are_attacks(portable: bool) -> None:
    given = RuleSet(
        (IgnoreRule(Location("x.rules", 1), "Failed .*|.*ab", ("sshd",)),),
        (attack("Failed password for <USER> from <ADDR>"), attack("[0-9]+ <ADDR>")),
    )
    messages = ["Failed password for a from 192.0.2.1", "Failed b", "7 192.0.2.2", "7", "xab", "Failed password for a"]
    heads = ["Nov 22 17:00:00 m sshd[7]: ", "<38>1 2026-11-22T17:00:00Z m sshd 7 - - ", "Nov 22 17:00:00 m su: "]
    lines = [head + message for head in heads for message in messages]
    block = "".join(f"{line}\n" for line in lines).encode()
    found = matcher.compile(given, portable=portable).classify(Batch("x", block, len(lines), ""), NOW, every=True)
    ours = ["192.0.2.1", None, "192.0.2.2", None, None, None]
    assert [each.address for each in found.verdicts] == [*ours, *ours, *(None for _ in messages)]
