"""A RuleSet into a Matcher.

Owns: which engine takes which rule, and that one rule which no engine takes is refused alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hyperscan

from ..errors import RuleError
from ..model import Refusal, RuleSet
from .classifier import Matcher
from .engine import Engine, Patience
from .hyperscan_engine import HyperscanEngine, compile_database, expressions, taken
from .patterns import Pattern, plan
from .regex_engine import RegexEngine


def compile(ruleset: RuleSet, cache_dir: Path | None = None, *, portable: bool = False) -> Matcher:  # noqa: A001
    """A Matcher of all rules that an engine takes. `portable`: with the `regex` engine alone."""
    del cache_dir
    patterns, refused = plan(ruleset)
    patience = Patience()
    engines: list[Engine] = []
    left = list(patterns)
    if patterns and not portable:
        engine, left = _hyperscan(patterns, patience)
        engines.append(engine)
    prepared, bad = _prepared(left)
    if prepared:
        engines.append(RegexEngine(prepared, patience))
    return Matcher(engines, (*refused, *bad), patience)


def _prepared(patterns: Sequence[Pattern]) -> tuple[list[Pattern], list[Refusal]]:
    good: list[Pattern] = []
    bad: list[Refusal] = []
    for pattern in patterns:
        try:
            pattern.prepare()
            good.append(pattern)
        except RuleError as error:
            bad.append(Refusal(pattern.rule.where, str(error)))
    return good, bad


def _hyperscan(patterns: Sequence[Pattern], patience: Patience) -> tuple[HyperscanEngine, list[Pattern]]:
    """An engine of the patterns that Hyperscan takes, and the others."""
    given = expressions(patterns)
    try:
        database = compile_database(given)
    except hyperscan.error:  # which does not say whose fault it is
        given = taken(given)
        database = compile_database(given)
    loose = [id_ for id_, each in enumerate(given) if each.loose]
    inside = {each.pattern for each in given}
    engine = HyperscanEngine(database, [each.pattern for each in given], loose, patience)
    return engine, [pattern for pattern in patterns if pattern not in inside]
