"""A daemon that dies at a chosen point: `python tests/crash.py CONFIG LOG ATTACKER PLAY POINT COUNT`.

It writes lines into LOG, does what the PLAY is about, and exits with 0 when that is done. At the COUNT-th time that it
comes to POINT it exits with DEAD, as if killed there: nothing is closed, flushed or told to anybody. Run again, it goes
on where it was. Its clocks stand still but where the play sets them, also while it is dead.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from small import NOW, Hands

from logwarden import atomic, config, undeliverable
from logwarden.daemon import Daemon
from logwarden.firewall.dryrun import DryRun
from logwarden.firewall.ipset import Ipset
from logwarden.firewall.nftables import Nftables
from logwarden.mailer import Smtp
from logwarden.state import State, Transaction

DEAD = 42
CHUNKS, LINES = 6, 3
CLOSED_AFTER = (4, CHUNKS)
"""Chunks after which a period is closed."""
POINTS = tuple(f"{when} {what}" for what in ("commit", "apply", "send", "copy") for when in ("before", "after"))
WITHIN = ("give_up", "shift")
"""What a transaction may do besides: `after` it is before the commit, `committed` is after that."""
YEAR = 366 * 86_400.0


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

    def _around_bans(self, apply: Callable[..., Any]) -> Callable[..., Any]:
        """The points are around an `apply` of bans; most turns of the daemon have none."""
        deadly = self.around("apply", apply)
        return lambda firewall, bans, now: (deadly if bans else apply)(firewall, bans, now)

    def lurk(self) -> None:
        """Take all places."""
        transaction = State.transaction

        @contextmanager
        def deadly(state: State) -> Iterator[Transaction]:
            with transaction(state) as tx:
                yield tx
                self.at("before commit")
            self.at("after commit")
            for what in WITHIN:
                if self._passed[f"after {what}"]:
                    self.at(f"committed {what}")

        State.transaction = deadly  # type: ignore[method-assign]
        for kind in (DryRun, Ipset, Nftables):
            kind.apply = self._around_bans(kind.apply)  # type: ignore[method-assign]
        Smtp.deliver = self.around("send", Smtp.deliver)  # type: ignore[method-assign]
        State.copy_cursors = self.around("copy", State.copy_cursors)  # type: ignore[method-assign]
        undeliverable.keep = self.around("keep", undeliverable.keep)
        for what in WITHIN:
            setattr(Transaction, what, self.around(what, getattr(Transaction, what)))


class Stage:
    """A daemon, its log, and its clocks, which outlive it."""

    def __init__(self, settings: str, log: Path, attacker: str) -> None:
        self._attacker = attacker
        self.log, self._file = log, log.with_name("clocks")
        self.hands = Hands(*json.loads(self._file.read_text())) if self._file.exists() else Hands()
        self.daemon = Daemon(config.load(settings), lambda: self.hands.wall, lambda: self.hands.since_boot)

    def set(self, wall: float, since_boot: float) -> None:
        """Move the clocks by so many seconds."""
        self.hands.wall, self.hands.since_boot = self.hands.wall + wall, self.hands.since_boot + since_boot
        atomic.write(self._file, json.dumps([self.hands.wall, self.hands.since_boot]).encode())

    def pass_by_until_due(self) -> None:
        """Let the time pass until the next attempt to deliver, unless one is under way."""
        due = self.daemon.state.next_delivery()
        if due is not None and due > self.hands.wall and self.daemon.courier.free:
            self.set(due - self.hands.wall, due - self.hands.wall)

    def close_period(self) -> None:
        """End the period, and wait for its digest to be made."""
        self.daemon.close_period(self.daemon.clock())
        self.rest()

    def rest(self) -> None:
        """Wait for a digest that is being made."""
        while self.daemon.press.busy:
            self.daemon.step()

    def read(self, chunks: int) -> None:
        """Let so many chunks be written, and read."""
        written = self.log.read_bytes().count(b"\n") // LINES
        with self.log.open("a") as out:
            out.writelines(self._chunk(number) for number in range(written, chunks))
        while sum(self.daemon.state.read().values()) < chunks * LINES:
            self.daemon.step()

    def _chunk(self, number: int) -> str:
        """One line of each kind."""
        stamp = datetime.fromtimestamp(self.hands.wall, UTC).isoformat()
        messages = (
            f"app[1]: normal {number}",
            f"app[1]: strange-{number}",
            f"sshd[9]: Failed password for x from {self._attacker}",
        )
        return "".join(f"{stamp} web1 {message}\n" for message in messages)


def live(stage: Stage) -> None:
    """CHUNKS chunks, each once the one before it is accounted for; after some of them the period is closed, and its
    digest delivered."""
    daemon = stage.daemon
    for chunks in range(CHUNKS + 1):
        stage.read(chunks)
        period = daemon.state.period()
        if period and chunks >= CLOSED_AFTER[min(period[0], 2) - 1] and period[0] <= 2:
            stage.close_period()
        stage.rest()
        while daemon.state.next_delivery() is not None:
            stage.pass_by_until_due()
            daemon.step()


def give_up(stage: Stage) -> None:
    """One digest, which the server never takes, until it is given up."""
    daemon = stage.daemon
    stage.read(1)
    if not daemon.state.undelivered():
        stage.close_period()
    stage.rest()
    while daemon.state.next_delivery() is not None:
        stage.pass_by_until_due()
        daemon.step()


def jump(stage: Stage, by: float) -> None:
    """A ban and a digest that waits; then somebody sets the clock, and a minute passes."""
    daemon = stage.daemon
    stage.read(3)
    if not daemon.state.undelivered():
        stage.close_period()
        stage.set(61, 61)
        daemon.step()  # the minute's round: how the clocks stand is written down
    if abs(stage.hands.wall - NOW) < YEAR / 2:
        stage.set(by, 0)
    daemon.step()
    stage.set(61, 61)
    daemon.step()


PLAYS: dict[str, Callable[[Stage], None]] = {
    "live": live,
    "give up": give_up,
    "ahead": lambda stage: jump(stage, YEAR),
    "back": lambda stage: jump(stage, -YEAR),
}


def main() -> None:
    """Run the daemon until it is done, or dead."""
    settings, log, attacker, play, point, count = sys.argv[1:]
    Death(point, int(count)).lurk()
    Daemon._patience = lambda _: 0.02  # type: ignore[method-assign]
    stage = Stage(settings, Path(log), attacker)
    try:
        stage.daemon.start()
        PLAYS[play](stage)
    finally:
        stage.daemon.stop()


if __name__ == "__main__":
    main()
