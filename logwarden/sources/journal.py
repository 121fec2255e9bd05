"""The systemd journal as a source, through python-systemd.

Owns: the thread in which all journals are read, since a Reader is not thread-safe: the local journal, or those of the
directories given. A wait ends with an event of a journal or with `stop`, never by polling.
Never: reads a journal itself; see `journal_reader` and `sequences`.
Fails: see there.
"""

from __future__ import annotations

import itertools
import os
import select
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from ..model import Batch, Found, Lag
from . import Emit
from .ahead import EVERY
from .journal_ahead import JournalScout, is_far_behind
from .journal_local import LocalJournal
from .journal_reader import ENTRIES, RETRY, Journal
from .lines import FULL
from .sdjournal import EVERYTHING, Selection, available
from .sequences import Sequences

PATIENCE = 1.0
"""Seconds that a start waits for the journals to be opened: one may lie on a disk that hangs."""


_Any = Journal | LocalJournal


class JournalSource:
    """The local journal, or instead the journals of `directories`.

    The local journal's source id is 'journal', a directory's 'journal:DIRECTORY'. Its first start begins at its end, or
    with `from_start` at its beginning. Raises EdgeError from `start` where python-systemd is missing.
    """

    name = "journal"

    def __init__(
        self,
        selection: Selection = EVERYTHING,
        *,
        directories: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
        from_start: bool = False,
    ) -> None:
        self._selection = selection
        self._directories = directories
        self._clock = clock
        self._from_start = from_start
        self._journals: Sequence[_Any] = ()
        self._scouts: dict[str, JournalScout] = {}
        self._next_look = 0.0  # monotonic seconds
        self._begun = threading.Event()  # each stands where it begins: what is logged from then on is read
        self._stopping = False
        self._wake = -1
        self._thread: threading.Thread | None = None

    def start(self, emit: Emit, cursors: Mapping[str, str]) -> None:
        """Begin to read; see Source."""
        available()
        self._journals = journals = list(self._open(cursors))
        self._scouts = {
            journal.source: JournalScout(journal.source, journal.where, self._selection) for journal in journals
        }
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, args=(emit, journals), name="journal", daemon=True)
        self._thread.start()
        self._begun.wait(PATIENCE)

    def _open(self, cursors: Mapping[str, str]) -> Iterator[_Any]:
        selection, from_start = self._selection, self._from_start
        for path in self._directories:
            source = f"journal:{path}"
            yield Sequences(
                source, {"path": path}, [path], selection, cursor=cursors.get(source), from_start=from_start
            )
        if not self._directories:
            yield LocalJournal("journal", selection, cursor=cursors.get("journal"), from_start=from_start)

    def lag(self) -> Mapping[str, Lag]:
        """See Source. Seconds are between the last entry read and the newest."""
        return {journal.source: journal.lag() for journal in self._journals}

    def found(self) -> Mapping[str, Found]:
        """See Source: a journal is no preset."""
        return {}

    def forget(self, sources: Collection[str]) -> None:
        """See Source. It keeps none."""

    def stop(self) -> None:
        """End the thread. Waits at most a second for an `emit` that blocks."""
        self._stopping = True
        if self._thread is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join(1.0)

    def _run(self, emit: Emit, journals: Sequence[_Any]) -> None:
        try:
            begins = [journal.poll(self._clock()) for journal in journals]
            firsts = [list(itertools.islice(items, 1)) for items in begins]
            self._begun.set()
            polls = [itertools.chain(first, items) for first, items in zip(firsts, begins, strict=True)]
            while not self._stopping:
                while polls and not self._stopping:  # a batch of each in turn
                    for items in list(polls):
                        if (item := next(items, None)) is None:
                            polls.remove(items)
                        else:
                            emit(item)
                            if isinstance(item, Batch) and _is_full(item):
                                self._look_ahead(emit, journals)
                for scout in self._scouts.values():
                    scout.close()
                if not self._stopping:
                    self._wait(journals)
                    polls = [itertools.chain((), journal.poll(self._clock())) for journal in journals]
        finally:
            for journal in journals:
                journal.close()
            for scout in self._scouts.values():
                scout.close()

    def _look_ahead(self, emit: Emit, journals: Sequence[_Any]) -> None:
        """Show the newest entries of the journals that are far behind, no oftener than EVERY seconds."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + EVERY
        for journal in journals:
            if is_far_behind(journal.lag()) and (ahead := self._scouts[journal.source].look()) is not None:
                emit(ahead)

    def _wait(self, journals: Sequence[_Any]) -> None:
        """Until a journal has news, or `stop`; a minute where one could not be opened."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        poller.poll(max(journal.pause for journal in journals) * 1000)
        patience = [-1.0]
        for journal in journals:
            if (awaited := journal.awaits()) is None:
                patience.append(RETRY)
            else:
                fd, events, seconds = awaited
                poller.register(fd, events)
                patience.append(seconds)
        limits = [seconds for seconds in patience if seconds >= 0]
        poller.poll(min(limits) * 1000 if limits else None)


def _is_full(batch: Batch) -> bool:
    """Whether it may be one of many."""
    return batch.count == ENTRIES or len(batch.block) > FULL
