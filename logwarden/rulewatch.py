"""Hears, by inotify, that somebody edited the rules, and says so once it is quiet again.

Owns: the wait for the end of an edit: an editor writes, renames and removes within milliseconds, a copy of many files
within tenths of a second. Never: reads a rule, or reloads (the daemon does, in a thread, and keeps what was in force).
Fails: a directory that cannot be watched is not; `reload` and SIGHUP remain.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

from .rules.directory import is_noise
from .sources.directories import DirectoryWatch, directories

QUIET = 0.2
"""Seconds without a change after which an edit counts as done: a half-written file is waited out."""


class RuleWatch:
    """Calls `changed`, in a thread of its own, after each burst of changes under `paths` (rule directories, files)."""

    def __init__(self, paths: Iterable[str], changed: Callable[[], None], quiet: float = QUIET) -> None:
        self._paths = tuple(paths)
        self._changed = changed
        self._quiet = quiet
        self._heard = threading.Event()
        self._stopping = threading.Event()
        self._watch = DirectoryWatch(self._hear)
        self._thread = threading.Thread(target=self._run, name="rulewatch", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._watch.start()
        self._watch.watch(self._directories())
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, if `start` was called; nothing is said afterwards."""
        self._stopping.set()
        self._heard.set()
        if self._thread.is_alive():
            self._thread.join()
            self._watch.stop()

    def _hear(self, path: str, _names: bool) -> None:
        if not is_noise(os.path.basename(path)):  # logcheck's files have no suffix; one of a wrong name is to be said
            self._heard.set()

    def _run(self) -> None:
        while self._heard.wait() and not self._stopping.is_set():
            self._heard.clear()
            while self._heard.wait(self._quiet) and not self._stopping.is_set():
                self._heard.clear()
            if not self._stopping.is_set():
                self._watch.watch(self._directories())
                self._changed()

    def _directories(self) -> set[str]:
        """Where a rule file may appear: in each directory and one level below, or on the way to one that is missing."""
        return {found for path in self._paths for found in directories(os.path.join(path, "*", "x"))}
