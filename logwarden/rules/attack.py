"""The YAML of an attack file -> its AttackRules and Presets. `attack.schema.json` says what a file may hold.

Fails: by a Refusal for each problem, at its line. A rule or preset with a problem is refused and the others stay in
force; a policy with a problem leaves its rules with the config's default policy; a file without `program` is refused
whole.
Whether a rule's regex and samples are any good is the audit's affair.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import document, duration
from ..blake2 import blake2b
from ..document import Document
from ..errors import ConfigError, RuleError
from ..memory import Memory
from ..model import AttackRule, Location, Policy, Preset, Refusal, Sample, Severity
from . import fields

_WHO = ("<ADDR>", "<HOST>")
_GLOB = re.compile(r"[*?\[(]")
_OF_PART = re.compile(r"(rules|files)\[([0-9]+)\]")


def parse(content: bytes, file: str, memory: Memory | None = None) -> tuple[list[AttackRule], list[Refusal]]:
    """The rules of a file, and what is wrong with it. An empty file has no rules and nothing wrong."""
    found = _examined(content, memory or Memory())
    policy = Policy(*found["policy"]) if found["policy"] else None
    rules = [_rule(data, Location(file, line), tuple(found["programs"]), policy) for line, data in found["rules"]]
    return rules, [Refusal(Location(file, line), why) for line, why in found["problems"]]


def presets(content: bytes, file: str, memory: Memory | None = None) -> list[Preset]:
    """The log files that a file knows; what is wrong with them is among the refusals of `parse`."""
    found = _examined(content, memory or Memory())
    return [
        Preset(Location(file, line), os.path.basename(file), data["path"], program, time, data.get("journal", False))
        for line, data, program, time in found["presets"]
    ]


def _examined(content: bytes, memory: Memory) -> dict[str, Any]:
    digest = blake2b(content, digest_size=32).hexdigest()
    return memory.recall("attack file", digest, functools.partial(_examine, content))


@functools.cache
def schema() -> Mapping[str, Any]:
    """The JSON Schema of an attack file."""
    text = Path(__file__).with_name("attack.schema.json").read_text("utf-8")
    return json.loads(text)  # type: ignore[no-any-return] # our own file


def _examine(content: bytes) -> dict[str, Any]:
    """What a file says, as plain data: `programs`, `policy`; `rules` and `presets` that are good and `problems`, with
    their lines."""
    nothing: dict[str, Any] = {"programs": [], "policy": None, "rules": [], "presets": [], "problems": []}
    try:
        given = document.parse(content, "")
    except ConfigError as error:
        line, _, why = str(error).removeprefix(":").partition(": ")
        return {**nothing, "problems": [(int(line), why)]}
    if given.data is None:
        return nothing
    problems = given.problems(schema())
    if any(not _of_part(problem) for problem in problems):
        return {**nothing, "problems": _plain(problems)}
    problems += _without_regex(given, _refused(problems))
    problems += _unmet(given, _refused(problems))
    problems += _unresolved(given, _refused(problems))
    programs, bad = _several(given.data["program"]), _refused(problems)
    plain = next((name for name in programs if not _GLOB.search(name)), None)
    logs = _logs(given, problems, plain)
    return {
        "programs": list(programs),
        "policy": _policy(given, problems),
        "rules": [
            (given.where(("rules", index)).line, rule)
            for index, rule in enumerate(given.data["rules"])
            if index not in bad
        ],
        "presets": [
            (given.where(("files", index)).line, log, log.get("program", plain), _time(log))
            for index, log in logs.items()
            if index not in _refused(problems, "files")
        ],
        "problems": _plain(problems),
    }


def _refused(problems: list[Refusal], kind: str = "rules") -> set[int]:
    """The indices of the rules, or `files`, with a problem."""
    found = (_OF_PART.match(each.why) for each in problems)
    return {int(each[2]) for each in found if each and each[1] == kind}


def _logs(given: Document, problems: list[Refusal], program: str | None) -> dict[int, Mapping[str, Any]]:
    """The `files` that the schema takes, by index; `problems` gets what else is wrong with them. `program` is theirs
    who name none."""
    bad, whole = _refused(problems, "files"), any(each.why.startswith("files: ") for each in problems)
    logs = {at: log for at, log in enumerate(given.data.get("files", ())) if at not in bad} if not whole else {}
    for index, log in logs.items():
        where, name = given.where(("files", index)), f"files[{index}]"
        if "time" in log and log.get("format") != "json":
            problems.append(Refusal(where, f"{name}.time: goes with format json alone"))
        if "program" not in log and program is None:
            problems.append(Refusal(where, f"{name}: needs program: the file's own are globs"))
    return logs


def _time(log: Mapping[str, Any]) -> str | None:
    return log.get("time", "time") if log.get("format") == "json" else None


def _without_regex(given: Document, bad: Collection[int]) -> Iterator[Refusal]:
    """What is wrong with `match` and `fields` of the rules that are not `bad`; the others have a `match` then."""
    for index, rule in enumerate(given.data["rules"]):
        if index in bad:
            continue
        why = None
        if ("match" in rule) == ("fields" in rule):
            why = f"rules[{index}]: " + ("has both match and fields" if "match" in rule else "needs match or fields")
        elif "fields" in rule:
            try:
                rule["match"] = fields.regex(rule["fields"])
            except RuleError as error:
                why = f"rules[{index}].{error}"
        if why:
            yield Refusal(given.where(("rules", index)), why)


def _unmet(given: Document, bad: Collection[int]) -> Iterator[Refusal]:
    """What is wrong with `requires`: in the rules that are not `bad`, and against these."""
    rules = {rule["id"]: rule for index, rule in enumerate(given.data["rules"]) if index not in bad}
    for index, rule in enumerate(given.data["rules"]):
        if index not in bad and (why := _why_unmet(rule, rules)):
            yield Refusal(given.where(("rules", index)), f"rules[{index}].{why}")


def _why_unmet(rule: Mapping[str, Any], rules: Mapping[str, Mapping[str, Any]]) -> str | None:
    names = _several(rule.get("requires", ()))
    if not names:
        return None
    if "severity" in rule:
        return "severity: a rule that requires others is an attack, or nothing"
    if missing := [name for name in names if name not in rules or rules[name] is rule]:
        return f"requires: no other rule of this file has the id {missing[0]}"
    if strange := [name for name in names if rules[name].get("severity") != "context"]:
        return f"requires: {strange[0]} is no rule of severity context"
    texts = [each["match"] for each in (rule, *(rules[name] for name in names))]
    if not any(placeholder in text for text in texts for placeholder in _WHO):
        return "requires: neither the rule nor one that it requires names a source: <ADDR> or <HOST>"
    if any(sample.get("after") is None for sample in rule["samples"]):
        return "samples: a rule that requires others says in `after` what comes before its sample"
    return None


def _unresolved(given: Document, bad: Collection[int]) -> Iterator[Refusal]:
    """What is wrong with `resolve` in the rules that are not `bad`."""
    for index, rule in enumerate(given.data["rules"]):
        if index in bad or not rule.get("resolve"):
            continue
        if "<HOST>" not in rule["match"]:
            yield Refusal(given.where(("rules", index)), f"rules[{index}].resolve: the rule has no <HOST>")
        elif "requires" in rule or rule.get("severity", "attack") != "attack":
            why = f"rules[{index}].resolve: only an attack by itself is looked up"
            yield Refusal(given.where(("rules", index)), why)


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def _of_part(problem: Refusal) -> bool:
    """Whether a problem leaves the rest of its file usable: one rule's, the policy's, or a key that is unknown."""
    return problem.why.startswith(("rules[", "files", "policy")) or ": unknown key" in problem.why


def _plain(problems: list[Refusal]) -> list[tuple[int, str]]:
    return [(problem.where.line, problem.why) for problem in problems]


def _policy(given: Document, problems: list[Refusal]) -> tuple[int, float, float] | None:
    """The arguments of a Policy; None where there is none or it has a problem, which is added if it is a new one."""
    data = given.data.get("policy")
    if data is None or any(problem.why.startswith("policy") for problem in problems):
        return None
    try:
        return data["threshold"], duration.parse(data["window"]), duration.parse(data["ban"])
    except ValueError as error:
        problems.append(Refusal(given.where(("policy",)), f"policy: {error}"))
        return None


def _rule(data: Mapping[str, Any], where: Location, programs: tuple[str, ...], policy: Policy | None) -> AttackRule:
    requires = _several(data.get("requires", ()))
    severity = Severity.CONTEXT if requires else Severity(data.get("severity", "attack"))
    return AttackRule(
        where=where,
        file=os.path.basename(where.file),
        id=data["id"],
        programs=programs,
        regex=data["match"],
        score=data.get("score", 1),
        severity=severity,
        aggressive=data.get("aggressive", False),
        policy=policy,
        samples=tuple(Sample(each["line"], each.get("address"), each.get("after")) for each in data["samples"]),
        near_misses=tuple(data.get("near_misses", ())),
        requires=requires,
        once=data.get("once", False),
        resolve=data.get("resolve", False),
        fields=tuple(data.get("fields", {}).items()),
    )
