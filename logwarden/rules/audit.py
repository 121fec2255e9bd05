"""Which rules may be in force, by what they mean: refused are those that do harm or can do no good.

Owns: the checks that need a rule's syntax tree or a trial match against attack samples.
Never: looks at a file. Each check says why in words for the person who wrote the rule.

An ignore rule is refused where it does not compile, can match an empty message (and so may hide everything), repeats
an earlier rule, or hides a sample of an attack rule for one of its programs. An attack rule is refused where it
does not compile, can match an empty message, repeats an earlier rule or its id, names no source though it counts
against one, or where its own samples and near misses say that it is not what it was meant to be. A rule of logcheck's
own directories is only asked whether it compiles and can match an empty message: the rest would not be logcheck.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

import regex

from .. import address, ere
from ..blake2 import blake2b
from ..errors import RuleError
from ..memory import Memory
from ..model import AttackRule, Dialect, IgnoreRule, Refusal, Sample, Severity

Rule = TypeVar("Rule", AttackRule, IgnoreRule)

TIMEOUT = 0.1
"""Seconds that a rule may take for one sample before it is refused: what the matcher will grant it."""

HEADERS = ("Jan  1 00:00:00 host ", "2026-01-01T00:00:00.000000+00:00 host ")
"""What stands before a sample where a logcheck rule, which is for whole lines, is tried against it."""


_NONSENSE = b"\x01zq[1]: \x02 qz\x03, \xff: (\x04)"


class TooSlowError(RuleError):
    """A rule ran out of time over a sample."""


def attacks(rules: Iterable[AttackRule], memory: Memory) -> tuple[list[AttackRule], list[Refusal]]:
    """The attack rules that may be in force, and the others."""
    kept: list[AttackRule] = []
    refused: list[Refusal] = []
    texts: dict[object, AttackRule] = {}
    ids: dict[object, AttackRule] = {}
    for rule in rules:
        trials = [[(each.line, each.address) for each in rule.samples], rule.near_misses]
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
    samples = _Samples(against)
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
    """What `work` returns, or returned last time. That a rule was too slow is not kept: the machine may have been."""
    try:
        return memory.recall(kind, about, work)
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
    """Why an attack rule may not be in force, by what it says itself; None: it may."""
    try:
        tree = _tree(rule)
        _refuse_empty(tree)
        if rule.dialect is Dialect.ATTACK:
            _try_samples(rule, tree)
    except TooSlowError:
        raise
    except RuleError as error:
        return str(error)
    return None


def _why_no_ignore(rule: IgnoreRule, samples: _Samples) -> str | None:
    """Why an ignore rule may not be in force, by what it says and what it would hide; None: it may."""
    try:
        tree = _tree(rule)
        _refuse_empty(tree)
        if not rule.exempts:
            _refuse_matching_everything(rule, tree)
        if rule.dialect is Dialect.IGNORE:
            samples.refuse_hiding(rule, tree)
    except TooSlowError:
        raise
    except RuleError as error:
        return str(error)
    return None


def _tree(rule: Rule) -> ere.Node:
    return ere.parse(rule.regex.encode("utf-8", "surrogateescape"), rule.dialect)


def _refuse_matching_everything(rule: IgnoreRule, tree: ere.Node) -> None:
    """Raise for a rule of any program that hides a message which no program writes."""
    if rule.programs and "*" not in rule.programs:
        return
    for header in HEADERS[:1] if rule.programs else HEADERS:
        line = _NONSENSE if rule.programs else header.encode() + _NONSENSE
        if ere.required_text(tree) in line and _search(_compile(tree, whole=bool(rule.programs)), line):
            raise RuleError("matches any message of any program")


def _refuse_empty(tree: ere.Node) -> None:
    if ere.can_match_empty(tree):
        raise RuleError("can match an empty message, and so may match everything")


# --- an attack rule and its own samples ---------------------------------------------------------------------


def _try_samples(rule: AttackRule, tree: ere.Node) -> None:
    pattern = _compile(tree)
    if rule.severity is Severity.ATTACK and "addr" not in pattern.groupindex:
        raise RuleError("names no source: an attack rule needs <ADDR> or <HOST>")
    if not rule.samples:
        raise RuleError("has no samples")
    for sample in rule.samples:
        _try_sample(pattern, sample)
    for line in rule.near_misses:
        if _search(pattern, line.encode()):
            raise RuleError(f"matches its near miss: {line}")


def _try_sample(pattern: regex.Pattern[bytes], sample: Sample) -> None:
    if not (found := _search(pattern, sample.line.encode())):
        raise RuleError(f"does not match its sample: {sample.line}")
    captured = (found["addr"] if "addr" in pattern.groupindex else None) or b""
    got, wanted = captured.decode(), sample.address or ""
    if _normal(got) != _normal(wanted):
        raise RuleError(f"yields the address {got or 'none'}, not {wanted or 'none'}, for its sample: {sample.line}")


def _normal(text: str) -> str | None:
    """An address in its one normal spelling; None for what is none, such as a host name."""
    try:
        return str(address.parse(text))
    except ValueError:
        return None


# --- an ignore rule and the samples of others ---------------------------------------------------------------


class _Samples:
    """The samples of all attack rules, by the programs that they are for."""

    def __init__(self, rules: Sequence[AttackRule]) -> None:
        self.rules = [rule for rule in rules if rule.samples]
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

    def refuse_hiding(self, rule: IgnoreRule, tree: ere.Node) -> None:
        """Raise RuleError where an ignore rule matches one of the samples of a program that it is for."""
        needed = ere.required_text(tree)
        candidates = [(line, attack) for line, attack in self.of(rule.programs) if needed in line]
        if not candidates:
            return
        pattern = _compile(tree, whole=bool(rule.programs))
        for line, attack in candidates:
            if _search(pattern, line):
                raise RuleError(f"hides a sample of the attack rule {attack}: {line.decode()}")

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


def _meet(some: Iterable[str], others: Sequence[str]) -> bool:
    """Whether two lists of program names and globs can mean the same program."""
    return any(one == other or _means(one, other) or _means(other, one) for one in some for other in others)


def _means(glob: str, program: str) -> bool:
    """Whether a glob means a program; a plain name is not asked, for `fnmatch` keeps a compiled regex of each."""
    return any(character in glob for character in "*?[") and fnmatchcase(program, glob)


def _compile(tree: ere.Node, *, whole: bool = True) -> regex.Pattern[bytes]:
    text = ere.emit(tree, "capture")
    try:
        return regex.compile(b"^(?:" + text + b")$" if whole else text, regex.MULTILINE)
    except (regex.error, OverflowError, RecursionError) as error:
        raise RuleError(f"does not compile: {error}") from error


def _search(pattern: regex.Pattern[bytes], line: bytes) -> regex.Match[bytes] | None:
    try:
        return pattern.search(line, timeout=TIMEOUT)
    except TimeoutError as error:
        raise TooSlowError(f"takes longer than {TIMEOUT * 1000:g} ms for the message: {line.decode()}") from error
