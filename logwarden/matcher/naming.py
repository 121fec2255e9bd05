"""Whom an attack was on: what the <USER> and <LOGIN> of an attack rule stand for in a line that it matches.

Asked of a line where it matters, which is seldom: an address that somebody known has logged in from. A rule that names
nobody, and one that takes too long, has no word for whatever else stands in the line.
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
    naming = _naming(text_of(rule)._replace(dialect=Dialect.USERS)) if rule.programs else None
    try:
        found = naming.fullmatch(message.encode(), timeout=TIMEOUT, concurrent=False) if naming else None
    except TimeoutError:
        return frozenset()
    names = found.captures("user") if found else []
    return frozenset(name.decode("utf-8", "backslashreplace") for name in names)


@functools.lru_cache(maxsize=256)
def _naming(text: Text) -> regex.Pattern[bytes] | None:
    """None where the rule names nobody."""
    try:
        naming = analysis(text).naming()
    except RuleError:
        return None
    return naming if "user" in naming.groupindex else None
