"""What a rule's text means: its tree, and what is made of that.

Owns: which part of a line a rule looks at, and each regex that it becomes.
Never: runs one.
Fails: with RuleError where a text cannot be parsed, or where one engine would never be done with it.
"""

from __future__ import annotations

from typing import NamedTuple

import regex

from .. import ere
from ..ere import Node
from ..ere.nodes import Capture, Repeat, walk
from ..errors import RuleError
from ..model import Dialect
from . import gate, globs, prefix, tags, trees
from .patterns import Facts, Scope, Text
from .prefilter import Signs, signs
from .sole import Shortcut, shortcuts

_CAPTURED = tuple(f"<{name.decode()}>" for name in ere.CAPTURED[Dialect.ATTACK])

_LINE = {
    Scope.MESSAGE: rb"^(?:%s)\n",
    Scope.REST: rb"^(?:%s)[^\n]*\n",
    Scope.LINE: rb"^[^\n]*?(?:%s)[^\n]*\n",
}
"""A whole line, of what a rule looks at, that the rule matches."""
_BACK = b"(?P="
"""In the text of a rule that looks back at a group."""


class Outline(NamedTuple):
    """What is known of the lines that a rule matches. `signs` are those of what its scope looks at; where `programs`
    are given, those of a message of one of these."""

    programs: frozenset[bytes] | None
    signs: list[Signs]


class Analysis:
    """A rule's text, parsed. Raises RuleError where it cannot be, or where one engine would never be done with it: both
    are to have the same rules in force."""

    def __init__(self, text: Text) -> None:
        self.programs = text.programs
        tree = ere.parse(text.regex.encode("utf-8", "surrogateescape"), Dialect(text.dialect))
        self.scope, self.tree = _scope(text, ere.bounded(tree))
        self.fragment = globs.fragment(self.programs) if self.programs else b""
        self._is_attack = text.dialect == Dialect.ATTACK

    @property
    def facts(self) -> Facts:
        """What a Pattern is told of it."""
        implies_tag = self.scope is Scope.REST and tags.implies_tag(self.tree)
        return Facts(self.scope, self.scope is Scope.MESSAGE or implies_tag)

    @property
    def needs(self) -> frozenset[bytes] | None:
        """Texts of which one stands in each line that an attack rule matches; None where it has to see every line."""
        return gate.texts(self.tree) if self._is_attack and self.scope is Scope.MESSAGE else None

    @property
    def shortcuts(self) -> tuple[Shortcut, ...]:
        """See `sole.shortcuts`."""
        return tuple(shortcuts(self.tree))

    def capturing(self) -> regex.Pattern[bytes]:
        """What finds the address that it names in a message which it matches. Raises RuleError."""
        return _compiled(ere.emit(self.tree, "capture"))

    def capturing_in_many(self) -> regex.Pattern[bytes]:
        """What matches each line of a block once, and captures nothing where the rule does not match it. Raises
        RuleError; so it does where a capture is repeated, of which `regex` makes a list of tuples."""
        capturing = self.capturing()
        if capturing.groups != 1 or capturing.pattern.count(b"(?P<addr>") != 1 or _captures_again(self.tree):
            raise RuleError("captures in more than one place")
        return _compiled(rb"^(?:(?:%s)$|.*$)" % capturing.pattern)

    def naming(self) -> regex.Pattern[bytes]:
        """What finds whom a message names that it matches, of a text of Dialect.USERS, or which session, of one of
        Dialect.SESSION. Raises RuleError."""
        return _compiled(ere.emit(self.tree, "naming"))

    def runs(self) -> regex.Pattern[bytes]:
        """What matches one line after another in a block of what the rule looks at. Where the rule looks back at a
        group it matches one alone, for the line before might have left something there. Raises RuleError."""
        emitted = self.emitted()
        line = _LINE[self.scope] % emitted
        return _compiled(line if _BACK in emitted else rb"(?>%s)+" % line)

    def regex(self) -> regex.Pattern[bytes]:
        """The rule for the `regex` package. Raises RuleError."""
        return _compiled(self.emitted())

    def emitted(self) -> bytes:
        """Its text. Raises RuleError."""
        tree = trees.without_start(self.tree, at_start=False) if self.scope is Scope.REST else self.tree
        return ere.emit(tree, "regex")


def captures(text: Text) -> bool:
    """Whether a rule may say who is the source of an attack. It need not be parsed for that."""
    return bool(text.programs) and any(each in text.regex for each in _CAPTURED)


def outline(text: Text) -> Outline:
    """By what to know, without running its regex, a line that a rule may match."""
    try:
        analysis = Analysis(text)
    except RuleError:  # and so it matches nothing: see `try_one`
        return Outline(None, [])
    tagged = tags.split(analysis.tree) if analysis.scope is Scope.REST else None
    if tagged:
        return Outline(tagged.programs, signs(tagged.message, anywhere=False))
    return Outline(None, signs(analysis.tree, anywhere=analysis.scope is Scope.LINE))


def _captures_again(tree: Node) -> bool:
    """Whether a capture stands in what may be repeated."""
    repeated = (each.node for each in walk(tree) if isinstance(each, Repeat) and each.high != 1)
    return any(isinstance(each, Capture) for node in repeated for each in walk(node))


def _compiled(text: bytes) -> regex.Pattern[bytes]:
    try:
        return regex.compile(text, regex.MULTILINE)
    except (regex.error, OverflowError, RecursionError) as error:
        raise RuleError(f"does not compile: {error}") from error


def _scope(text: Text, tree: Node) -> tuple[Scope, Node]:
    if text.programs:
        return Scope.MESSAGE, tree
    rest = prefix.rest(tree)
    return (Scope.LINE, tree) if rest is None else (Scope.REST, rest)
