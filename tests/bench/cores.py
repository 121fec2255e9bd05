"""What a second core is worth to `scan`: `python -m tests.bench.cores [--lines N] [--rounds N]`.

`logwarden scan --jobs 2` beside `--jobs 1` over one large file, with the server rules of the installed
logcheck-database and all attack rules that we ship; medians of the rounds, start-up included. By the clock it is true
on a machine that does nothing else. By processor time it is what the clock could show at best: two cores for what both
processes took.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from rich.console import Console

from ..demo.stage import LOGWARDEN
from . import corpus
from .goals import Found, table

GOAL = 1.8
TIMES = 20
"""How often the file repeats the lines of the corpus: with fewer the start would weigh as much as the work."""


def taken(config: Path, log: Path, jobs: int) -> tuple[float, float]:
    """Seconds by the clock, and of processor time."""
    argv = [str(LOGWARDEN), "scan", "--jobs", str(jobs), "--config", str(config), str(log)]
    begun, before = time.perf_counter(), os.times()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    spent = sum(after[field] - before[field] for field in (2, 3))
    return time.perf_counter() - begun, spent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=200_000)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("there is one core only")
    with tempfile.TemporaryDirectory(prefix="logwarden-bench-") as place:
        log, config = Path(place) / "large.log", Path(place) / "logwarden.yaml"
        log.write_bytes(b"".join(corpus.lines(given.lines)) * TIMES)
        config.write_text(
            f"state: {place}/state\nsources: {{files: []}}\nrules: {{ignore: [], attack: [{corpus.ROOT}/attack.d]}}\n"
            f"logcheck: {{rules: true, path: {corpus.LOGCHECK}}}\n"
        )
        taken(config, log, 1)  # compiles
        rounds = [(taken(config, log, 1), taken(config, log, 2)) for _ in range(given.rounds)]
    clock = statistics.median(one[0] / two[0] for one, two in rounds)
    processor = statistics.median(2 * one[1] / two[1] for one, two in rounds)
    busy = statistics.median(two[1] / two[0] for _, two in rounds)
    found = (
        Found("by the clock", clock, GOAL),
        Found("by processor time, at best", processor, GOAL),
        Found("cores that two jobs were given", busy, otherwise="2, or the neighbours tell"),
    )
    Console(highlight=False).print(table("scan --jobs 2 / --jobs 1", found))


if __name__ == "__main__":
    main()
