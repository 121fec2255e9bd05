"""Builds a new Watch while the old one is in force, one at a time, in a thread.

Owns: who asked for a reload and hears of it; that those asked for while one is compiled lead to one more, afterwards.
Never: puts anything in force: the daemon swaps, between two batches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from . import config, watch
from .errors import LogwardenError
from .settings import Config
from .watch import Watch

Reply = Future[dict[str, Any]]


class Rebuilt(NamedTuple):
    """What came of a reload; `replies` wait for it."""

    replies: tuple[Reply, ...]
    result: Watch | LogwardenError

    def built(self) -> Watch:
        """The new Watch. Raises the error that it met."""
        if isinstance(self.result, LogwardenError):
            raise self.result
        return self.result


class Reloader:
    """`done` is called in the thread with what came of each reload; `finished` must be called before the next."""

    def __init__(self, done: Callable[[Rebuilt], None]) -> None:
        self._done = done
        self._busy = False
        self._asked: list[tuple[Config, bool, Reply | None]] = []

    def ask(self, settings: Config, *, reread: bool, reply: Reply | None = None) -> None:
        """Build a Watch of `settings`, or (`reread`) of what its file says now. `reply` hears of it."""
        self._asked.append((settings, reread, reply))
        if not self._busy:
            self._start()

    def finished(self) -> None:
        """The last result is dealt with: go on with what was asked for meanwhile."""
        self._busy = False
        if self._asked:
            self._start()

    def _start(self) -> None:
        asked, self._asked, self._busy = self._asked, [], True
        replies = tuple(reply for _, _, reply in asked if reply)
        arguments = (asked[-1][0], any(reread for _, reread, _ in asked), replies)
        threading.Thread(target=self._build, args=arguments, name="reload", daemon=True).start()

    def _build(self, settings: Config, reread: bool, replies: tuple[Reply, ...]) -> None:
        try:
            if reread:
                settings = config.load(settings.file or config.DEFAULT_PATH, remember=True)
            self._done(Rebuilt(replies, watch.build(settings)))
        except LogwardenError as error:
            self._done(Rebuilt(replies, error))
