"""Hears, by inotify, that somebody edited the rules, and says so once it is quiet again.

Owns: the wait for the end of an edit: an editor writes, renames and removes within milliseconds, a copy of many files
within tenths of a second, and a file that somebody still writes to is half a file. Where that never ends, it is said
all the same, and again when there is more. Where so much happened that inotify could not tell it all, everything counts
as edited. What a link leads to is listened to where it lies, and so is each link on the way.
Never: reads a rule, or reloads (the daemon does, in a thread, and keeps what was in force).
Fails: a directory that cannot be watched is told to `deaf`, unless it may not even be read, which is the loader's to
say; `reload` and SIGHUP remain.
"""

from __future__ import annotations

import glob
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from .rules.directory import is_noise
from .sources.directories import DirectoryWatch, directories
from .sources.mounts import on_the_way

QUIET = 0.2
"""Seconds without a change after which an edit counts as done."""
LONGEST = 2.0
"""Seconds after which it counts as done though changes go on, while no file is half-written: a log may lie there."""
PATIENCE = 10.0
"""Seconds after which it counts as done in any case: whoever has a file open for writing may never close it."""


class RuleWatch:
    """Calls `changed`, in a thread of its own, after each burst of changes under `paths` (rule directories, files).

    Make it before the rules are read: what changes between that and `start` is heard of too.
    """

    def __init__(
        self,
        paths: Iterable[str],
        changed: Callable[[], None],
        deaf: Callable[[str], None] | None = None,
        quiet: float = QUIET,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = tuple(os.path.abspath(path) for path in paths)
        self._changed = changed
        self._deaf = deaf
        self._quiet = quiet
        self._patience = patience
        self._clock = clock
        self._places: set[str] = set()
        """The directories in which all names count."""
        self._led: set[str] = set()
        """The links, and what they lead to: in other directories these names alone count."""
        self._half: set[str] = set()
        """Files that somebody has begun to write and not closed yet."""
        self._whole: dict[str, int] = {}
        """Those that were closed in this burst, and when they had been written to."""
        self._seen = _stamps(self._paths)
        self._heard = threading.Event()
        self._stopping = threading.Event()
        self._watch = DirectoryWatch(self._hear, self._heard.set, self._close)
        self._thread = threading.Thread(target=self._run, name="rulewatch", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._listen()
        if _stamps(self._paths) != self._seen:
            self._heard.set()
        self._seen = frozenset()
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, if `start` was called; nothing is said afterwards."""
        self._stopping.set()
        self._heard.set()
        if self._thread.is_alive():
            self._thread.join()
            self._watch.stop()

    def _hear(self, path: str, names: bool) -> None:
        if not self._concerns(path):
            return
        written = _written(path, names)
        if written is None or written == self._whole.get(path):
            self._half.discard(path)
        else:
            self._half.add(path)
        self._heard.set()

    def _close(self, path: str) -> None:
        if path in self._half:
            self._half.discard(path)
            self._whole[path] = _written(path, names=False) or 0
            self._heard.set()

    def _concerns(self, path: str) -> bool:
        if path in self._led:
            return True
        if path in self._places or os.path.dirname(path) in self._places:
            # logcheck's files have no suffix; one of a wrong name is to be said
            return not is_noise(os.path.basename(path))
        return any(each.startswith(f"{path}/") for each in self._led)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._heard.wait()
            self._heard.clear()
            self._wait_for_the_end()
            self._half.clear()
            self._whole.clear()
            if not self._stopping.is_set():
                self._listen()
                self._changed()

    def _wait_for_the_end(self) -> None:
        """Of the burst that has begun."""
        begun = self._clock()
        while not self._stopping.is_set():
            left = begun + (self._patience if self._half else LONGEST) - self._clock()
            if left <= 0 or not self._heard.wait(left if self._half else min(self._quiet, left)):
                break
            self._heard.clear()

    def _listen(self) -> None:
        links = filter(os.path.islink, _found(self._paths))
        self._led = {each for path in (*self._paths, *links) for each in _led(path)}
        self._places = self._directories()
        beyond = {found for each in self._led for found in directories(glob.escape(each))}
        _, failed = self._watch.watch(self._places | beyond)
        for directory, why in failed.items():
            if self._deaf and os.access(directory, os.R_OK):
                self._deaf(f"{directory} cannot be watched ({why}): after an edit there, run `logwarden reload`")

    def _directories(self) -> set[str]:
        """Where a rule file may appear: in each directory and one level below, or on the way to one that is missing."""
        return {found for path in self._paths for found in directories(os.path.join(path, "*", "x"))}


def _stamps(paths: Iterable[str]) -> frozenset[tuple[str, int, int]]:
    """What tells the files of these directories, and those one level below, from what they are after an edit."""
    stamps = set()
    for path in _found(paths):
        with suppress(OSError):
            for look in (os.lstat, os.stat):
                info = look(path)
                stamps.add((path, info.st_ino, info.st_mtime_ns))
    return frozenset(stamps)


def _found(paths: Iterable[str]) -> Iterator[str]:
    """These directories, what is in them, and one level below."""
    for path in paths:
        for depth in ("", "*", "*/*"):
            yield from glob.iglob(os.path.join(glob.escape(path), depth))


def _led(path: str) -> set[str]:
    """The links on the way to what a path means, and where these lead, be it a file or nothing yet. Not a device: to
    /dev/null somebody writes all the time."""
    steps = list(on_the_way(path))
    links = set(filter(os.path.islink, steps))
    if links and (os.path.isfile(steps[-1]) or not os.path.lexists(steps[-1])):
        links.add(steps[-1])
    return links


def _written(path: str, names: bool) -> int | None:
    """When a file that was written to, or (`names`) may be new, was written to, ns; None: it was not, or it is no file.

    A write sets both times of a file; whatever else happens to it later sets `ctime` alone. One that is new and not
    empty was moved here, or the write that made it longer is heard of in a moment.
    """
    try:
        found = os.lstat(path)
    except OSError:
        return None
    fresh = stat.S_ISREG(found.st_mode) and found.st_mtime_ns == found.st_ctime_ns
    return found.st_mtime_ns if fresh and (not names or found.st_size == 0) else None
