"""Hear of changes in directories, through inotify.

Owns: the thread that listens, and which directories a pattern depends on. Directories are watched, not files, so that
what is renamed, made anew or appears later is heard of. One that does not exist yet is heard of through the nearest
one above it that does.
Never: reads a file. Never promises to tell all: a network file system tells nothing, so whoever listens looks for
himself once in a while; the kernel's full queue drops events, and then it is told that some were lost.
Fails: a directory that cannot be watched is named by `watch`, with the reason.
"""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Callable, Iterable, Mapping

from watchdog.observers.inotify_c import InotifyConstants as Kind

from .inotify import Event, Inotify

Heard = Callable[[str, bool], None]
"""Called in the listening thread with a path, and whether a name came, went or changed there, or was written to."""

Closed = Callable[[str], None]
"""Called in the listening thread with the path of a file that was open for writing and is not any more."""

Lost = Callable[[], None]
"""Called in the listening thread when events were dropped. Nothing is watched from then on until the next `watch`."""

_NAMES = Kind.IN_MOVE | Kind.IN_CREATE | Kind.IN_DELETE | Kind.IN_DELETE_SELF | Kind.IN_MOVE_SELF | Kind.IN_IGNORED
"""What tells of names. Of who only reads, ourselves among them, nothing is asked."""
_WRITTEN = Kind.IN_MODIFY | Kind.IN_ATTRIB


def directories(pattern: str, beyond: Callable[[str], bool] = lambda _: False) -> set[str]:
    """The directories in which a path that matches `pattern` (a path or a glob) may appear, or what leads there may.

    `beyond`: whether a path is not to be followed.
    """
    found: set[str] = set()
    level = {"/"}
    *parts, _ = os.path.abspath(pattern).strip("/").split("/")
    for part in parts:
        below = {os.path.join(base, part) for base in level}
        if glob.has_magic(part):
            found |= level
            below = {match for path in below for match in glob.glob(path) if not beyond(match)}
        found |= {os.path.dirname(path) for path in below if not os.path.isdir(path)}
        level = {path for path in below if os.path.isdir(path)}
    return {os.path.realpath(path) for path in found | level}


class DirectoryWatch:
    """Watches a changing set of directories: the first `watch` starts the thread that listens, `stop` ends it."""

    def __init__(self, heard: Heard, lost: Lost, closed: Closed | None = None) -> None:
        self._heard = heard
        self._lost = lost
        self._closed = closed
        self._mask = _NAMES | _WRITTEN | (Kind.IN_CLOSE_WRITE if closed else 0)
        self._lock = threading.Lock()  # for all that follows
        self._watches: dict[str, tuple[tuple[int, int], int]] = {}
        self._paths: dict[int, set[str]] = {}  # several, where a directory is mounted in two places
        self._inotify: Inotify | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def stop(self) -> None:
        """End the thread; nothing is told afterwards."""
        with self._lock:
            self._stopped = True
            ended, self._inotify = self._inotify, None
        if ended and self._thread:
            ended.stop()
            self._thread.join()
            ended.close()

    def watch(self, wanted: Iterable[str]) -> tuple[bool, Mapping[str, str]]:
        """Watch these directories and no others; returns whether any is new, and those that cannot be, with the reason.

        One that was deleted and made anew, or moved away and replaced, gets a new watch.
        """
        there = {path: inode for path in wanted if (inode := _inode(path)) is not None}
        failed, news = {}, False
        with self._lock:
            if self._stopped:
                return False, {}
            for path in [path for path, (inode, _) in self._watches.items() if there.get(path) != inode]:
                self._forget(path)
            for path in there.keys() - self._watches.keys():
                try:
                    watch = self._opened().add(path, self._mask)
                except OSError as error:
                    failed[path] = error.strerror or str(error)
                else:
                    self._watches[path] = (there[path], watch)
                    self._paths.setdefault(watch, set()).add(path)
                    news = True
        return news, failed

    def _opened(self) -> Inotify:
        """Raises OSError where the user may have no more of them: the next `watch` tries again."""
        if self._inotify is None:
            self._inotify = Inotify()
            self._thread = threading.Thread(target=self._run, args=(self._inotify,), name="inotify", daemon=True)
            self._thread.start()
        return self._inotify

    def _forget(self, path: str) -> None:
        _, watch = self._watches.pop(path)
        self._paths[watch].remove(path)
        if not self._paths[watch]:
            del self._paths[watch]
            self._opened().remove(watch)

    def _run(self, opened: Inotify) -> None:
        for event in opened.events():
            if event.mask & Kind.IN_Q_OVERFLOW:
                self._forget_all(opened)
                self._lost()
            else:
                self._tell(event)

    def _forget_all(self, opened: Inotify) -> None:
        """Which of them were deleted, and perhaps made anew with the same inode, may be among what was not told."""
        with self._lock:
            for watch in self._paths:
                opened.remove(watch)
            self._paths.clear()
            self._watches.clear()

    def _tell(self, event: Event) -> None:
        with self._lock:
            directories = sorted(self._paths.get(event.watch, ()))
            if event.mask & Kind.IN_IGNORED:  # deleted or unmounted: the next `watch` looks what is there now
                for path in self._paths.pop(event.watch, ()):
                    del self._watches[path]
        for directory in directories:
            path = os.path.join(directory, event.name) if event.name else directory
            if event.mask & Kind.IN_CLOSE_WRITE and self._closed:
                self._closed(path)
            elif event.mask & _NAMES or not event.mask & Kind.IN_ISDIR:
                self._heard(path, bool(event.mask & _NAMES))


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
