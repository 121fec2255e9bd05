"""What is used of python-systemd, see sd-journal(3): its Reader, and the matches that select entries.

Fails: with EdgeError where python-systemd is not installed, saying what to install.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from ..errors import EdgeError
from ..model import MAX_LINE
from .entry import Fields

INVALIDATE = 2
"""SD_JOURNAL_INVALIDATE of sd_journal_get_fd(3)."""


class Reader(Protocol):
    """What is used of systemd.journal.Reader; see sd-journal(3)."""

    data_threshold: int

    def _next(self) -> bool: ...
    def _previous(self, skip: int = 1) -> bool: ...
    def _get_all(self) -> Fields: ...
    def _get_realtime(self) -> int: ...
    def _get_cursor(self) -> str: ...
    def test_cursor(self, cursor: str) -> bool: ...
    def seek_cursor(self, cursor: str) -> None: ...
    def seek_head(self) -> None: ...
    def seek_tail(self) -> None: ...
    def add_match(self, **fields: str) -> None: ...
    def add_conjunction(self) -> None: ...
    def add_disjunction(self) -> None: ...
    def fileno(self) -> int: ...
    def get_events(self) -> int: ...
    def get_timeout_ms(self) -> int: ...
    def process(self) -> int: ...
    def has_persistent_files(self) -> bool: ...
    def has_runtime_files(self) -> bool: ...
    def close(self) -> None: ...


class Selection(NamedTuple):
    """Which entries to read: those of any of the units (all: none given), of at most this priority (0 to 7)."""

    units: tuple[str, ...] = ()
    priority: int | None = None

    def apply(self, reader: Reader) -> None:
        """Add the matches: what the units write, and what systemd itself says about them; see journalctl(1) -u."""
        for unit in self.units:
            reader.add_match(_SYSTEMD_UNIT=unit)
            reader.add_disjunction()
            reader.add_match(_PID="1", UNIT=unit)
            reader.add_disjunction()
        if self.priority is not None:
            reader.add_conjunction()
            for priority in range(self.priority + 1):
                reader.add_match(PRIORITY=str(priority))


EVERYTHING = Selection()
"""No matches: every entry."""


def open_reader(where: Mapping[str, object], selection: Selection) -> Reader:
    """A reader of the journal at `where` (what Reader takes) that hears of what is appended from here on.

    Of given files it hears nothing, and only reads what is there: a user has 128 descriptors that hear.
    """
    reader: Reader = module().Reader(**where)
    reader.data_threshold = MAX_LINE + 1024  # so that a message cut by it is still seen to be too long
    selection.apply(reader)
    if "files" not in where:
        reader.fileno()
    return reader


def available() -> None:
    """Raise EdgeError where python-systemd is missing."""
    module()


def module() -> Any:
    """systemd.journal. Raises EdgeError where it is missing."""
    try:
        return importlib.import_module("systemd.journal")
    except ImportError as error:
        raise EdgeError(
            "the journal cannot be read without python-systemd: install Debian's python3-systemd, or "
            "'pip install systemd-python' where libsystemd-dev is installed"
        ) from error
