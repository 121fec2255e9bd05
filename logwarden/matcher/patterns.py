"""Rules, each with what the engines need of it.

Owns: the meaning of a rule for a line. A rule looks at one of three things (`Scope`): a native rule at the message of
an event of its programs; a rule of logcheck that starts with a standard header, at what follows any header; any other
at the raw line. A Refusal stands for a rule that cannot be read.
Never: compiles for Hyperscan (`hyperscan_engine`) or runs a regex without a timeout.
"""

from __future__ import annotations

import enum
import functools
import re

import regex

from .. import ere, header
from ..ere import Node, UnsupportedError
from ..ere.nodes import size
from ..errors import RuleError
from ..model import AttackRule, IgnoreRule, Refusal, RuleSet
from . import globs, prefix, tags, trees
from .lines import View

TIMEOUT = 0.1
"""Seconds that a rule may take for one line in the `regex` engine."""

LARGEST = 1_000
"""Size of a tree (`ere.nodes.size`) that Hyperscan is asked to take as it is: a{1,500} takes it 0.05 s, a{1,2000}
takes it 1 s, a{1,9000} more than a minute."""

Rule = IgnoreRule | AttackRule


class Scope(enum.Enum):
    """What a rule looks at."""

    MESSAGE = "message"
    REST = "rest"
    LINE = "line"


class Pattern:
    """One rule, ready for either engine. `rank` is its place in the rule set: the first that matches is named.

    `settles`: a line that it matches is traditional, and needs no second look in its canonical form. `is_plain`: a
    line that it matches is ignored, unless an attack rule matches too.
    """

    def __init__(self, rule: Rule, rank: int) -> None:
        self.rule = rule
        self.rank = rank
        self.name = str(rule) if isinstance(rule, AttackRule) else str(rule.where)
        self.is_attack = isinstance(rule, AttackRule)
        tree = ere.parse(rule.regex.encode("utf-8", "surrogateescape"), rule.dialect)
        self.scope, self.tree = _scope(rule, tree)
        if self.programs:
            globs.fragment(self.programs)
        self.settles = self.scope is Scope.MESSAGE or (self.scope is Scope.REST and tags.implies_tag(self.tree))
        self.is_plain = isinstance(rule, IgnoreRule) and not rule.exempts and self.settles

    # --- for Hyperscan --------------------------------------------------------------------------------------

    def expression(self, *, loose: bool = False) -> bytes:
        """A Hyperscan pattern for lines of a block, whose every match ends where its line does.

        `loose`: it may match more than the rule does, so that each match needs `matches` to confirm it.
        Raises UnsupportedError.
        """
        tree = trees.loosened(self.tree) if loose else self.tree
        if not loose and size(tree) > LARGEST:
            raise UnsupportedError(f"larger than {LARGEST} when its repetitions are written out")
        if self.scope is Scope.LINE:
            return _emit(trees.to_line_end(tree))
        if self.scope is Scope.REST:
            return b"^%s(?:%s)" % (header.HEADER, _emit(trees.to_line_end(trees.without_start(tree, at_start=False))))
        message = _emit(trees.without_start(tree, at_start=True))
        return b"^%s(?:%s)(?:%s)?: (?:%s)$" % (header.HEADER, globs.fragment(self.programs), header.PID, message)

    # --- for the `regex` package ----------------------------------------------------------------------------

    def matches(self, view: View) -> bool:
        """Whether the rule matches a line. Raises TimeoutError."""
        match self.scope:
            case Scope.MESSAGE:
                return (
                    view.message is not None
                    and self.is_for(view.program)
                    and self._regex.fullmatch(view.message, timeout=TIMEOUT) is not None
                )
            case Scope.LINE:
                return view.raw is not None and self._regex.search(view.raw, timeout=TIMEOUT) is not None
            case Scope.REST if view.text is not None:
                return self._regex.match(view.text, timeout=TIMEOUT) is not None
        return False

    def capture(self, message: bytes) -> bytes | None:
        """What the rule says is the source of an attack, if anything. Raises TimeoutError."""
        if self.scope is not Scope.MESSAGE or "addr" not in self._regex.groupindex:
            return None
        found = self._regex.fullmatch(message, timeout=TIMEOUT)
        return found["addr"] if found else None

    def is_for(self, program: bytes | None) -> bool:
        """Whether a native rule is for messages of `program` ('*': any; None: the message of none)."""
        if self.scope is not Scope.MESSAGE:
            return False
        if program == b"*" or header.ANY_PROGRAM in self.programs:
            return True
        return program is not None and self._programs.fullmatch(program) is not None

    def prepare(self) -> None:
        """Compile for the `regex` package now. Raises RuleError."""
        _ = self._regex

    @property
    def programs(self) -> tuple[str, ...]:
        return self.rule.programs

    @functools.cached_property
    def _programs(self) -> re.Pattern[bytes]:
        return re.compile(globs.fragment(self.programs), re.DOTALL)

    @functools.cached_property
    def _regex(self) -> regex.Pattern[bytes]:
        tree = trees.without_start(self.tree, at_start=False) if self.scope is Scope.REST else self.tree
        return _compile(tree)


def plan(ruleset: RuleSet) -> tuple[tuple[Pattern, ...], tuple[Refusal, ...]]:
    """The patterns of all rules that can be read, in the order of the rule set, and why the others cannot."""
    patterns: list[Pattern] = []
    refused: list[Refusal] = []
    rules: list[Rule] = [*ruleset.ignore, *ruleset.attack]
    for rank, rule in enumerate(rules):
        try:
            patterns.append(Pattern(rule, rank))
        except RuleError as error:
            refused.append(Refusal(rule.where, str(error)))
    return tuple(patterns), tuple(refused)


def _scope(rule: Rule, tree: Node) -> tuple[Scope, Node]:
    if rule.programs:
        return Scope.MESSAGE, tree
    rest = prefix.rest(tree)
    return (Scope.LINE, tree) if rest is None else (Scope.REST, rest)


def _emit(tree: Node) -> bytes:
    return ere.emit(tree, "hyperscan")


def _compile(tree: Node) -> regex.Pattern[bytes]:
    try:
        return regex.compile(ere.emit(tree, "regex"), regex.MULTILINE)
    except (regex.error, OverflowError, RecursionError) as error:
        raise RuleError(f"does not compile: {error}") from error
