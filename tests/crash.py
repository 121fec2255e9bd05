"""A daemon that dies at a chosen point: `python tests/crash.py CONFIG POINT COUNT LOG`.

It writes CHUNKS chunks of lines into LOG, each once the one before it is accounted for, closes the period after some of
them, and exits with 0 when both digests are delivered. At the COUNT-th time that it comes to POINT it exits with DEAD,
as if killed there: nothing is closed, flushed or told to anybody. Run again, it goes on where it was.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from logwarden import config
from logwarden.daemon import Daemon
from logwarden.firewall.dryrun import DryRun
from logwarden.firewall.ipset import Ipset
from logwarden.mailer import Smtp
from logwarden.state import State, Transaction

DEAD = 42
CHUNKS, LINES = 6, 3
CLOSED_AFTER = (4, CHUNKS)
"""Chunks after which a period is closed."""
ATTACKER = "203.0.113.9"
POINTS = tuple(f"{when} {what}" for what in ("commit", "apply", "send", "copy") for when in ("before", "after"))


class Death:
    """Waits at one point."""

    def __init__(self, point: str, count: int) -> None:
        self._point, self._count = point, count
        self._passed: Counter[str] = Counter()

    def at(self, point: str) -> None:
        """The process is there: does it live?"""
        self._passed[point] += 1
        if point == self._point and self._passed[point] == self._count:
            os._exit(DEAD)

    def around(self, what: str, act: Callable[..., Any]) -> Callable[..., Any]:
        """`act`, with a point before and one after it."""

        def deadly(*arguments: Any, **more: Any) -> Any:
            self.at(f"before {what}")
            done = act(*arguments, **more)
            self.at(f"after {what}")
            return done

        return deadly

    def lurk(self) -> None:
        """Take all places."""
        transaction = State.transaction

        @contextmanager
        def deadly(state: State) -> Iterator[Transaction]:
            with transaction(state) as tx:
                yield tx
                self.at("before commit")
            self.at("after commit")

        State.transaction = deadly  # type: ignore[method-assign]
        for kind in (DryRun, Ipset):
            kind.apply = self.around("apply", kind.apply)  # type: ignore[method-assign]
        Smtp.deliver = self.around("send", Smtp.deliver)  # type: ignore[method-assign]
        State.copy_cursors = self.around("copy", State.copy_cursors)  # type: ignore[method-assign]


def chunk(number: int) -> str:
    """One line of each kind."""
    stamp = datetime.now(UTC).isoformat()
    messages = (
        f"app[1]: normal {number}",
        f"app[1]: strange-{number}",
        f"sshd[9]: Failed password for x from {ATTACKER}",
    )
    return "".join(f"{stamp} web1 {message}\n" for message in messages)


def live(daemon: Daemon, log: Path) -> None:
    """Until all is written, read, told and delivered."""
    while True:
        written = log.read_bytes().count(b"\n") // LINES
        while sum(daemon.state.read().values()) < written * LINES:
            daemon.step()
        period = daemon.state.period()
        if period and written >= CLOSED_AFTER[min(period[0], 2) - 1] and period[0] <= 2:
            daemon.close_period(daemon.clock())
        while daemon.state.next_delivery() is not None:
            daemon.step()
        if written == CHUNKS:
            return
        with log.open("a") as out:
            out.write(chunk(written))


def main() -> None:
    """Run the daemon until it is done, or dead."""
    Death(sys.argv[2], int(sys.argv[3])).lurk()
    Daemon._patience = lambda _: 0.02  # type: ignore[method-assign]
    daemon = Daemon(config.load(sys.argv[1]))
    try:
        daemon.start()
        live(daemon, Path(sys.argv[4]))
    finally:
        daemon.stop()


if __name__ == "__main__":
    main()
