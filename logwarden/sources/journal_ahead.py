"""The newest entries of a journal whose backlog is long, read ahead of it for their attacks: a ban need not wait.

Owns: a reader of its own, open while the journal is far behind, which only goes forward, so that no entry is shown
twice unless it says so (`Ahead.anew`).
Never: moves the journal's place, from which these entries are read in their turn.
Fails: shows nothing where the journal cannot be read; the journal's own reader says why.
Bugs: of a journal that grows faster than it is looked at, only what is newest is shown, and anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..model import Ahead, Batch, Lag, Provenance
from .entry import Renderer
from .lines import FULL
from .sdjournal import INVALIDATE, Reader, Selection, open_reader

BEHIND = 10_000
"""Entries unread from which on a journal is far behind."""
LATE = 60.0
"""Seconds between its place and its end, likewise, where journald has not numbered the entries in one row."""
ENTRIES = 1_000
"""Entries that a look shows at most: a hundredth of a second's work."""


def is_far_behind(lag: Lag) -> bool:
    """Whether a ban would have to wait for the backlog."""
    return lag.entries > BEHIND or (not lag.entries and lag.seconds > LATE)


class JournalScout:
    """Looks at the end of one journal. `where` is what Reader takes, as for Journal."""

    def __init__(self, source: str, where: Mapping[str, object], selection: Selection) -> None:
        self._source, self._where, self._selection = source, where, selection
        self._renderer = Renderer()
        self._reader: Reader | None = None
        self._anew = True
        self._full = False  # the last look ended before the journal did

    def look(self) -> Ahead | None:
        """The last entries, at most ENTRIES and BLOCK bytes, that were not shown yet; None where there is none.

        What one look does not take is the next one's, and where that cannot take it either, what is newest then.
        """
        try:
            if self._reader is None or self._reader.process() == INVALIDATE:
                return self._begin()
            return self._look(self._reader)
        except (OSError, UnicodeDecodeError):
            self.close()
            return None

    def close(self) -> None:
        """The journal has caught up."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _begin(self) -> Ahead | None:
        self.close()
        self._anew = True
        self._reader = reader = open_reader(self._where, self._selection)
        reader.seek_tail()
        if not (begun := reader._previous(ENTRIES)):
            reader.seek_head()
        return self._look(reader, begun=begun)

    def _look(self, reader: Reader, *, begun: bool = False) -> Ahead | None:
        """`begun`: the entry at which the reader stands is to be shown as well."""
        lines: list[bytes] = []
        trusted: list[Provenance] = []
        size, full = 0, False
        while begun or reader._next():
            begun = False
            line, provenance = self._renderer.render(reader._get_all(), reader._get_realtime())
            lines.append(line)
            trusted.append(provenance)
            size += len(line)
            if full := len(lines) == ENTRIES or size > FULL:
                break
        if full and self._full:
            self.close()  # to begin again at its end
        self._full = full and self._reader is not None
        if not lines:
            return None
        anew, self._anew = self._anew, False
        return Ahead(Batch(self._source, b"".join(lines), len(lines), "", provenance=tuple(trusted)), anew)
