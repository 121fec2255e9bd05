"""Grouping accuracy of the template miner on logs whose true events are known: `make grouping LOGS=DIR`.

Each NAME.log of DIR that has a NAME.events is judged, or each file that is named. NAME.events has the true event of
each line, one a line, as the data sets of the log parsing papers have it. A line is right when the lines of its group
are exactly those of its event (Zhu et al., 2019). The logs are other people's, so the folder is no part of this
repository.

Exit status: 0 where each log reaches GOAL, 1 otherwise, 2 where there is no such log.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.goals import Found, table
from rich.console import Console

from logwarden import header
from logwarden.digest import Shapes

GOAL = 0.95
"""The least grouping accuracy of each log."""


def accuracy(groups: Sequence[object], events: Sequence[object]) -> float:
    """Share of lines whose group has exactly the lines of their event: the log parsing papers' grouping accuracy."""
    of_group, of_event = defaultdict(set), defaultdict(set)
    for line, (group, event) in enumerate(zip(groups, events, strict=True)):
        of_group[group].add(line)
        of_event[event].add(line)
    right = [of_group[group] == of_event[event] for group, event in zip(groups, events, strict=True)]
    return sum(right) / len(right)


def judge(log: Path) -> Iterator[Found]:
    """How the lines of a log are grouped, and how fast."""
    read = [header.parse(line, header.ANY_PROGRAM, 0.0) for line in log.read_bytes().splitlines()]
    rows = [(event.program or "", event.message) for event in read]
    shapes = Shapes()
    start = time.process_time()
    for program, message in rows:
        shapes.learn(program, message, 0.0)
    taken = time.process_time() - start
    groups = [shapes.learn(program, message, 0.0).id for program, message in rows]
    truth = log.with_suffix(".events").read_text().split()
    yield Found(log.stem, accuracy(groups, truth), GOAL, form="{:.4f}")
    yield Found("  shapes", len(set(groups)), form="{:,.0f}", otherwise=f"{len(set(truth)):,} events")
    yield Found("  lines/s", len(rows) / taken, form="{:,.0f}")


def logs(named: Sequence[str]) -> Iterator[Path]:
    """The logs that are named, and those in the directories, whose events are known."""
    for place in map(Path, named):
        for log in sorted(place.glob("*.log")) if place.is_dir() else [place]:
            if log.with_suffix(".events").is_file():
                yield log


def main(arguments: Sequence[str]) -> int:
    found = [each for log in logs(arguments) for each in judge(log)]
    if not found:
        print(f"{' '.join(arguments) or 'LOGS'}: no NAME.log with a NAME.events; other people's logs are not shipped")
        return 2
    Console(highlight=False).print(table("grouping accuracy", found))
    return int(not all(each.met for each in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
