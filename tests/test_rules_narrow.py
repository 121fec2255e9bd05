"""No ignore rule of ours is too broad: a hidden sample with another word in it is reported, and an attack is seen.

A word of a sample is outside the placeholders where the rule that hides it spells it out at that very place. Each of
these is changed, one at a time. Classes such as [[:alnum:]] are placeholders.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import regex
from test_rules_shipped import NOW, ignore_samples, portable, program_of, said, shipped

from logwarden import ere, veto
from logwarden.ere.nodes import Alt, Capture, Cat, Group, Literal, Node, Repeat
from logwarden.model import Batch, IgnoreRule, Outcome, Provenance, Severity

pytestmark = pytest.mark.slow

WORD = re.compile(rb"[A-Za-z]{3,}")


def spelt_out(rule: IgnoreRule, message: str) -> list[tuple[int, int]]:
    """Where in a message stands what the rule spells out, as its match has it."""
    pattern = regex.compile(grouped(ere.parse(rule.regex.encode(), rule.dialect)))
    found = pattern.fullmatch(message.encode())
    assert found is not None, (str(rule.where), message)
    return [span for group in range(1, pattern.groups + 1) for span in found.spans(group)]


def grouped(node: Node) -> bytes:
    """A rule for the `regex` package, in which each literal text is a group and nothing else is."""
    match node:
        case Literal():
            return b"(%s)" % ere.emit(node, "regex")
        case Cat(parts):
            return b"".join(map(grouped, parts))
        case Alt(branches):
            return b"(?:%s)" % b"|".join(map(grouped, branches))
        case Repeat(inner, low, high):
            return b"(?:%s){%d,%s}" % (grouped(inner), low, b"" if high is None else b"%d" % high)
        case Group(_, inner) | Capture(_, inner):
            return grouped(inner)
    return ere.emit(node, "regex")


def mutants() -> list[tuple[IgnoreRule, str, str, str]]:
    """(rule, program, sample, the sample with one word changed)."""
    pairs = ignore_samples("=")
    made = []
    for (program, message), verdict in zip(pairs, said(pairs, portable()), strict=True):
        assert verdict.ignored_by is not None, message
        assert message.isascii() or set(message) & {"µ", "→"}, message
        text = message.encode()
        for start, end in spelt_out(verdict.ignored_by, message):
            for found in WORD.finditer(text, start, end):
                changed = text[: found.start()] + found[0][::-1] + b"q" + text[found.end() :]
                made.append((verdict.ignored_by, program, message, changed.decode()))
    return made


def test_a_word_changed_outside_the_placeholders_is_reported() -> None:
    made = mutants()
    assert len(made) > 3_000
    verdicts = said([(program, changed) for _, program, _, changed in made], portable())
    hidden = [
        f"{rule.where}: {changed}"
        for (rule, _, _, changed), verdict in zip(made, verdicts, strict=True)
        if verdict.outcome is Outcome.IGNORED
    ]
    assert hidden == [], "\n".join(hidden)


WORDLESS = ("exim4", "haproxy", "wg-quick")
"""They write some lines of signs and values alone."""


def test_each_hidden_sample_has_a_word_to_change() -> None:
    changed = {(program, message) for _, program, message, _ in mutants()}
    bare = [pair for pair in ignore_samples("=") if pair not in changed and WORD.search(pair[1].encode())]
    assert [pair for pair in bare if pair[0] not in WORDLESS] == []


def test_an_attack_among_what_is_normal_is_seen() -> None:
    samples = [(rule, sample) for rule in shipped().attack for sample in rule.samples]
    attacks = [(program_of(rule), sample.line) for rule, sample in samples]
    normal = ignore_samples("=")
    mixed = [pair for at, attack in enumerate(attacks) for pair in (normal[at % len(normal)], attack)]
    verdicts = said(mixed, portable())
    assert [verdict.event.message for verdict in verdicts[1::2] if not verdict.reported] == []
    alone = [rule.severity is Severity.ATTACK and not rule.requires for rule, _ in samples]
    assert {verdict.outcome for verdict in itertools.compress(verdicts[1::2], alone)} == {Outcome.ATTACK}
    assert {verdict.outcome for verdict in verdicts[::2]} == {Outcome.IGNORED}


ERRORS_ON_PURPOSE = frozenset({"openvpn"})
"""Files with a rule that says `priority: err`: the daemon calls an error what is none."""


def test_no_rule_hides_an_error_of_the_journal_unless_it_says_so_on_purpose() -> None:
    pairs = ignore_samples("=")
    block = "".join(f"Nov 22 17:00:00 host {program}[42]: {message}\n" for program, message in pairs).encode()
    for priority in range(4):
        known = (Provenance(priority=priority),) * len(pairs)
        found = veto.classify(portable(), Batch("journal", block, len(pairs), "", provenance=known), NOW)
        hidden = len(pairs) - sum(verdict.reported for verdict in found.verdicts)
        assert hidden == (1 if priority == 3 else 0), found.hits
    meant = {rule.where.file for rule in shipped().ignore if rule.worst < 4}
    assert {Path(file).stem for file in meant} == ERRORS_ON_PURPOSE


FREE = re.compile(r"^<TEXT>|<TEXT>(\)\??)*$")
"""A rule that begins or ends with what may be anything."""


def test_what_stands_before_or_behind_a_hidden_message_is_reported_with_it() -> None:
    pairs = ignore_samples("=")
    rules = [verdict.ignored_by for verdict in said(pairs, portable())]
    bound = [pair for pair, rule in zip(pairs, rules, strict=True) if rule and not FREE.search(rule.regex)]
    assert len(bound) > 550
    longer = [(program, text) for program, message in bound for text in (f"zq {message}", f"{message} failed: zq")]
    verdicts = said(longer, portable())
    assert [each.event.message for each in verdicts if each.outcome is Outcome.IGNORED] == []
