"""`make bench`: how fast lines are judged, as ratios to what limits us and to our peers, on this machine, in this run.

    python -m tests.bench [--lines N] [--rounds N]

One core, and seconds of it (a contestant's own and its children's), not of the clock: neighbours take turns on a shared
machine. In a round each contestant runs once, in TURNS parts where it can be parted, and they take turns, so that what
trouble is left is everybody's. Each figure is the median of the rounds, a ratio's that of theirs. Ratios last from
machine to machine; lines a second do not.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from logwarden import matcher, rules
from logwarden.cli import YOUNG
from logwarden.errors import RuleError
from logwarden.matcher import Matcher, _hyperscan_compiler, expressions
from logwarden.matcher._hyperscan import Database
from logwarden.matcher.analysis import Analysis
from logwarden.matcher.hyperscan_engine import HyperscanEngine
from logwarden.matcher.patterns import text_of
from logwarden.model import BLOCK, AttackRule, Batch, IgnoreRule, Outcome, RuleSet

from . import corpus, peers
from .goals import Found, table

ROOT = Path(__file__).resolve().parents[2]
GREP_LINES = 10_000
SSHD_LINES = 50_000
PORTABLE_LINES = 50_000
"""What the slow contestants get: rates are compared, and these hardly depend on the number of lines: to start is a
fifteenth of what grep takes. The `regex` engine reads a rule when it first needs it: it gets enough lines to need
nearly all of them in its first round, which is the slowest then and not the median."""

AGAIN = 3
"""Times that a peer which cannot be parted, and whose ratio is near its goal, runs in a round."""

console = Console(highlight=False)
T = TypeVar("T")


TURNS = 6
"""Parts of a round. Others on the machine make it slower or faster by a quarter within seconds."""


@dataclass(frozen=True)
class Contestant:
    """`parts` judge `lines` lines, one after the other. `warm` does some of it, which is not counted: to come back to a
    cache that others have filled is no part of a rate that lasts."""

    name: str
    lines: int
    parts: Sequence[Callable[[], object]]
    warm: Callable[[], object] = list


def blocks(lines: Sequence[bytes]) -> list[bytes]:
    """The lines in blocks of whole lines, about as large as the matcher scans at once."""
    joined, size = b"".join(lines), sum(map(len, lines))
    found, start = [], 0
    while start < size:
        end = joined.rfind(b"\n", start, start + BLOCK) + 1
        found.append(joined[start:end])
        start = end
    return found


def batches(given: Sequence[bytes]) -> list[Batch]:
    """What a source hands over: blocks, and how many lines each has."""
    return [Batch("bench", block, block.count(b"\n"), "") for block in given]


def parted(name: str, judge: Callable[[Sequence[T]], object], given: Sequence[T], lines: int) -> Contestant:
    """One that judges `given`, which holds so many lines, in TURNS parts."""
    size = -(-len(given) // TURNS)
    parts = [partial(judge, given[at : at + size]) for at in range(0, len(given), size)]
    return Contestant(name, lines, parts, partial(judge, given[:1]))


def classify(judge: Matcher, given: Sequence[Batch]) -> dict[Outcome, int]:
    """From bytes to verdicts and counters, as the daemon does it."""
    totals = dict.fromkeys(Outcome, 0)
    for batch in given:
        counts = judge.classify(batch, time.time()).counts
        for outcome in Outcome:
            totals[outcome] += counts.get(outcome, 0)
    return totals


def one_database(ruleset: RuleSet) -> Database:
    """All rules that Hyperscan takes, each to be matched against every line."""
    analyses = []
    for rule in itertools.chain[IgnoreRule | AttackRule](ruleset.ignore, ruleset.attack):
        with contextlib.suppress(RuleError):
            analyses.append(Analysis(text_of(rule)))
    forms = [next(expressions.forms(each), None) for each in analyses]
    return Database(_hyperscan_compiler.compiled([form.text for form in forms if form]))


def raw_scan(databases: Sequence[Database], given: Sequence[bytes]) -> None:
    """Hyperscan alone over the same blocks, and nobody listening."""
    for block in given:
        for database in databases:
            database.scan(block, False)


def contestants(place: Path, count: int) -> Iterator[Contestant]:
    lines = corpus.lines(count)
    attack = rules.load(attack=[str(ROOT / "attack.d")]).attack
    ruleset = RuleSet(tuple(corpus.rules()), attack)
    console.print(f"{len(lines)} lines, {len(ruleset.ignore)} ignore rules, {len(attack)} attack rules")
    begun = time.monotonic()
    judge = matcher.compile(ruleset)
    console.print(f"compiled in {time.monotonic() - begun:.1f} s; {len(judge.refused)} rules refused")
    given = batches(blocks(lines))
    console.print(", ".join(f"{outcome} {n / count:.1%}" for outcome, n in classify(judge, given).items() if n))

    raw = [batch.block for batch in given]
    yield parted("Hyperscan, raw", partial(raw_scan, [one_database(ruleset)]), raw, count)
    own = [engine._database for engine in judge._engines if isinstance(engine, HyperscanEngine)]
    yield parted("Hyperscan, raw, attack rules behind their gate", partial(raw_scan, own), raw, count)
    yield parted("logwarden", partial(classify, judge), given, count)
    without = matcher.compile(RuleSet(ruleset.ignore))
    yield parted("logwarden, no attack rules", partial(classify, without), given, count)
    verdicts = (each for batch in given for each in judge.classify(batch, time.time()).verdicts)
    accused = {each.event.raw for each in verdicts if each.outcome is Outcome.ATTACK}
    peace = [line for line in lines if line.decode("utf-8", "backslashreplace").rstrip("\n") not in accused]
    for name, each in (("logwarden, no attack", judge), ("logwarden, no attack, nor rules of any", without)):
        yield parted(name, partial(classify, each), batches(blocks(peace)), len(peace))
    portable = matcher.compile(ruleset, portable=True)
    few = batches(blocks(lines[:PORTABLE_LINES]))
    yield parted("logwarden, regex engine", partial(classify, portable), few, PORTABLE_LINES)
    log, files = place / "small.log", peers.cleaned_rules(corpus.rule_files(), place)
    log.write_bytes(b"".join(lines[:GREP_LINES]))
    for name, locale in (("logcheck's grep", "C.UTF-8"), ("logcheck's grep, C locale", "C")):
        yield Contestant(name, GREP_LINES, [partial(peers.grep_pipeline, log, files, locale)])
    command = peers.fail2ban()
    for name, attacks in (("sshd log", 0.1), ("sshd log under attack", 0.5)):
        sshd = corpus.sshd_lines(SSHD_LINES, attacks)
        yield parted(f"logwarden, {name}", partial(classify, judge), batches(blocks(sshd)), SSHD_LINES)
        if command:
            (place / name).write_bytes(b"".join(sshd))
            run = partial(peers.fail2ban_regex, command, place / name)
            yield Contestant(f"fail2ban-regex, {name}", AGAIN * SSHD_LINES, [run] * AGAIN)


RATIOS: tuple[tuple[str, str, float | None], ...] = (
    ("logwarden", "Hyperscan, raw", 0.80),
    ("logwarden", "Hyperscan, raw, attack rules behind their gate", None),
    ("logwarden", "logwarden, no attack rules", 0.90),
    ("logwarden, no attack", "logwarden, no attack, nor rules of any", 0.90),  # a line's share; an attack costs its own
    ("logwarden, no attack rules", "logcheck's grep", 250),  # the same rules: logcheck has none of attacks
    ("logwarden", "logcheck's grep", None),
    ("logwarden", "logcheck's grep, C locale", None),
    ("logwarden, sshd log", "fail2ban-regex, sshd log", 15),
    ("logwarden, sshd log under attack", "fail2ban-regex, sshd log under attack", None),
    ("logwarden, regex engine", "Hyperscan, raw", 0.15),
)
"""(ours, theirs, how many times theirs ours should be; None: for information)."""


def spent() -> float:
    """Seconds of the core, our own and those of children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def raced(ready: Sequence[Contestant]) -> dict[str, float]:
    """Lines in a second of the core, in one round, by contestant."""
    seconds = dict.fromkeys((each.name for each in ready), 0.0)
    for turn in range(TURNS):
        for each in ready:
            for part in each.parts[turn : turn + 1]:
                each.warm()
                begun = spent()
                part()
                seconds[each.name] += spent() - begun
    return {each.name: each.lines / seconds[each.name] for each in ready}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=200_000)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    gc.set_threshold(YOUNG)  # as each of our commands does
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # peers are children: they get the same core
    with tempfile.TemporaryDirectory(prefix="logwarden-bench-") as place:
        ready = list(contestants(Path(place), given.lines))
        rounds = [raced(ready) for _ in range(given.rounds)]
    report(rounds)


def report(rounds: Sequence[dict[str, float]]) -> None:
    speeds = Table("contestant", "lines/s", box=None, title="One core, median", title_justify="left")
    speeds.columns[1].justify = "right"
    for name in rounds[0]:
        speeds.add_row(name, f"{statistics.median(rates[name] for rates in rounds):,.0f}")
    compared = [
        Found(
            f"{ours} / {theirs}",
            statistics.median(rates[ours] / rates[theirs] for rates in rounds) if theirs in rounds[0] else None,
            goal,
        )
        for ours, theirs, goal in RATIOS
    ]
    console.print(speeds, table("ratio", compared), sep="\n\n")


if __name__ == "__main__":
    main()
