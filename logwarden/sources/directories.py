"""Hear of changes in directories, through watchdog's inotify.

Owns: the observer's threads, and which directories a pattern depends on. Directories are watched, not files, so that
what is renamed, made anew or appears later is heard of. One that does not exist yet is heard of through the nearest
one above it that does.
Never: reads a file. Never promises to tell all: a network file system tells nothing, a full inotify queue drops
events, a directory that is moved away takes its watch along. Whoever listens looks for himself once in a while.
Fails: a directory that cannot be watched is named by `watch`, with the reason.
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Iterable, Mapping

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import ObservedWatch
from watchdog.observers.inotify import InotifyObserver

Heard = Callable[[str, bool], None]
"""Called in the observer's thread with a path, and whether a name came, went or changed there, or was written to."""

Closed = Callable[[str], None]
"""Called in the observer's thread with the path of a file that was open for writing and is not any more."""

_KINDS = {"modified": False, "created": True, "moved": True, "deleted": True, "attrib": True}
"""watchdog's event types that matter, beside `closed`. Its others (opened, closed_no_write) tell of readers too, of
ourselves among them."""


def directories(pattern: str) -> set[str]:
    """The directories in which a path that matches `pattern` (a path or a glob) may appear, or what leads there may."""
    found: set[str] = set()
    level = {"/"}
    *parts, _ = os.path.abspath(pattern).strip("/").split("/")
    for part in parts:
        below = {os.path.join(base, part) for base in level}
        if glob.has_magic(part):
            found |= level
            below = {match for path in below for match in glob.glob(path)}
        found |= {os.path.dirname(path) for path in below if not os.path.isdir(path)}
        level = {path for path in below if os.path.isdir(path)}
    return {os.path.realpath(path) for path in found | level}


class DirectoryWatch:
    """Watches a changing set of directories. `start` before `watch`, `stop` at the end."""

    def __init__(self, heard: Heard, closed: Closed | None = None) -> None:
        logging.getLogger("watchdog").setLevel(
            logging.CRITICAL
        )  # it warns of dropped events, into the log that we read
        self._handler = _Handler(heard, closed)
        self._observer = InotifyObserver()
        self._watches: dict[str, tuple[tuple[int, int], ObservedWatch]] = {}

    def start(self) -> None:
        self._observer.start()

    def stop(self) -> None:
        self._observer.stop()
        self._observer.join()

    def watch(self, wanted: Iterable[str]) -> tuple[bool, Mapping[str, str]]:
        """Watch these directories and no others; returns whether any is new, and those that cannot be, with the reason.

        One that was deleted and made anew, or moved away and replaced, gets a new watch.
        """
        there = {path: inode for path in wanted if (inode := _inode(path)) is not None}
        for path in [path for path, (inode, _) in self._watches.items() if there.get(path) != inode]:
            _, watch = self._watches.pop(path)
            self._observer.unschedule(watch)
        failed, news = {}, False
        for path in there.keys() - self._watches.keys():
            try:
                watch = self._observer.schedule(self._handler, path, recursive=False)
            except OSError as error:
                failed[path] = error.strerror or str(error)
            else:
                self._watches[path] = (there[path], watch)
                news = True
        return news, failed


class _Handler(FileSystemEventHandler):
    def __init__(self, heard: Heard, closed: Closed | None) -> None:
        self._heard = heard
        self._closed = closed

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type == "closed" and self._closed:
            self._closed(os.fsdecode(event.src_path))
        names = _KINDS.get(str(event.event_type))
        if names is None or (event.is_directory and not names):
            return
        for path in (event.src_path, getattr(event, "dest_path", "")):
            if path:
                self._heard(os.fsdecode(path), names)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
