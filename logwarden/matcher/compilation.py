"""A RuleSet into a Matcher.

Owns: that what is compiled once is not compiled again (`cache`), and that compiling happens in a child process, for it
takes seconds and 100 MB, where the caller lends a way to run one. A rule that does not let the child finish costs only
itself its place in Hyperscan.
Fails with what `run` raises, a CommandError, where no child can be run at all.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ..errors import CommandError, RuleError
from ..model import Refusal, RuleSet
from . import cache
from .build import Built, Row, Way, build
from .classifier import Matcher
from .engine import Engine, Patience
from .patterns import Pattern, Rule, Text, text_of
from .regex_engine import RegexEngine

PATIENCE, PATIENCE_PER_RULE = 20.0, 0.5
"""Seconds that a child may take: a hundred times what it does take, but for a rule that explodes."""

Build = Callable[[Sequence[Text]], list[Built]]


class Run(Protocol):
    """`process.run`: a command's output; CommandError where it fails or takes longer than `timeout` seconds."""

    def __call__(self, argv: Sequence[str], *, stdin: bytes, timeout: float) -> bytes: ...


def compile(  # noqa: A001 - as in re.compile
    ruleset: RuleSet, cache_dir: Path | None = None, *, run: Run | None = None, portable: bool | None = None
) -> Matcher:
    """A Matcher of all rules that an engine takes; the others are in its `refused`.

    Compiled databases are kept in `cache_dir`. With `run`, they are compiled in a child process. `portable`: by the
    `regex` engine alone, which is also what serves where there is no Hyperscan.
    """
    portable = cache.hyperscan_version() is None if portable is None else portable
    rules = _by_digest((*ruleset.ignore, *ruleset.attack))
    make: Build = _Child(run, portable) if run else lambda missing: [build(missing, portable=portable)]
    if cache_dir is None:
        return _assemble(make(_texts(rules, rules)), rules)
    store = cache.Cache(cache_dir / "portable" if portable else cache_dir)
    parts, missing = store.cover(rules)
    try:
        made = _assemble(_completed(store, parts, _texts(rules, missing), make), rules)
    except RuleError:  # undamaged, but made on a machine with another processor
        store.forget(parts)
        made = _assemble(_completed(store, [], _texts(rules, rules), make), rules)
    made.unkept = store.trouble
    return made


def _completed(store: cache.Cache, parts: list[Built], missing: Sequence[Text], make: Build) -> list[Built]:
    made = make(missing) if missing else []
    for built in made:
        store.add(built)
    store.prune([*parts, *made])
    return [*parts, *made]


class Place(NamedTuple):
    """A rule, its rank, and how many before it said the same."""

    rank: int
    rule: Rule
    copy: int


def _by_digest(rules: Sequence[Rule]) -> dict[bytes, Place]:
    """Each rule under the digest of what it says."""
    seen: Counter[bytes] = Counter()
    found: dict[bytes, Place] = {}
    for rank, rule in enumerate(rules):
        text = text_of(rule)
        first = text.digest
        copy, seen[first] = seen[first], seen[first] + 1
        found[text._replace(copy=copy).digest if copy else first] = Place(rank, rule, copy)
    return found


def _texts(rules: Mapping[bytes, Place], digests: Iterable[bytes]) -> list[Text]:
    """What these rules say."""
    return [text_of(rules[digest].rule)._replace(copy=rules[digest].copy) for digest in digests]


def _assemble(parts: Sequence[Built], rules: Mapping[bytes, Place]) -> Matcher:
    """A Matcher of what is built. Raises RuleError where a database is not for this machine."""
    patience = Patience()
    engines: list[Engine] = []
    by_hand: list[Pattern] = []
    refused: list[tuple[int, Refusal]] = []
    for built in parts:
        patterns = [_pattern(row, rules.get(each)) for each, row in zip(built.digests, built.rows, strict=True)]
        pairs = list(zip(built.rows, patterns, strict=True))
        always, gated, gate = built.databases
        for database, its_gate, ways in ((always, b"", (Way.STRICT, Way.LOOSE)), (gated, gate, (Way.GATED,))):
            if database:
                slots = [pattern for row, pattern in pairs if row.way in ways]
                loose = [row.way is Way.LOOSE for row in built.rows if row.way in ways]
                engines.append(_hyperscan_engine(database, its_gate, slots, loose, patience))
        by_hand += [pattern for row, pattern in pairs if pattern and row.way is Way.REGEX]
        refused += [(p.rank, Refusal(p.rule.where, row.why)) for row, p in pairs if p and row.way is Way.REFUSED]
    if by_hand:
        engines.append(RegexEngine(by_hand, patience))
    return Matcher(engines, [refusal for _, refusal in sorted(refused, key=lambda each: each[0])], patience)


def _pattern(row: Row, place: Place | None) -> Pattern | None:
    """The rule of a row, where it is still in force."""
    return Pattern(place.rule, place.rank, row.facts) if place else None


def _hyperscan_engine(
    database: bytes, gate: bytes, slots: Sequence[Pattern | None], loose: Sequence[bool], patience: Patience
) -> Engine:
    from .hyperscan_engine import HyperscanEngine

    return HyperscanEngine(database, gate, slots, loose, patience)


class _Child:
    """Compiles in a child process. Where that does not come back, in halves, each in one of its own, until it is known
    which texts have to do without Hyperscan."""

    def __init__(self, run: Run, portable: bool) -> None:
        self._run = run
        self._portable = portable

    def __call__(self, texts: Sequence[Text]) -> list[Built]:
        try:
            return [self._ask(texts)]
        except CommandError:
            self._ask([])  # if no child can be run at all, say so
            return self._halved(texts)

    def _halved(self, texts: Sequence[Text]) -> list[Built]:
        if len(texts) == 1:
            return [build(texts, portable=True)]
        middle = len(texts) // 2
        return [*self(texts[:middle]), *self(texts[middle:])]

    def _ask(self, texts: Sequence[Text]) -> Built:
        seconds = math.ceil(PATIENCE + len(texts) * PATIENCE_PER_RULE)
        request = json.dumps({"texts": texts, "portable": self._portable, "seconds": seconds}).encode()
        argv = (sys.executable, "-P", "-m", __package__)  # `-P`: nothing is loaded from where it is started
        answer = self._run(argv, stdin=request, timeout=seconds)
        built = cache.load(io.BytesIO(answer))
        if built is None:
            raise CommandError(f"{' '.join(argv)}: an answer that is not its own: was logwarden updated meanwhile?")
        return built
