"""The local journal: one reader of it all, unless a boot has written what sorts before the place of that.

A power loss makes journald begin a new sequence (see `sequences`). Where the clock is behind then, sd-journal sorts
what is written before what was read, and passes over it.

Owns: to know at a start which sequences are new, by those in the cursor. Where one begins before the place, each is
read by itself, until a start at which there is but one.
Never: does so for a new sequence while it runs: journald copies what is in /run to /var, and only one reader of all
knows the copies.
Fails: as Journal does; where it cannot be seen which files there are, one reader reads.
Bugs: old files that were put into the local journal while we were down are taken for such a boot. Where the clock went
far back within a sequence, and another was begun since, sd-journal comes to some entries of the first once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..model import Batch, Lag, Notice
from .journal_cursor import ENDED, load, place_of, sequence_of
from .journal_files import Files, JournalFile
from .journal_reader import Journal
from .sdjournal import EVERYTHING, Selection, open_reader
from .sequences import Sequences

ROOTS = ("/run/log/journal", "/var/log/journal")
_KNOWN = ";k="
"""Behind a cursor of sd-journal: the sequences that were there, by their first _DIGITS."""
_DIGITS = 8
_BOOT = re.compile(r";b=(\w+)")


class LocalJournal:
    """As Journal. `where` is what Reader takes, and `directories` are where the files of that lie."""

    def __init__(
        self,
        source: str,
        selection: Selection,
        *,
        cursor: str | None,
        from_start: bool,
        where: Mapping[str, object] | None = None,
        directories: Sequence[str] | None = None,
    ) -> None:
        self.source = source
        self.where: Mapping[str, object] = where or {}
        self._selection = selection
        self._from_start = from_start
        given, _, known = (cursor or "").partition(_KNOWN)
        self._cursor = None if cursor is None else given
        self._known = set(known.split(".")) if known else set()  # none: as they were before there was such a cursor
        self._directories = local() if directories is None else directories
        self._files = Files(self._directories, optional=True)
        self._journal: Journal | None = None
        self._alone = True  # one reader reads it all

    @property
    def pause(self) -> float:
        """See Journal."""
        return self._journal.pause if self._journal is not None else 0.0

    def poll(self, now: float) -> Iterator[Batch | Notice]:
        """See Journal."""
        if self._journal is None:
            self._journal = self._begin()
        for item in self._journal.poll(now):
            yield replace(item, cursor=self._noted(item.cursor)) if self._alone and isinstance(item, Batch) else item

    def close(self) -> None:
        """See Journal."""
        if self._journal is not None:
            self._journal.close()

    def lag(self) -> Lag:
        """See Journal."""
        return self._journal.lag() if self._journal is not None else Lag(0, 0.0)

    def awaits(self) -> tuple[int, int, float] | None:
        """See Journal."""
        return self._journal.awaits() if self._journal is not None else None

    def _begin(self) -> Journal:
        cursor, source, selection = self._cursor, self.source, self._selection
        there = self._look()
        if (places := load(cursor) if cursor else None) is not None and (last := _enough(places, there)) is not None:
            cursor, places = last, None
        new = self._new(cursor, there) if cursor and places is None else frozenset()
        self._alone = places is None and not new
        if not self._alone:
            where, directories = self.where, self._directories
            return Sequences(source, where, directories, selection, cursor=cursor, from_start=True, new=new)
        found = {name[:_DIGITS] for name in there}
        self._known = found | self._known if self._files.trouble or not there else found
        return Journal(source, self.where, selection, cursor=cursor, from_start=self._from_start)

    def _look(self) -> Mapping[str, Sequence[JournalFile]]:
        try:
            return self._files.look()
        except OSError:
            return {}

    def _new(self, cursor: str, there: Mapping[str, Sequence[JournalFile]]) -> frozenset[str]:
        """The sequences that were not there before, and begin before the cursor; where nothing is known, none."""
        unknown = {name for name in there if name[:_DIGITS] not in self._known} if self._known else set()
        return frozenset(name for name in unknown - {sequence_of(cursor)} if _precedes(there[name], cursor))

    def _noted(self, cursor: str) -> str:
        """With the sequences that are there."""
        if self._journal is not None and self._journal.changed:
            self._journal.changed = False
            self._known |= {name[:_DIGITS] for name in (*self._look(), *self._files.empty)}
        if cursor:
            self._known.add(sequence_of(cursor)[:_DIGITS])
        return f"{cursor}{_KNOWN}{'.'.join(sorted(self._known))}"


def _precedes(files: Sequence[JournalFile], cursor: str) -> bool:
    """Whether a sequence begins before the cursor; in the same boot it does not, for there no clock counts."""
    if min(files, key=lambda file: file.head).began >= place_of(cursor)[1]:
        return False
    try:
        reader = open_reader({"files": [file.path for file in files]}, EVERYTHING)
    except OSError:
        return True
    try:
        reader.seek_head()
        head = reader._get_cursor() if reader._next() else ""
    finally:
        reader.close()
    return _BOOT.findall(head) != _BOOT.findall(cursor)


def _enough(places: Sequence[str], there: Mapping[str, object]) -> str | None:
    """The place from which on one reader is enough again: there is no other sequence any more."""
    return next((place.removesuffix(ENDED) for place in places if there.keys() == {sequence_of(place)}), None)


def local() -> list[str]:
    """Where journald keeps the journal of this machine; see systemd-journald.service(8)."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        return []
    return [f"{root}/{machine}" for root in ROOTS] if machine else []
