"""The sources in force, running, and the gate between them and the inbox.

Owns: that a generation of sources ends before the next begins, and where the next begins.
Never: reads a line. Fails: a source that cannot start is a notice, and the others run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from .errors import EdgeError
from .inbox import Inbox
from .model import Ahead, Batch, Found, Lag, Notice
from .sources import Source

PATIENCE = 0.2
"""Seconds to wait for what the sources say of themselves: a file system that hangs must not hold the consumer."""


class Gate:
    """Lets what one generation of sources emits into the inbox, until it is closed for good.

    Once closed it drops everything: a batch let through after a dropped one would move the cursor over lines that
    nobody read. What is dropped stands behind its cursor and is read again.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._closed = threading.Event()

    def emit(self, item: Batch | Ahead | Notice) -> None:
        """What sources call, from their own threads."""
        if self._closed.is_set():
            return
        if isinstance(item, Batch):
            self._inbox.put_batch(item, self._closed.is_set)
        else:
            self._inbox.put(item)

    def close(self) -> None:
        """From now on drop everything."""
        self._closed.set()


class Feed:
    """One generation of sources. `trouble` hears of those that cannot start."""

    def __init__(self, sources: Sequence[Source], inbox: Inbox) -> None:
        self._sources = sources
        self._gate = Gate(inbox)
        self._lag: Mapping[str, Lag] = {}
        self._asking: threading.Thread | None = None

    def start(self, cursors: Mapping[str, str], trouble: Callable[[Source, EdgeError], None]) -> None:
        """Start every source behind its cursor."""
        for source in self._sources:
            try:
                source.start(self._gate.emit, cursors)
            except EdgeError as error:
                trouble(source, error)

    def lag(self) -> Mapping[str, Lag]:
        """How far each source is behind, by `Batch.source`; what waits in the inbox is not counted.

        Where a source does not answer in time, what was known last.
        """
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._ask, name="lag", daemon=True)
            self._asking.start()
        self._asking.join(PATIENCE)
        return self._lag

    def _ask(self) -> None:
        self._lag = {name: lag for source in self._sources for name, lag in source.lag().items()}

    def found(self) -> Mapping[str, Found]:
        """What came of each preset, by its path or glob."""
        return {pattern: found for source in self._sources for pattern, found in source.found().items()}

    def forget(self, sources: Collection[str]) -> None:
        """Keep no cursor of these."""
        for source in self._sources:
            source.forget(sources)

    def stop(self) -> None:
        """Close the gate, and end the threads behind it."""
        self._gate.close()
        for source in self._sources:
            source.stop()
