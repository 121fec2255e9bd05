"""What it takes until a rule is in force, on this machine: `python -m tests.bench.start [--rounds N]`.

A real daemon in a temporary directory, with the rules of the installed logcheck-database, all attack rules that we ship
and a dry-run firewall: its first start, which compiles; starts after that, with compiled rules at hand; how soon a
saved local rule ignores lines beside all rules of the database, while lines pour in; and the memory it takes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from logwarden.control import ask

from ..demo.stage import daemon
from .goals import Found, table

ROOT = Path(__file__).resolve().parents[2]
LOGCHECK = "/etc/logcheck"
BURST, PAUSE = 200, 0.02
"""Lines that are written at once, and the seconds until the next are: 10,000 lines a second."""
PATIENCE = 60.0


class Stage:
    """The places of a daemon in a directory, and its config: logcheck's rules of `level`, our attack rules."""

    def __init__(self, place: Path, level: str) -> None:
        self.log, self.rules = place / "app.log", place / "ignore.d"
        self.config, self.socket = place / "logwarden.yaml", str(place / "control.sock")
        self.rules.mkdir(parents=True)
        (place / "state").mkdir(mode=0o750)  # as systemd does (StateDirectory=)
        self.log.touch()
        self.config.write_text(
            f"""
state: {place}/state
socket: {self.socket}
host: bench
sources: {{files: [{{path: {self.log}}}]}}
rules: {{ignore: [{self.rules}], attack: [{ROOT}/attack.d]}}
logcheck: {{rules: true, path: {LOGCHECK}, level: {level}}}
bans: {{backend: dry-run}}
digest: {{schedule: yearly}}
"""
        )

    @contextmanager
    def pouring(self) -> Iterator[None]:
        """Lines are written to the log until the block ends."""
        done = threading.Event()

        def pour() -> None:
            with self.log.open("a") as log:
                while not done.wait(PAUSE):
                    stamp = datetime.now(UTC).isoformat()
                    log.write(f"{stamp} bench app[1]: nothing ignores this\n" * BURST)
                    log.flush()

        writer = threading.Thread(target=pour)
        writer.start()
        try:
            yield
        finally:
            done.set()
            writer.join()


def started(stage: Stage) -> tuple[float, int]:
    """Seconds from the start of the process until it is ready, and the kB of memory that it then takes."""
    begun = time.perf_counter()
    with daemon(stage.config) as process:
        seconds = time.perf_counter() - begun
        return seconds, resident(process.pid)


def resident(process: int) -> int:
    """kB of memory that a process has in use."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def edited(stage: Stage, rounds: int) -> tuple[list[float], int]:
    """Seconds from each edit of a local rule until lines are judged by it, while lines pour in; and the memory, in kB,
    after the last."""
    rules = stage.rules / "local.rules"
    rules.write_text("")
    with daemon(stage.config) as process, stage.pouring():
        taken = []
        for number in range(rounds):
            before = ignored(stage)
            begun = time.perf_counter()
            new = rules.with_name(f".{number}.swp")
            new.write_text(f"other: {number}\n" + ("app: nothing ignores this\n" if number % 2 == 0 else ""))
            new.rename(rules)
            wait_for(stage, before, grows=number % 2 == 0)
            taken.append(time.perf_counter() - begun)
        return taken, resident(process.pid)


def ignored(stage: Stage) -> int:
    return int(ask(stage.socket, "status")["lines"]["ignored"])


def wait_for(stage: Stage, before: int, *, grows: bool) -> None:
    """Until the count of ignored lines grows, or has stopped to."""
    deadline = time.perf_counter() + PATIENCE
    while time.perf_counter() < deadline:
        time.sleep(0.01 if grows else 4 * PAUSE)
        now = ignored(stage)
        if (now > before) is grows:
            return
        before = before if grows else now
    raise SystemExit("the edit never came into force")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed logwarden has its bytecode
    with tempfile.TemporaryDirectory(prefix="logwarden-bench-") as place:
        server, all_of_it = Stage(Path(place) / "server", "server"), Stage(Path(place) / "all", "workstation")
        cold, grown = started(server)
        warm = [started(server) for _ in range(given.rounds)]
        started(all_of_it)
        edits, memory = edited(all_of_it, 2 * given.rounds - 1)
    ms, mb = "{:.0f} ms", "{:.0f} MB"
    rest = statistics.median(kilobytes for _, kilobytes in warm) / 1e3
    found = (
        Found("first start, which compiles", cold, form="{:.1f} s"),
        Found("memory after it", grown / 1e3, 45, below=True, form=mb),
        Found("warm start", statistics.median(seconds for seconds, _ in warm) * 1e3, 300, below=True, form=ms),
        Found("memory after a warm start", rest, 45, below=True, form=mb),
        Found("an edit in force", statistics.median(edits[::2]) * 1e3, 1_000, below=True, form=ms),
        Found("memory after the edits", memory / 1e3, 45, below=True, form=mb),
    )
    Console(highlight=False).print(table("what", found))


if __name__ == "__main__":
    main()
