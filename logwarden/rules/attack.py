"""The YAML of an attack file -> its AttackRules. `attack.schema.json` says what a file may hold.

Fails: by a Refusal for each problem, at its line. A rule with a problem is refused and the others stay in force; a
policy with a problem leaves its rules with the config's default policy; a file without `program` is refused whole.
Whether a rule's regex and samples are any good is the audit's affair.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from .. import document, duration
from ..document import Document
from ..errors import ConfigError
from ..model import AttackRule, Location, Policy, Refusal, Sample, Severity

_OF_RULE = re.compile(r"rules\[([0-9]+)\]")


def parse(content: bytes, file: str) -> tuple[list[AttackRule], list[Refusal]]:
    """The rules of a file, and what is wrong with it. An empty file has no rules and nothing wrong."""
    if not content.strip():
        return [], []
    try:
        given = document.parse(content, file)
    except ConfigError as error:
        return [], [_located(str(error), file)]
    if given.data is None:
        return [], []
    problems = given.problems(schema())
    if any(not _of_part(problem) for problem in problems):
        return [], problems
    bad = {int(found[1]) for problem in problems if (found := _OF_RULE.match(problem.why))}
    return _rules(given, bad, problems), problems


@functools.cache
def schema() -> Mapping[str, Any]:
    """The JSON Schema of an attack file."""
    text = resources.files(__package__).joinpath("attack.schema.json").read_text("utf-8")
    return json.loads(text)  # type: ignore[no-any-return] # our own file


def _of_part(problem: Refusal) -> bool:
    """Whether a problem leaves the rest of its file usable: one rule's, the policy's, or a key that is unknown."""
    return problem.why.startswith(("rules[", "policy")) or ": unknown key" in problem.why


def _located(text: str, file: str) -> Refusal:
    """What `document` says of a file that is no YAML, `file:line: why`, as a Refusal."""
    line, _, why = text.removeprefix(f"{file}:").partition(": ")
    return Refusal(Location(file, int(line)), why)


def _rules(given: Document, bad: set[int], problems: list[Refusal]) -> list[AttackRule]:
    data = given.data
    program = data["program"]
    programs = (program,) if isinstance(program, str) else tuple(dict.fromkeys(program))
    policy = None
    try:
        if not any(problem.why.startswith("policy") for problem in problems):
            policy = _policy(data.get("policy"))
    except ValueError as error:
        problems.append(Refusal(given.where(("policy",)), f"policy: {error}"))
    return [
        _rule(rule, given.where(("rules", index)), programs, policy)
        for index, rule in enumerate(data["rules"])
        if index not in bad
    ]


def _policy(data: Mapping[str, Any] | None) -> Policy | None:
    if data is None:
        return None
    return Policy(data["threshold"], duration.parse(data["window"]), duration.parse(data["ban"]))


def _rule(data: Mapping[str, Any], where: Location, programs: tuple[str, ...], policy: Policy | None) -> AttackRule:
    return AttackRule(
        where=where,
        file=os.path.basename(where.file),
        id=data["id"],
        programs=programs,
        regex=data["match"],
        score=data.get("score", 1),
        severity=Severity(data.get("severity", "attack")),
        aggressive=data.get("aggressive", False),
        policy=policy,
        samples=tuple(Sample(sample["line"], sample.get("address")) for sample in data["samples"]),
        near_misses=tuple(data.get("near_misses", ())),
    )
