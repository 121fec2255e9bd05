"""Grouping accuracy of the template miner on a log whose true events are known.

    python -m tests.grouping NAME.log NAME.events

NAME.events has the true event of each line, one a line, as the data sets of the log parsing papers have it. A line is
right when the lines of its group are exactly those of its event (Zhu et al., 2019).
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from logwarden import header
from logwarden.digest import Shapes


def accuracy(groups: Sequence[object], events: Sequence[object]) -> float:
    """Share of lines whose group has exactly the lines of their event: the log parsing papers' grouping accuracy."""
    of_group, of_event = defaultdict(set), defaultdict(set)
    for line, (group, event) in enumerate(zip(groups, events, strict=True)):
        of_group[group].add(line)
        of_event[event].add(line)
    right = [of_group[group] == of_event[event] for group, event in zip(groups, events, strict=True)]
    return sum(right) / len(right)


def main(log: str, events: str) -> None:
    lines = Path(log).read_bytes().splitlines()
    read = [header.parse(line, header.ANY_PROGRAM, 0.0) for line in lines]
    rows = [(event.program or "", event.message) for event in read]
    shapes = Shapes()
    start = time.process_time()
    for program, message in rows:
        shapes.learn(program, message, 0.0)
    taken = time.process_time() - start
    groups = [shapes.learn(program, message, 0.0).id for program, message in rows]
    truth = Path(events).read_text().split()
    print(f"grouping accuracy {accuracy(groups, truth):.4f}, {len(set(groups))} shapes, {len(set(truth))} events")
    print(f"{len(rows)} lines, {len(rows) / taken:,.0f} lines/s")


if __name__ == "__main__":
    main(*sys.argv[1:])
