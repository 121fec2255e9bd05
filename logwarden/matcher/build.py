"""Rule texts compiled: the slow part of `matcher.compile`, which a child process does where one can be run.

Owns: which engine takes which rule. No rule makes it fail: one that no engine takes is refused alone, with the reason.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import RuleError
from .patterns import Facts, Scope, Text, analysis

if TYPE_CHECKING:
    from .analysis import Analysis
    from .expressions import Expression

NOTHING = Facts(Scope.LINE, settles=False)


class Way(enum.StrEnum):
    """How a rule is matched: by Hyperscan; by Hyperscan on the lines that its gate lets through; by Hyperscan with each
    match to be confirmed; by the `regex` package."""

    STRICT = "strict"
    GATED = "gated"
    LOOSE = "loose"
    REGEX = "regex"
    REFUSED = "refused"


class Row(NamedTuple):
    """What became of one text. `why`: the reason, where it is refused."""

    way: Way
    facts: Facts
    why: str = ""


class Databases(NamedTuple):
    """Hyperscan's, serialised; empty: there is none. The ids of `always` number the rows that are STRICT or LOOSE,
    those of `gated` the ones that are GATED, whose lines `gate` finds."""

    always: bytes = b""
    gated: bytes = b""
    gate: bytes = b""


class Built(NamedTuple):
    """The digests of texts, a row for each, and the databases of those that Hyperscan takes."""

    digests: Sequence[bytes]
    rows: Sequence[Row]
    databases: Databases


class _Taken(NamedTuple):
    """What Hyperscan takes: the form of each text, by index, and the texts that the gated ones need."""

    forms: Mapping[int, Expression] = {}
    needs: Mapping[int, frozenset[bytes]] = {}
    databases: Databases = Databases()

    def way(self, index: int) -> Way | None:
        form = self.forms.get(index)
        return form and (Way.GATED if index in self.needs else Way.LOOSE if form.loose else Way.STRICT)


def build(texts: Sequence[Text], *, portable: bool) -> Built:
    """Compile `texts`, the larger the set the slower: some 5 ms for each. `portable`: without Hyperscan."""
    analyses = [_analyse(text) for text in texts]
    taken = _Taken() if portable else _hyperscan(analyses)
    rows = [_row(each, taken.way(index)) for index, each in enumerate(analyses)]
    return Built([text.digest for text in texts], rows, taken.databases)


def _analyse(text: Text) -> Analysis | str:
    """A text parsed, or why it cannot be."""
    try:
        return analysis(text)
    except RuleError as error:
        return str(error)


def _row(analysed: Analysis | str, way: Way | None) -> Row:
    if isinstance(analysed, str):
        return Row(Way.REFUSED, NOTHING, analysed)
    if way is not None:
        return Row(way, analysed.facts)
    try:
        analysed.regex()
    except RuleError as error:
        return Row(Way.REFUSED, NOTHING, str(error))
    return Row(Way.REGEX, analysed.facts)


def _hyperscan(analyses: Sequence[Analysis | str]) -> _Taken:
    """What Hyperscan takes of all that could be parsed."""
    from . import expressions

    parsed = {index: each for index, each in enumerate(analyses) if not isinstance(each, str)}
    candidates = {index: list(expressions.forms(each)) for index, each in parsed.items()}
    chosen = {index: forms[0] for index, forms in candidates.items() if forms}

    def needed() -> dict[int, frozenset[bytes]]:
        strict = ((index, parsed[index].needs) for index, form in chosen.items() if not form.loose)
        return {index: texts for index, texts in strict if texts is not None}

    needs = needed()
    if (databases := _databases(chosen, needs)) is None:  # and it does not say whose fault that is
        taken = {index: next(filter(expressions.compiles, forms), None) for index, forms in candidates.items()}
        chosen = {index: form for index, form in taken.items() if form is not None}
        needs = needed()
        databases = _databases(chosen, needs)
    return _Taken(chosen, needs, databases) if databases is not None else _Taken()


def _databases(forms: Mapping[int, Expression], needs: Mapping[int, frozenset[bytes]]) -> Databases | None:
    """The databases of some rules; None where Hyperscan refuses one of them."""
    from . import expressions, gate

    made = [
        expressions.serialised(texts)
        for texts in (
            [form.text for index, form in forms.items() if index not in needs],
            [form.text for index, form in forms.items() if index in needs],
            gate.expressions(needs.values()),
        )
    ]
    return Databases(*(each for each in made if each is not None)) if None not in made else None
