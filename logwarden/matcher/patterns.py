"""Rules, each with what is needed to match it.

Owns: the meaning of a rule for a line. A rule looks at one of three things (`Scope`): a native rule at the message of
an event of its programs; a rule of logcheck that starts with a standard header, at what follows any header, where there
is one; any other at the raw line.
Never: compiles for Hyperscan (`expressions`), or runs a regex without a timeout. A rule's text is parsed (`analysis`)
when that is needed first: of most rules it never is, where compiled databases are cached.
"""

from __future__ import annotations

import enum
import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from .. import header
from ..blake2 import blake2b
from ..errors import RuleError
from ..model import AttackRule, IgnoreRule
from .lines import View, Views

if TYPE_CHECKING:
    import regex

    from .analysis import Analysis
    from .sole import Shortcut

DIGEST = 16
"""Bytes of the digest of a text."""

TIMEOUT = 0.1
"""Seconds that a rule may take for one line in the `regex` engine."""

Rule = IgnoreRule | AttackRule


class Scope(enum.StrEnum):
    """What a rule looks at."""

    MESSAGE = "message"
    REST = "rest"
    LINE = "line"


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


def analysis(text: Text) -> Analysis:
    """A text, parsed. Raises RuleError.

    What parses and compiles is loaded with the first one: a start whose rules are compiled has none.
    """
    from .analysis import Analysis

    return Analysis(text)


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

    def _run(self, how: Literal["fullmatch", "search", "match"], text: bytes | None) -> bool:
        return text is not None and getattr(self._regex, how)(text, timeout=TIMEOUT) is not None

    @functools.cached_property
    def captures(self) -> bool:
        """Whether the rule may say who is the source of an attack."""
        from .analysis import captures  # as in `analysis`

        return captures(text_of(self.rule))

    def can_capture(self, *, many: bool) -> bool:
        """Whether `capture` can say so, or `capture_all`; and compile what it needs, as `prepare` does."""
        return (self._capturing_in_many if many else self._capturing) is not None

    def capture(self, message: bytes) -> bytes | None:
        """The source that a message which the rule matches names, if any. Raises TimeoutError."""
        found = self._capturing and self._capturing.fullmatch(message, timeout=TIMEOUT, concurrent=False)
        return found.group("addr") if found else None

    def capture_all(self, messages: Sequence[bytes]) -> Sequence[bytes]:
        """The same of many messages, in the time that one may take: empty where there is none."""
        captured = self._capturing_in_many
        return captured.findall(b"\n".join(messages), timeout=TIMEOUT, concurrent=False) if captured else ()

    @functools.cached_property
    def shortcuts(self) -> tuple[Shortcut, ...]:
        """See `sole.shortcuts`; of a rule for an object its members tell whatever else stands there."""
        try:
            known = self._analysis.shortcuts
        except RuleError:
            return ()
        if not isinstance(self.rule, AttackRule) or not self.rule.fields:
            return known
        from . import objects  # as in `analysis`

        return (*known, functools.partial(objects.sources, self.rule.fields))

    def is_for(self, program: bytes | None) -> bool:
        """Whether a native rule is for messages of `program` ('*': any; None: the message of none)."""
        if self.scope is not Scope.MESSAGE:
            return False
        if program == b"*" or header.ANY_PROGRAM in self.rule.programs:
            return True
        return program is not None and self._programs.fullmatch(program) is not None

    @property
    def _analysis(self) -> Analysis:
        return analysis(text_of(self.rule))

    @functools.cached_property
    def _programs(self) -> re.Pattern[bytes]:
        from . import globs  # as in `analysis`

        return re.compile(globs.linear(self.rule.programs))

    @functools.cached_property
    def _capturing_in_many(self) -> regex.Pattern[bytes] | None:
        try:
            return self._analysis.capturing_in_many()
        except RuleError:  # and not parsed again for each attack to find that out
            return None

    @functools.cached_property
    def _runs(self) -> regex.Pattern[bytes]:
        return self._analysis.runs()

    @functools.cached_property
    def _capturing(self) -> regex.Pattern[bytes] | None:
        try:
            found = self._analysis.capturing()
        except RuleError:  # a rule for Hyperscan alone
            return None
        return found if "addr" in found.groupindex else None

    @functools.cached_property
    def _regex(self) -> regex.Pattern[bytes]:
        return self._analysis.regex()


def _starts(texts: Iterable[bytes]) -> dict[int, int]:
    """Where each of the texts begins, once they are lines, and where the last one ends; with their numbers."""
    return dict(zip(itertools.accumulate((len(text) + 1 for text in texts), initial=0), itertools.count()))


def text_of(rule: Rule) -> Text:
    """What a rule says."""
    return Text(rule.regex, rule.programs, rule.dialect)
