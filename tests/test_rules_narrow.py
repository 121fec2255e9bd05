"""No ignore rule of ours is too broad: a hidden sample with another word in it is reported, and an attack is seen.

A word of a sample is outside the placeholders where the rule that hides it spells it out at that very place. Each of
these is changed, one at a time. Classes such as [[:alnum:]] are placeholders. No sample has all that a rule with many
alternatives spells out, so each of them is tried on a line that is made from the rule, too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import regex
from test_rules_shipped import NOW, ignore_samples, judged, line_of, portable, program_of, said, shipped

from logwarden import ere, veto
from logwarden.ere import examples
from logwarden.ere.nodes import Alt, Capture, Cat, Group, Literal, Node, Repeat
from logwarden.model import Batch, IgnoreRule, Outcome, Provenance, Severity

pytestmark = pytest.mark.slow

WORD = re.compile(rb"[A-Za-z]{3,}")


def spelt_out(rule: IgnoreRule, text: bytes) -> list[tuple[int, int]]:
    """Where in a message, or in the line that a rule for whole lines hides, stands what the rule spells out."""
    pattern = regex.compile(grouped(ere.parse(rule.regex.encode(), rule.dialect)))
    found = pattern.fullmatch(text)
    assert found is not None, (str(rule.where), text)
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


def changed(before: bytes, spelt: bytes, behind: bytes) -> Iterator[str]:
    """The lines in which one word of what a rule spells out is another."""
    for found in WORD.finditer(spelt):
        other = spelt[: found.start()] + found[0][::-1] + b"q" + spelt[found.end() :]
        yield (before + other + behind).decode()


def mutants() -> list[tuple[IgnoreRule, tuple[str, str], str]]:
    """(rule, sample, the sample's line with one word changed)."""
    pairs = ignore_samples("=")
    made = []
    for pair, verdict in zip(pairs, said(pairs, portable()), strict=True):
        rule, line = verdict.ignored_by, line_of(*pair).encode()
        assert rule is not None, pair
        assert pair[1].isascii() or set(pair[1]) & {"µ", "→"}, pair
        at = len(line) - len(pair[1].encode()) if rule.programs else 0
        for start, end in spelt_out(rule, line[at:]):
            before, spelt, behind = line[: at + start], line[at + start : at + end], line[at + end :]
            made += [(rule, pair, each) for each in changed(before, spelt, behind)]
    return made


def reported(rules: Sequence[IgnoreRule], lines: Sequence[str]) -> None:
    """Fails where a line, which was made from one that the rule hides, is hidden."""
    hidden = [
        f"{rule.where}: {line}"
        for rule, line, verdict in zip(rules, lines, judged(lines, portable()), strict=True)
        if verdict.outcome is Outcome.IGNORED
    ]
    assert hidden == [], "\n".join(hidden)


def test_a_word_changed_outside_the_placeholders_is_reported() -> None:
    made = mutants()
    assert len(made) > 3_800
    reported([rule for rule, _, _ in made], [line for _, _, line in made])


def through(node: Node) -> Iterator[tuple[bytes, bytes, bytes]]:
    """For each text that a rule spells out, in any of its alternatives, a line that it hides: what stands before that
    text, the text, and what stands behind it."""
    match node:
        case Literal(text):
            yield b"", text, b""
        case Alt(branches):
            for branch in branches:
                yield from through(branch)
        case Group(_, inner) | Capture(_, inner):
            yield from through(inner)
        case Repeat(inner, low, _):
            more = plainest(inner) * (low - 1)
            yield from ((before, text, behind + more) for before, text, behind in through(inner))
        case Cat(parts):
            plain = [plainest(part) for part in parts]
            for at, part in enumerate(parts):
                for before, text, behind in through(part):
                    yield b"".join(plain[:at]) + before, text, behind + b"".join(plain[at + 1 :])


def plainest(node: Node) -> bytes:
    return next(examples.lines(node), b"")


def test_a_word_changed_in_any_alternative_of_a_rule_is_reported() -> None:
    """But for the rules for whole lines: a stamp that is made from a rule is none."""
    hidden, made = [], []
    for rule in shipped().ignore:
        if not rule.programs:
            continue
        header = line_of(rule.programs[0].replace("*", "x"), "").encode()
        for before, text, behind in through(ere.parse(rule.regex.encode(), rule.dialect)):
            hidden.append((rule, (header + before + text + behind).decode()))
            made += [(rule, line) for line in changed(header + before, text, behind)]
    verdicts = judged([line for _, line in hidden], portable())
    assert [line for (_, line), verdict in zip(hidden, verdicts, strict=True) if verdict.ignored_by is None] == []
    assert len(made) > 5_000
    reported([rule for rule, _ in made], [line for _, line in made])


WORDLESS = re.compile(r"exim4: [0-9: -]+ \S+ [<=]|haproxy: [0-9.:]+ \[|wg-quick: \[#\] |kernel:  [sv]d")
"""Lines of signs and values alone."""


def test_each_hidden_sample_has_a_word_to_change() -> None:
    tried = {pair for _, pair, _ in mutants()}
    bare = [pair for pair in ignore_samples("=") if pair not in tried and WORD.search(pair[1].encode())]
    assert [": ".join(pair) for pair in bare if not WORDLESS.match(": ".join(pair))] == []


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
