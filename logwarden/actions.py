"""What else is done when somebody is banned, and when a ban ends: commands of the administrator's, without a shell.

Owns: the templates ({address} and the like in an argument), and the threads in which the commands run: each action has
`at_once` of them, a timeout for each try, and so many retries, a little later each time.
Never: delays a ban (it is in the kernel before), lets a value become more than one argument, or has a stranger's text:
values are the prefix, numbers, and names of our own rules.
Bounded: QUEUE bans wait for an action; what comes then is let go, and said.
Fails: into `report`, once for each ban whose command has failed for good.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from . import process
from .errors import CommandError
from .model import Ban

QUEUE = 10_000
PAUSE = 1.0
"""Seconds before the first retry; each later one waits twice as long."""
NAMES = ("address", "prefix", "family", "attack", "why", "hits", "seconds", "since", "until")
_PLACE = re.compile(r"\{([a-z_]*)\}")


class Action(NamedTuple):
    """One action of the config. An empty template: nothing is done at that occasion. `timeout` in seconds."""

    ban: tuple[str, ...] = ()
    unban: tuple[str, ...] = ()
    timeout: float = 10.0
    retries: int = 2
    at_once: int = 2


def check(template: Iterable[str]) -> None:
    """Raises ValueError for a place that no value is known for, and for a command that would vary."""
    first, *rest = template
    if _PLACE.search(first):
        raise ValueError(f"{first!r}: the command itself must be written out")
    for word in rest:
        for found in _PLACE.finditer(word):
            if found[1] not in NAMES:
                raise ValueError(f"{found[0]} is not one of {', '.join(f'{{{name}}}' for name in NAMES)}")


def values(ban: Ban) -> dict[str, str]:
    """What the places stand for. `address` is the prefix without its length where it is a single IPv4 address."""
    return {
        "prefix": ban.prefix,
        "address": ban.prefix.removesuffix("/32") if ":" not in ban.prefix else ban.prefix.removesuffix("/128"),
        "family": "6" if ":" in ban.prefix else "4",
        "attack": ban.attack,
        "why": ban.why,
        "hits": str(ban.hits),
        "seconds": str(round(ban.until - ban.since)),
        "since": _written(ban.since),
        "until": _written(ban.until),
    }


def filled(template: Iterable[str], given: Mapping[str, str]) -> list[str]:
    """The arguments, each with its values; a value is never looked into again."""
    return [_PLACE.sub(lambda found: given[found[1]], word) for word in template]


class Actions:
    """Runs the actions of one config. `report` hears, in a thread, of what failed for good."""

    def __init__(self, actions: Iterable[Action], report: Callable[[str], None], pause: float = PAUSE) -> None:
        self._report, self._pause = report, pause
        self._stopping = threading.Event()
        self._queues = [(action, queue.Queue[tuple[str, ...] | None](QUEUE)) for action in actions]
        self._full = False
        for action, waiting in self._queues:
            for _ in range(action.at_once):
                threading.Thread(target=self._work, args=(action, waiting), name="action", daemon=True).start()

    @property
    def unbans(self) -> bool:
        """Whether any of them wants to hear of the end of bans."""
        return any(action.unban for action, _ in self._queues)

    def banned(self, bans: Iterable[Ban]) -> None:
        """Run what is to be run for these bans. Returns at once."""
        self._put(bans, lambda action: action.ban)

    def unbanned(self, bans: Iterable[Ban]) -> None:
        """The same for bans that have ended, or were lifted."""
        self._put(bans, lambda action: action.unban)

    def stop(self) -> None:
        """Begin nothing more. A command that runs is not waited for."""
        self._stopping.set()
        for action, waiting in self._queues:
            for _ in range(action.at_once):
                with contextlib.suppress(queue.Full):
                    waiting.put_nowait(None)

    def _put(self, bans: Iterable[Ban], template: Callable[[Action], tuple[str, ...]]) -> None:
        given = [values(ban) for ban in bans] if self._queues else []
        for action, waiting in self._queues:
            for each in given if template(action) else ():
                self._wait(waiting, tuple(filled(template(action), each)))

    def _wait(self, waiting: queue.Queue[tuple[str, ...] | None], argv: tuple[str, ...]) -> None:
        try:
            waiting.put_nowait(argv)
            self._full = False
        except queue.Full:
            if not self._full:
                self._report(f"{argv[0]}: {QUEUE} bans wait for it; it is not run for those that come now")
            self._full = True

    def _work(self, action: Action, waiting: queue.Queue[tuple[str, ...] | None]) -> None:
        while (argv := waiting.get()) is not None and not self._stopping.is_set():
            self._run(action, argv)

    def _run(self, action: Action, argv: tuple[str, ...]) -> None:
        for again in range(action.retries + 1):
            try:
                process.run(argv, timeout=action.timeout, heard=False)
            except CommandError as error:
                if again == action.retries:
                    self._report(f"action: {error}")
                elif self._stopping.wait(self._pause * 2**again):
                    return
            else:
                return


def _written(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")
