"""How fast lines are grouped for the digest: `python -m tests.bench.groups [--lines N] [--rounds N]`.

An sshd log, whose lines are alike, as most of what a digest tells; what daemons on a real Debian logged in an hour,
again and again; and lines that the server rules of the installed logcheck-database match, with words made up at random,
of which each is a kind by itself: no log is like that. Beside them drain3, the template miner that one would take,
where it is installed (`pip install drain3`), on the same lines.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Console

from logwarden import header
from logwarden.digest import Shapes

from . import corpus
from .goals import Found, table

GOAL = 100_000
Line = tuple[str, str]
"""A program, and its message."""


def messages(lines: Sequence[bytes]) -> list[Line]:
    """What the digest groups."""
    events = (header.parse(line.rstrip(b"\n"), None, time.time()) for line in lines)
    return [(event.program or "", event.message) for event in events]


def ours(lines: Sequence[Line]) -> None:
    """From nothing learned."""
    learn = Shapes().learn
    for program, message in lines:
        learn(program, message, 0.0)


def theirs(lines: Sequence[Line]) -> None:
    """drain3 as it comes."""
    from drain3 import TemplateMiner  # type: ignore[import-not-found, unused-ignore]

    add = TemplateMiner().add_log_message
    for _, message in lines:
        add(message)


def rate(work: Callable[[Sequence[Line]], None], lines: Sequence[Line]) -> float:
    """Lines in a second of the core."""
    gc.collect()
    begun = time.process_time()
    work(lines)
    return len(lines) / (time.process_time() - begun)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    hour = corpus.CAPTURED_HOUR.read_bytes().splitlines(keepends=True)
    logs: dict[str, tuple[list[Line], int | None]] = {
        "sshd's lines": (messages(corpus.sshd_lines(given.lines, 0.5)), GOAL),
        "a Debian's hour": (messages((hour * -(-given.lines // len(hour)))[: given.lines]), GOAL),
        "lines made up at random": (messages(corpus.lines(given.lines)), None),
    }
    has_drain = importlib.util.find_spec("drain3") is not None
    found = []
    for name, (lines, goal) in logs.items():
        run = partial(rate, lines=lines)
        rounds = [(run(ours), run(theirs) if has_drain else None) for _ in range(given.rounds)]
        rates = statistics.median(our for our, _ in rounds)
        found.append(Found(f"{name}, a second of the core", rates, goal, form="{:,.0f}"))
        peers = [our / their for our, their in rounds if their]
        found.append(Found(f"{name}, times drain3's", statistics.median(peers) if peers else None, form="{:.1f}"))
    Console(highlight=False).print(table("grouping", found))


if __name__ == "__main__":
    main()
