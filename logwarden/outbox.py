"""Takes messages from the outbox to the mail server, in a thread of its own, so that no line ever waits for mail.

Owns: one message at a time, and when the next attempt is due. Never: touches the database (the daemon does, when the
result comes back through its inbox), gives up (`mailing` does), or drops anything.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import NamedTuple

from .errors import EdgeError, MailError
from .model import Message

FIRST_RETRY = 60.0
LAST_RETRY = 3600.0


class Attempt(NamedTuple):
    """What became of one attempt. `error` is None where the server took it for every recipient."""

    message: Message
    error: str | None = None
    refused: tuple[str, ...] = ()
    """Recipients still to be served, where the server took the message for the others."""


def backoff(attempts: int) -> float:
    """Seconds until the next try after `attempts` failures: 1, 2, 4 ... minutes, an hour at most."""
    return float(min(FIRST_RETRY * 2.0 ** min(attempts, 16), LAST_RETRY))


class Courier:
    """One thread that delivers what it is given and reports each attempt."""

    def __init__(self, report: Callable[[Attempt], None]) -> None:
        self._report = report
        self._work: queue.SimpleQueue[tuple[Message, Callable[[Message], None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self.free = True
        """Whether a message may be handed over: what became of the last one is written down."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end, and do not wait: a mail server may hang, and the message is still in the outbox."""
        self._work.put(None)

    def carry(self, message: Message, deliver: Callable[[Message], None]) -> None:
        """Try `deliver(message)` once. For a courier that is free."""
        self.free = False
        self._work.put((message, deliver))

    def done(self) -> None:
        """The daemon has written down what became of the attempt: the next one may be made."""
        self.free = True

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            self._report(attempt(*work))


def attempt(message: Message, deliver: Callable[[Message], None]) -> Attempt:
    """Deliver once and say what became of it."""
    try:
        deliver(message)
    except MailError as error:
        return Attempt(message, str(error), tuple(error.refused))
    except EdgeError as error:
        return Attempt(message, str(error))
    return Attempt(message)
