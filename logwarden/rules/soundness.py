"""Whether a rule means what it should, by its syntax tree and by trial matches against the samples of attacks.

Owns: each check, and to say why in words for the person who wrote the rule. `audit` says what is asked of which rule.
"""

from __future__ import annotations

import regex

from .. import address, ere
from ..errors import RuleError
from ..model import AttackRule, Dialect, IgnoreRule, Sample, Severity
from .audit import HEADERS, Rule, Samples, TooSlowError

TIMEOUT = 0.1
"""Seconds that a rule may take for one sample before it is refused: what the matcher will grant it."""

_NONSENSE = b"\x01zq[1]: \x02 qz\x03, \xff: (\x04)"


def why_no_attack(rule: AttackRule) -> str | None:
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


def why_no_ignore(rule: IgnoreRule, samples: Samples) -> str | None:
    """Why an ignore rule may not be in force, by what it says and what it would hide; None: it may."""
    try:
        tree = _tree(rule)
        _refuse_empty(tree)
        if not rule.exempts:
            _refuse_matching_everything(rule, tree)
        if rule.dialect is Dialect.IGNORE:
            _refuse_hiding(rule, tree, samples)
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
    if sample.after is not None and "addr" not in pattern.groupindex:
        return  # who it is says the line before
    captured = (found["addr"] if "addr" in pattern.groupindex else None) or b""
    got, wanted = captured.decode(), sample.address or ""
    if _normal(got) != _normal(wanted):
        raise RuleError(f"yields the address {got or 'none'}, not {wanted or 'none'}, for its sample: {sample.line}")


def _normal(text: str) -> str | None:
    """An address in its one normal spelling; None for what is none, such as a host name."""
    try:
        return address.normalised(text)
    except ValueError:
        return None


# --- an ignore rule and the samples of others ---------------------------------------------------------------


def _refuse_hiding(rule: IgnoreRule, tree: ere.Node, samples: Samples) -> None:
    """Raise RuleError where an ignore rule matches one of the samples of a program that it is for."""
    needed = ere.required_text(tree)
    candidates = [(line, attack) for line, attack in samples.of(rule.programs) if needed in line]
    if not candidates:
        return
    pattern = _compile(tree, whole=bool(rule.programs))
    for line, attack in candidates:
        if _search(pattern, line):
            raise RuleError(f"hides a sample of the attack rule {attack}: {line.decode()}")


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
