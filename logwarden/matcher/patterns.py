"""Rules, each with what is needed to match it.

Owns: the meaning of a rule for a line. A rule looks at one of three things (`Scope`): a native rule at the message of
an event of its programs; a rule of logcheck that starts with a standard header, at what follows any header, where there
is one; any other at the raw line.
Never: compiles for Hyperscan (`expressions`), or runs a regex without a timeout. A rule's text is parsed when that is
needed first: of most rules it never is, where compiled databases are cached.
"""

from __future__ import annotations

import enum
import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import regex

from .. import ere, header
from ..blake2 import blake2b
from ..ere import Node
from ..errors import RuleError
from ..model import AttackRule, Dialect, IgnoreRule
from . import globs, prefix, tags, trees
from .lines import View, Views
from .prefilter import Signs, signs
from .sole import is_whole

DIGEST = 16
"""Bytes of the digest of a text."""

TIMEOUT = 0.1
"""Seconds that a rule may take for one line in the `regex` engine."""

_CAPTURED = tuple(f"<{name.decode()}>" for name in ere.CAPTURED[Dialect.ATTACK])

Rule = IgnoreRule | AttackRule


class Scope(enum.StrEnum):
    """What a rule looks at."""

    MESSAGE = "message"
    REST = "rest"
    LINE = "line"


_LINE = {
    Scope.MESSAGE: rb"^(?:%s)\n",
    Scope.REST: rb"^(?:%s)[^\n]*\n",
    Scope.LINE: rb"^[^\n]*?(?:%s)[^\n]*\n",
}
"""A whole line, of what a rule looks at, that the rule matches."""
_BACK = b"(?P="
"""In the text of a rule that looks back at a group."""


class Text(NamedTuple):
    """What a rule says, without where it says it: all that its compiled form depends on. `copy` counts the rules
    that said the same before."""

    regex: str
    programs: tuple[str, ...]
    dialect: str
    copy: int = 0

    @property
    def digest(self) -> bytes:
        """By what it is known."""
        content = f"{self.dialect} {self.copy} {self.programs} {self.regex!r}"
        return blake2b(content.encode(), digest_size=DIGEST).digest()


class Facts(NamedTuple):
    """What the matcher has to know of a rule before it matches any line.

    `settles`: a line that it matches is traditional, and needs no second look in its canonical form.
    """

    scope: Scope
    settles: bool


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

    @property
    def facts(self) -> Facts:
        """What a Pattern is told of it."""
        implies_tag = self.scope is Scope.REST and tags.implies_tag(self.tree)
        return Facts(self.scope, self.scope is Scope.MESSAGE or implies_tag)

    def capturing(self) -> regex.Pattern[bytes]:
        """What finds the address that it names in a message which it matches. Raises RuleError."""
        return _compiled(ere.emit(self.tree, "capture"))

    def naming(self) -> regex.Pattern[bytes]:
        """What finds whom a message names that it matches: of a text of Dialect.USERS. Raises RuleError."""
        return _compiled(ere.emit(self.tree, "users"))

    def regex(self) -> regex.Pattern[bytes]:
        """The rule for the `regex` package. Raises RuleError."""
        return _compiled(self.emitted())

    def emitted(self) -> bytes:
        """Its text. Raises RuleError."""
        tree = trees.without_start(self.tree, at_start=False) if self.scope is Scope.REST else self.tree
        return ere.emit(tree, "regex")


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


class Pattern:
    """One rule in force. `rank` is its place in the rule set: of those that match a line the first is named.

    `ignores`: a line that it matches is ignored, unless an attack rule matches too; `is_plain`: moreover it settles.
    """

    def __init__(self, rule: Rule, rank: int, facts: Facts) -> None:
        self.rule = rule
        self.rank = rank
        self.scope = facts.scope
        self.name = str(rule) if isinstance(rule, AttackRule) else str(rule.where)
        self.is_attack = isinstance(rule, AttackRule)
        self.ignores = isinstance(rule, IgnoreRule) and not rule.exempts
        self.is_plain = self.ignores and facts.settles

    def prepare_for_one(self) -> None:
        """Compile what `matches` needs, which is not to count as its time. Raises RuleError."""
        self._regex  # noqa: B018 - made when it is asked for

    def matches(self, view: View) -> bool:
        """Whether the rule matches a line. Raises TimeoutError."""
        match self.scope:
            case Scope.MESSAGE:
                return self.is_for(view.program) and self._run("fullmatch", view.message)
            case Scope.LINE:
                return self._run("search", view.raw)
            case Scope.REST:
                return self._run("match", view.text)

    def prepare(self) -> None:
        """The same for `matching`."""
        self._runs  # noqa: B018 - made when it is asked for

    def matching(self, texts: Sequence[bytes]) -> Sequence[int]:
        """The indices of the texts, each what the rule looks at in a line of its programs, that it matches; found in
        twice the time that one may take. Raises TimeoutError, and RuleError."""
        block = b"\n".join((*texts, b""))
        first = self._runs.match(block, timeout=TIMEOUT)
        end = first.end() if first else 0
        if end == len(block):
            return range(len(texts))
        if len(texts) == 1:
            return ()
        ordinals = _starts(texts)
        found = list(range(ordinals[end]))
        for run in self._runs.finditer(block, end, timeout=TIMEOUT):
            found.extend(range(ordinals[run.start()], ordinals[run.end()]))
        return found

    def part(self, views: Views) -> Sequence[bytes]:
        """What the rule looks at in each line."""
        match self.scope:
            case Scope.MESSAGE:
                return views.messages
            case Scope.LINE:
                return views.raws
            case Scope.REST:
                return views.texts

    def outline(self) -> Outline:
        """By what to know, without running its regex, a line that the rule may match."""
        try:
            tree = Analysis(text_of(self.rule)).tree
        except RuleError:  # and so it matches nothing: see `try_one`
            return Outline(None, [])
        tagged = tags.split(tree) if self.scope is Scope.REST else None
        if tagged:
            return Outline(tagged.programs, signs(tagged.message, anywhere=False))
        return Outline(None, signs(tree, anywhere=self.scope is Scope.LINE))

    def _run(self, how: Literal["fullmatch", "search", "match"], text: bytes | None) -> bool:
        return text is not None and getattr(self._regex, how)(text, timeout=TIMEOUT) is not None

    @property
    def captures(self) -> bool:
        """Whether the rule may say who is the source of an attack."""
        return self.scope is Scope.MESSAGE and any(each in self.rule.regex for each in _CAPTURED)

    def prepare_to_capture(self, *, many: bool) -> None:
        """The same for `capture`, or for `capture_all`. Raises RuleError."""
        self._regex_for_many if many else self._capturing  # noqa: B018

    def capture(self, message: bytes) -> bytes | None:
        """The source that a message which the rule matches names, if any. Raises TimeoutError, and RuleError."""
        if not self._has_address:
            return None
        found = self._capturing.fullmatch(message, timeout=TIMEOUT, concurrent=False)
        return found.group("addr") if found else None

    def capture_all(self, messages: Sequence[bytes]) -> Sequence[bytes]:
        """The same of many messages, in the time that one may take: empty where there is none."""
        return self._regex_for_many.findall(b"\n".join(messages), timeout=TIMEOUT, concurrent=False)

    @functools.cached_property
    def captures_whole(self) -> bool:
        """See `sole.is_whole`."""
        try:
            return is_whole(Analysis(text_of(self.rule)).tree)
        except RuleError:
            return False

    def is_for(self, program: bytes | None) -> bool:
        """Whether a native rule is for messages of `program` ('*': any; None: the message of none)."""
        if self.scope is not Scope.MESSAGE:
            return False
        if program == b"*" or header.ANY_PROGRAM in self.rule.programs:
            return True
        return program is not None and self._programs.fullmatch(program) is not None

    @functools.cached_property
    def _has_address(self) -> bool:
        return "addr" in self._capturing.groupindex

    @functools.cached_property
    def _programs(self) -> re.Pattern[bytes]:
        return re.compile(globs.linear(self.rule.programs))

    @functools.cached_property
    def _regex_for_many(self) -> regex.Pattern[bytes]:
        """Matches each line of a block once, and captures nothing where the rule does not match it."""
        if self._capturing.groups != 1 or self._capturing.pattern.count(b"(?P<addr>") != 1:
            raise RuleError("captures in more than one place")
        return regex.compile(rb"^(?:(?:%s)$|.*$)" % self._capturing.pattern, regex.MULTILINE)

    @functools.cached_property
    def _runs(self) -> regex.Pattern[bytes]:
        """Matches one line after another in a block of what the rule looks at. Where the rule looks back at a group
        it matches one alone, for the line before might have left something there."""
        emitted = Analysis(text_of(self.rule)).emitted()
        line = _LINE[self.scope] % emitted
        return _compiled(line if _BACK in emitted else rb"(?>%s)+" % line)

    @functools.cached_property
    def _capturing(self) -> regex.Pattern[bytes]:
        return Analysis(text_of(self.rule)).capturing()

    @functools.cached_property
    def _regex(self) -> regex.Pattern[bytes]:
        return Analysis(text_of(self.rule)).regex()


def _starts(texts: Iterable[bytes]) -> dict[int, int]:
    """Where each of the texts begins, once they are lines, and where the last one ends; with their numbers."""
    return dict(zip(itertools.accumulate((len(text) + 1 for text in texts), initial=0), itertools.count()))


def text_of(rule: Rule) -> Text:
    """What a rule says."""
    return Text(rule.regex, rule.programs, rule.dialect)
