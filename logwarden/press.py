"""Makes digests, in a thread and from a view of the database of its own: neither a line nor a ban waits for one.

Owns: that they are made one at a time, in the order in which they were asked for.
Never: changes state: who asked does, when the daemon's loop hands over what was made.
Fails: who asked hears of it, of a bug too, whose traceback is logged: a line that no digest can be made of must not end
the daemon at each start, and all bans with it. Where nothing can be read beside the daemon, since it has locked the
database for a full disk, the loop makes the digest itself.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

from .errors import LogwardenError, StateError
from .state import Beside, Questions, State

log = logging.getLogger("logwarden")

Result = Callable[[], Any]
"""Gives what was made, or raises the LogwardenError that stood in the way."""
Done = Callable[[Result, float], None]
"""Hears of it, and what time it is by then."""


class Work(NamedTuple):
    """What to make of the database, and who is to hear of it."""

    make: Callable[[Questions], Any]
    done: Done


class Made(NamedTuple):
    """What came of it; `unread`: the database could not be read beside the daemon."""

    work: Work
    result: Result
    unread: bool = False


class Press:
    """`report` is called in the thread with what was made; `finished` must be called before the next is."""

    def __init__(self, state: State, directory: str, report: Callable[[Made], None]) -> None:
        self._state = state
        self._directory = directory
        self._report = report
        self._asked: deque[Work] = deque()
        self.busy = False

    @property
    def waiting(self) -> int:
        """How many wait to be made, besides the one that is being made."""
        return len(self._asked)

    def ask(self, make: Callable[[Questions], Any], done: Done) -> None:
        """Call `make` in the thread, and then `done` in the loop."""
        self._asked.append(Work(make, done))
        if not self.busy:
            self._start()

    def finished(self, made: Made, now: float) -> None:
        """Hand over what was made, and go on with what else was asked for. Raises what `done` raises."""
        result = _attempt(made.work, self._state) if made.unread else made.result
        self.busy = False
        if self._asked:
            self._start()
        made.work.done(result, now)

    def _start(self) -> None:
        self.busy = True
        threading.Thread(target=self._run, args=(self._asked.popleft(),), name="press", daemon=True).start()

    def _run(self, work: Work) -> None:
        try:
            beside = Beside(self._directory)
        except StateError as error:
            self._report(Made(work, _failed(error), unread=True))
            return
        with closing(beside):
            made = Made(work, _attempt(work, beside))
        self._report(made)


def _attempt(work: Work, questions: Questions) -> Result:
    try:
        made = work.make(questions)
    except LogwardenError as error:
        return _failed(error)
    except Exception as bug:
        log.exception("a digest could not be made")
        return _failed(StateError(f"a digest could not be made, for a bug: {type(bug).__name__}: {bug}"))
    return lambda: made


def _failed(error: LogwardenError) -> Result:
    def result() -> Any:
        raise error

    return result
