"""Where lines come from: the Source protocol, and its two kinds, files and the systemd journal.

Owns: reading, waiting and the cursors. A source hands over whole lines in batches and never looks into them.
Never: matches, stores, or keeps a cursor of its own: the consumer commits a batch's cursor with the batch's
effects and hands the last committed ones back at the next start, so a crash neither loses nor repeats a line.
Fails: what cannot be read becomes a Notice and is tried again; what is gone for good becomes a gap, which a batch tells
together with the cursor behind it: no crash makes it be told twice, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from ..model import Ahead, Batch, Found, Lag, Notice

Emit = Callable[[Batch | Ahead | Notice], None]
"""Takes one batch or notice from a source's thread. Blocks while the consumer's queue is full: the back-pressure.

A batch may hold no line at all: then only its cursor counts (the place where a first start begins), and its gaps. A
source that is far behind shows its newest lines in an Ahead now and then, so that no ban waits for the backlog.
"""


class Source(Protocol):
    """One or more streams of lines read by threads of its own, which `start` starts and `stop` ends."""

    name: str

    def start(self, emit: Emit, cursors: Mapping[str, str]) -> None:
        """Begin to read after `cursors` (by `Batch.source`; other sources' are ignored) and return at once."""

    def lag(self) -> Mapping[str, Lag]:
        """How far it is behind, by `Batch.source`. May be asked from any thread, between `start` and `stop`."""

    def found(self) -> Mapping[str, Found]:
        """What came of each preset, by its path or glob. May be asked as `lag`."""

    def forget(self, sources: Collection[str]) -> None:
        """Keep no cursor of these (`Batch.source`): they are gone for good."""

    def stop(self) -> None:
        """End the threads. What was emitted stays emitted; what was not is read at the next start."""
