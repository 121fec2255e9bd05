"""Rule texts compiled: the slow part of `matcher.compile`, which a child process does where one can be run.

Owns: which engine takes which rule. No rule makes it fail: one that no engine takes is refused alone, with the reason.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import RuleError
from .patterns import Facts, Scope, Text, analysis

if TYPE_CHECKING:
    from .analysis import Analysis
    from .expressions import Expression

NOTHING = Facts(Scope.LINE, settles=False)


class Way(enum.StrEnum):
    """How a rule is matched: by Hyperscan; by Hyperscan with each match to be confirmed; by the `regex` package."""

    STRICT = "strict"
    LOOSE = "loose"
    REGEX = "regex"
    REFUSED = "refused"


class Row(NamedTuple):
    """What became of one text. `why`: the reason, where it is refused."""

    way: Way
    facts: Facts
    why: str = ""

    @property
    def in_database(self) -> bool:
        return self.way in (Way.STRICT, Way.LOOSE)


class Built(NamedTuple):
    """The digests of texts, a row for each, and Hyperscan's serialised database, whose ids number the rows that are in
    it."""

    digests: Sequence[bytes]
    rows: Sequence[Row]
    database: bytes


def build(texts: Sequence[Text], *, portable: bool) -> Built:
    """Compile `texts`, the larger the set the slower: some 5 ms for each. `portable`: without Hyperscan."""
    analyses = [_analyse(text) for text in texts]
    forms, database = ({}, b"") if portable else _hyperscan(analyses)
    rows = [_row(each, forms.get(index)) for index, each in enumerate(analyses)]
    return Built([text.digest for text in texts], rows, database)


def _analyse(text: Text) -> Analysis | str:
    """A text parsed, or why it cannot be."""
    try:
        return analysis(text)
    except RuleError as error:
        return str(error)


def _row(analysed: Analysis | str, form: Expression | None) -> Row:
    if isinstance(analysed, str):
        return Row(Way.REFUSED, NOTHING, analysed)
    if form is not None:
        return Row(Way.LOOSE if form.loose else Way.STRICT, analysed.facts)
    try:
        analysed.regex()
    except RuleError as error:
        return Row(Way.REFUSED, NOTHING, str(error))
    return Row(Way.REGEX, analysed.facts)


def _hyperscan(analyses: Sequence[Analysis | str]) -> tuple[dict[int, Expression], bytes]:
    """The form in which Hyperscan takes each text that it takes, by index, and the database of them all."""
    from . import expressions

    candidates = {
        index: list(expressions.forms(each)) for index, each in enumerate(analyses) if not isinstance(each, str)
    }
    chosen = {index: forms[0] for index, forms in candidates.items() if forms}
    if not chosen:
        return {}, b""
    if (database := expressions.serialised(chosen.values())) is None:  # and it does not say whose fault that is
        taken = {index: next(filter(expressions.compiles, forms), None) for index, forms in candidates.items()}
        chosen = {index: form for index, form in taken.items() if form is not None}
        database = expressions.serialised(chosen.values())
    return (chosen, database) if database is not None else ({}, b"")
