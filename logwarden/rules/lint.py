"""What could be better about an ignore rule that is in force: advice, by `file:line`, for the person who wrote it.

Found are a `.*`, in whatever spelling, that says nothing of what stands there, a logcheck rule without an anchor at an
end, a rule that says what another one says, and a rule that is shadowed: all that it hides another one hides too.
Never: refuses a rule (`audit` does), or says that a rule is good. Shadows are found by trial: the lines that a rule
was plainly written for, one for each of its alternatives, are shown to the others. Of many some.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

import regex

from .. import ere
from ..ere import examples, nodes
from ..ere.nodes import Alt, Assertion, At, Capture, Cat, Group, Node, Repeat, Set
from ..errors import RuleError
from ..model import IgnoreRule, Refusal
from .soundness import TIMEOUT

_PRINTABLE = nodes.CLASSES[b"print"]
"""Who allows all of these says nothing: hardly a line holds anything else."""
_SHORT = 20
"""So many bytes of anything are a field of fixed width."""
_LINES = 40
"""Lines of a rule that are tried on the others."""


class _Tried:
    """A rule, its regex, and lines that it was written for."""

    def __init__(self, rule: IgnoreRule, tree: Node) -> None:
        self.rule = rule
        self.needed = ere.required_text(tree)
        self.pattern = regex.compile(ere.emit(tree, "regex"))
        found = itertools.islice(examples.lines(tree), _LINES)
        self.lines = [line for line in found if self.hides(line)]

    def hides(self, line: bytes) -> bool:
        """Whether the rule hides a message, or a line."""
        how = self.pattern.fullmatch if self.rule.programs else self.pattern.search
        try:
            return self.needed in line and how(line, timeout=TIMEOUT) is not None
        except TimeoutError:
            return False


def lint(rules: Iterable[IgnoreRule]) -> list[Refusal]:
    """What could be better about these rules, in their order."""
    tried: list[_Tried] = []
    found: list[Refusal] = []
    for rule in rules:
        try:
            tree = ere.parse(rule.regex.encode(), rule.dialect)
            found += [Refusal(rule.where, why) for why in _alone(rule, tree)]
            tried.append(_Tried(rule, tree))
        except (RuleError, regex.error, OverflowError, RecursionError):  # the other engine takes it: not compared
            continue
    return sorted([*found, *_compared(tried)], key=lambda each: (each.where.file, each.where.line))


def _alone(rule: IgnoreRule, tree: Node) -> Iterator[str]:
    """What is wrong with a rule whatever the others say."""
    chosen = rule.regex.replace("<TEXT>", "<NUM>")
    if any(map(_is_anything, nodes.walk(ere.parse(chosen.encode(), rule.dialect)))):
        yield "`.*` could be a placeholder, such as <WORD>, <PATH> or <NUM>; <TEXT> says that it may be anything"
    if not rule.programs and not _is_held(tree, At.LINE_END):
        yield "has no $ at its end: it hides whatever follows"
    if not rule.programs and not _is_held(tree, At.LINE_START):
        yield "has no ^ at its start: it hides whatever stands before"


def _is_anything(node: Node) -> bool:
    """Whether a repetition may be any text."""
    match node:
        case Repeat(Set(bits) | Group(_, Set(bits)), _, high):
            return bits & _PRINTABLE == _PRINTABLE and (high is None or high > _SHORT)
    return False


def _is_held(node: Node, at: At) -> bool:
    """Whether all that a rule matches begins, or ends, where the line does: each branch of `^a|b$` lacks one anchor."""
    match node:
        case Assertion(found):
            return found is at
        case Cat(parts) if parts:
            return _is_held(parts[-1 if at is At.LINE_END else 0], at)
        case Alt(branches):
            return all(_is_held(branch, at) for branch in branches)
        case Group(_, inner) | Capture(_, inner):
            return _is_held(inner, at)
    return False


def _compared(tried: Sequence[_Tried]) -> Iterator[Refusal]:
    for at, one in enumerate(tried):
        for other in itertools.chain(tried[:at], tried[at + 1 :]):
            if not _covers(other.rule, one.rule):
                continue
            if other.rule.regex == one.rule.regex:
                if other in tried[:at]:
                    yield Refusal(one.rule.where, f"says what {other.rule.where} says")
            elif one.lines and all(map(other.hides, one.lines)):
                yield Refusal(one.rule.where, f"is shadowed by {other.rule.where}, which hides all that it hides")
                break


def _covers(one: IgnoreRule, other: IgnoreRule) -> bool:
    """Whether the first is for all programs that the second is for, and hides as bad a line."""
    if bool(one.programs) != bool(other.programs) or one.worst > other.worst or one.exempts != other.exempts:
        return False
    return all(any(fnmatchcase(name, wide) for wide in one.programs) for name in other.programs)
