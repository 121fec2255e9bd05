"""The logs that shipped attack files know: a line as the program writes it there is an attack by its address."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from logwarden import manner, matcher, rules
from logwarden.matcher import Matcher
from logwarden.model import Batch, Manner, Outcome, Preset, RuleSet

ATTACK_D = Path(__file__).parent.parent / "attack.d"
WRITTEN = 1_795_366_800.0
NOW = WRITTEN + 3_600.0

LINES = Path(__file__).with_name("preset_lines.txt").read_text().splitlines()[1:]
CASES = [tuple(line.split("|", 1)) for line in LINES]
UNDATED = {"/var/log/ispconfig/auth.log", "/var/log/redmine/*/production.log", "/var/log/tomcat*/catalina.out"}
"""Logs whose lines have no date, or one behind a user's name alone: a line counts as of when it is read, and one of a
backlog as of when the log was read last."""


@functools.cache
def shipped() -> RuleSet:
    found = rules.load(attack=[str(ATTACK_D)], aggressive=True)
    assert found.refused == ()
    return found


@functools.cache
def made() -> Matcher:
    return matcher.compile(RuleSet(attack=shipped().attack), portable=True)


def known(path: str) -> Preset:
    return next(preset for preset in shipped().presets if preset.path == path)


@pytest.mark.parametrize(("path", "line"), CASES, ids=[f"{n}-{path}" for n, (path, _) in enumerate(CASES)])
def test_a_line_as_it_stands_in_the_log_is_an_attack(path: str, line: str) -> None:
    preset = known(path)
    said = Manner(alone=True, time=preset.time)
    batch = Batch(f"file:{path}", f"{line}\n".encode(), 1, "", preset.program, manner=said)
    (found,) = manner.dated(made().classify(batch, NOW), said, NOW).verdicts
    assert (found.outcome, found.address) == (Outcome.ATTACK, "203.0.113.9")
    assert (found.event.time is None) == (path in UNDATED)
    assert found.event.time is None or abs(found.event.time - WRITTEN) < 86_400  # where there is no zone, it is local


def test_no_log_is_known_twice() -> None:
    paths = [preset.path for preset in shipped().presets]
    assert len(paths) == len(set(paths))


def test_each_log_is_of_a_program_that_a_rule_is_for() -> None:
    programs = {name for rule in shipped().attack for name in rule.programs}
    assert [preset for preset in shipped().presets if preset.program not in programs] == []


def test_a_log_whose_rules_are_not_in_force_is_not_read() -> None:
    ordinary = rules.load(attack=[str(ATTACK_D)])
    assert "ids.yaml" not in {preset.file for preset in ordinary.presets}
    assert "ids.yaml" in {preset.file for preset in shipped().presets}
