"""Whom an attack was on, in which session, and from which host, where its name alone is said: what the <USER> and
<LOGIN> of an attack rule, its <SESSION> or its <HOST> stand for in a line that it matches.

Asked of a line where it matters, which is seldom: an address that somebody known has logged in from, a rule that takes
two lines. A rule that names nobody, and one that takes too long, has no word for whatever else stands in the line.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ..errors import RuleError
from ..model import AttackRule, Dialect
from .patterns import TIMEOUT, Text, analysis, text_of

if TYPE_CHECKING:
    import regex


def users(rule: AttackRule, message: str) -> frozenset[str]:
    """The users that a message which `rule` matches names."""
    return frozenset(_named(rule, Dialect.USERS, message) or ())


def session(rule: AttackRule, message: str) -> str | None:
    """The session that a message which `rule` matches names; empty where it names none, None where that is not to be
    known."""
    if "<SESSION>" not in rule.regex:
        return ""
    named = _named(rule, Dialect.SESSION, message)
    return None if named is None else next(reversed(named), "")


def host(rule: AttackRule, message: str) -> str | None:
    """What stands where a message which `rule` matches names its source, be it an address or a name; None: nothing."""
    found = _found(text_of(rule), message)
    captured = found["addr"] if found else None
    return captured.decode("ascii", "backslashreplace") if captured else None


def _named(rule: AttackRule, dialect: Dialect, message: str) -> list[str] | None:
    """What stands where the rule has the names that the dialect is for; None where it has none, or takes too long."""
    found = _found(text_of(rule)._replace(dialect=dialect), message)
    return [name.decode("utf-8", "backslashreplace") for name in found.captures("name")] if found else None


def _found(text: Text, message: str) -> regex.Match[bytes] | None:
    """The rule's match, with what its dialect is for; None where it has no such thing, or takes too long."""
    asking = _asking(text) if text.programs else None
    try:
        return asking.fullmatch(message.encode(), timeout=TIMEOUT, concurrent=False) if asking else None
    except TimeoutError:
        return None


@functools.lru_cache(maxsize=512)
def _asking(text: Text) -> regex.Pattern[bytes] | None:
    """What finds it; None where the rule has none."""
    is_for_source = text.dialect == Dialect.ATTACK
    try:
        asking = analysis(text).capturing() if is_for_source else analysis(text).naming()
    except RuleError:
        return None
    return asking if ("addr" if is_for_source else "name") in asking.groupindex else None
