"""Which rules may be in force, by what they mean: refused are those that do harm or can do no good.

Owns: what is asked of which rule (`soundness` answers), what was answered before, and that no rule repeats another.
Never: looks at a file. Each check says why in words for the person who wrote the rule.

An ignore rule is refused where it does not compile, can match an empty message (and so may hide everything), repeats
an earlier rule, or hides a sample of an attack rule for one of its programs. An attack rule is refused where it
does not compile, can match an empty message, repeats an earlier rule or its id, names no source though it counts
against one, or where its own samples and near misses say that it is not what it was meant to be. A rule of logcheck's
own directories is only asked whether it compiles, can match an empty message, or hides any message of any program, as
`.` would: the rest would not be logcheck.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from ..blake2 import blake2b
from ..errors import RuleError
from ..memory import Memory, regex_version
from ..model import AttackRule, Dialect, IgnoreRule, Refusal, Severity

Rule = TypeVar("Rule", AttackRule, IgnoreRule)

HEADERS = ("Jan  1 00:00:00 host ", "2026-01-01T00:00:00.000000+00:00 host ")
"""What stands before a sample where a logcheck rule, which is for whole lines, is tried against it."""


class TooSlowError(RuleError):
    """A rule ran out of time over a sample."""


def attacks(rules: Iterable[AttackRule], memory: Memory) -> tuple[list[AttackRule], list[Refusal]]:
    """The attack rules that may be in force, and the others."""
    kept: list[AttackRule] = []
    refused: list[Refusal] = []
    texts: dict[object, AttackRule] = {}
    ids: dict[object, AttackRule] = {}
    for rule in rules:
        trials = [[tuple(each) for each in rule.samples], rule.near_misses]
        about = [rule.regex, rule.dialect, rule.severity, *trials]
        why = _recall(memory, "attack", about, functools.partial(_why_no_attack, rule))
        if rule.dialect is Dialect.ATTACK and why is None:
            why = _repeats(texts, (frozenset(rule.programs), rule.regex), rule, "the same as")
            why = why or _repeats(ids, str(rule), rule, "has the id of")
        _sort(rule, why, kept, refused)
    return kept, refused


def ignores(
    rules: Iterable[IgnoreRule], against: Sequence[AttackRule], memory: Memory
) -> tuple[list[IgnoreRule], list[Refusal]]:
    """The ignore rules that may be in force beside the attack rules `against`, and the others."""
    kept: list[IgnoreRule] = []
    refused: list[Refusal] = []
    texts: dict[object, IgnoreRule] = {}
    samples = Samples(against)
    for rule in rules:
        about = [rule.regex, rule.dialect, rule.programs, not rule.exempts]
        if rule.dialect is Dialect.IGNORE:
            about.append(samples.digest(rule.programs))
        why = _recall(memory, "ignore", about, functools.partial(_why_no_ignore, rule, samples))
        if rule.dialect is Dialect.IGNORE and why is None:
            why = _repeats(texts, (frozenset(rule.programs), rule.regex), rule, "the same as")
        _sort(rule, why, kept, refused)
    return kept, refused


def _recall(memory: Memory, kind: str, about: object, work: Callable[[], str | None]) -> str | None:
    """What `work` returns, or returned last time, with the same `regex`. That a rule was too slow is not kept: the
    machine may have been."""
    try:
        return memory.recall(kind, [regex_version(), about], work)
    except TooSlowError as error:
        return str(error)


def _sort(rule: Rule, why: str | None, kept: list[Rule], refused: list[Refusal]) -> None:
    if why is None:
        kept.append(rule)
    else:
        refused.append(Refusal(rule.where, why))


def _repeats(seen: dict[object, Rule], key: object, rule: Rule, how: str) -> str | None:
    earlier = seen.setdefault(key, rule)
    return None if earlier is rule else f"{how} {earlier.where}, which stays in force"


def _why_no_attack(rule: AttackRule) -> str | None:
    from . import soundness  # which parses rules: a start with rules that are known has nothing to ask

    return soundness.why_no_attack(rule)


def _why_no_ignore(rule: IgnoreRule, samples: Samples) -> str | None:
    from . import soundness

    return soundness.why_no_ignore(rule, samples)


class Samples:
    """The samples of all attack rules, by the programs that they are for."""

    def __init__(self, rules: Sequence[AttackRule]) -> None:
        self.rules = [rule for rule in rules if rule.samples and rule.severity is not Severity.CONTEXT]
        self._found: dict[tuple[str, ...], list[tuple[bytes, AttackRule]]] = {}
        self._digests: dict[tuple[str, ...], str] = {}

    def of(self, programs: tuple[str, ...]) -> list[tuple[bytes, AttackRule]]:
        """What a rule of these programs is tried against, and whose sample each is."""
        if programs not in self._found:
            self._found[programs] = self._of(programs) if programs else self._whole_lines()
        return self._found[programs]

    def digest(self, programs: tuple[str, ...]) -> str:
        """What stands for all of it."""
        if programs not in self._digests:
            samples = repr([(line, str(rule)) for line, rule in self.of(programs)])
            self._digests[programs] = blake2b(samples.encode()).hexdigest()
        return self._digests[programs]

    def _whole_lines(self) -> list[tuple[bytes, AttackRule]]:
        """What a logcheck rule is tried against: the samples behind a header of each program that they are for."""
        return [
            (f"{header}{program}[1]: {sample.line}".encode(), rule)
            for rule in self.rules
            for sample in rule.samples
            for program in rule.programs
            for header in HEADERS
        ]

    def _of(self, programs: tuple[str, ...]) -> list[tuple[bytes, AttackRule]]:
        return [
            (sample.line.encode(), rule)
            for rule in self.rules
            if _meet(programs, rule.programs)
            for sample in rule.samples
        ]


def _meet(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether two lists of program names and globs can mean the same program."""
    return not set(some).isdisjoint(others) or _mean(_globs(some), others) or _mean(_globs(others), some)


def _mean(globs: Iterable[str], programs: Iterable[str]) -> bool:
    return any(fnmatchcase(program, glob) for glob in globs for program in programs)


@functools.lru_cache(maxsize=1024)
def _globs(programs: tuple[str, ...]) -> list[str]:
    """Those that are none are not asked what they mean: `fnmatch` keeps a compiled regex of each that it is."""
    return [each for each in programs if any(character in each for character in "*?[")]
