"""The one queue: everything that the daemon's one consumer must hear of, in the order in which it came.

Batches take a slot each, and wait for one: that is the back-pressure that keeps memory bounded while a backlog is
read. All else (requests, signals, results, and what was read ahead, whose source waits with its next batch) takes none
and never waits, so it is safe in a signal handler: SimpleQueue.put is reentrant, queue.Queue.put is not.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from .model import Batch

SLOTS = 3
"""Batches (0.75 MiB each) that may wait: 2.25 MiB."""
CROWD = 3
"""Items that wait where more is read than judged: results and requests come by one or two."""


class Signalled(NamedTuple):
    """A signal came."""

    number: int


class Crashed(NamedTuple):
    """A thread met a bug. The daemon ends with it rather than live on without that thread."""

    bug: BaseException | None


@dataclass(frozen=True, slots=True)
class Edited:
    """Somebody edited the rules."""


class Inbox:
    """Many senders, one receiver."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._slots = threading.BoundedSemaphore(slots)

    def put(self, item: Any) -> None:
        """Add what is no batch. Never waits."""
        self._queue.put(item)

    def put_batch(self, batch: Batch, closed: Callable[[], bool]) -> None:
        """Add a batch once there is a slot; drop it where `closed` becomes true meanwhile."""
        while not self._slots.acquire(timeout=0.1):
            if closed():
                return
        if closed():
            self._slots.release()
        else:
            self._queue.put(batch)

    def get(self, timeout: float | None) -> Any:
        """The next item, or None after `timeout` seconds (at once where that is not above 0)."""
        try:
            if timeout is not None and timeout <= 0:
                return self._queue.get_nowait()
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None

    def release(self, batches: int) -> None:
        """So many batches are accounted for: their slots are free."""
        for _ in range(batches):
            self._slots.release()

    def __len__(self) -> int:
        return self._queue.qsize()
