"""The files of the config as one source, so that a mount that hangs stops no files but its own.

Those on local file systems are read by one thread. A mount that may keep its reader waiting for ever (`mounts`) has a
thread of its own, and so has a glob that leads to such mounts; what a glob finds there through a link is read with the
mount. While that thread hangs there is no second one: also the next generation of the source waits for it.

Owns: which files are read together, and saying that a mount hangs, and that it answers again.
Never: looks at a file itself; see `polling`.
Fails: where there is no mount table, all files are read by one thread.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from ..model import Ahead, Batch, Found, Lag, Notice, NoticeKind
from . import Emit
from .mounts import TABLE, matches, mounts, remote
from .polling import SWEEP, FileSpec, Poller
from .reading import continuation

__all__ = ["SWEEP", "FileSource", "FileSpec"]

PATIENCE = 60.0
"""Seconds without an answer after which a mount is said to hang."""
LOOK = 5.0
"""Seconds between two looks at the threads that may hang."""


class Group:
    """The files that one thread reads. `mount` is None for those on local file systems."""

    def __init__(self, mount: str | None, specs: Sequence[FileSpec], poller: Poller) -> None:
        self.mount, self.specs, self.poller = mount, specs, poller
        self.told = False
        """Whether it was said to hang."""
        self._emitting = threading.Lock()
        self._ended = False

    def start(self, emit: Emit, cursors: dict[str, str]) -> None:
        """Read on after `cursors`, and keep them up to date with what was emitted."""

        def pass_on(item: Batch | Ahead | Notice) -> None:
            with self._emitting:
                if self._ended:
                    return
                if isinstance(item, Batch):
                    cursors[item.source] = item.cursor
                emit(item)

        self.poller.start(pass_on, dict(cursors))

    def end(self) -> None:
        """Let nothing more through, and end the thread, unless it hangs."""
        with self._emitting:
            self._ended = True
        self.poller.stop()


class FileSource:
    """All files of the config. `clock` gives POSIX seconds; `from_start`: as if every item of the config said so.

    A first start of a path or glob otherwise begins at the present end of its files. What was watched before is kept
    under the source ids 'files' and 'files:MOUNT'; each file's own cursor under 'file:PATH'.
    """

    name = "files"

    def __init__(
        self,
        files: Sequence[FileSpec],
        *,
        clock: Callable[[], float] = time.time,
        from_start: bool = False,
        sweep: float = SWEEP,
        inotify: bool = True,
        patience: float = PATIENCE,
        look: float = LOOK,
    ) -> None:
        self._files = files
        self._clock = clock
        self._poller = partial(Poller, clock=clock, from_start=from_start, sweep=sweep, inotify=inotify)
        self._patience = patience
        self._look = look
        self._groups: dict[str | None, Group] = {}
        self._emit: Emit = _nowhere
        self._cursors: dict[str, str] = {}
        self._stop = threading.Event()
        self._wake = -1
        self._rousing = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, emit: Emit, cursors: Mapping[str, str]) -> None:
        """Begin to read; see Source. Raises ConfigError for a `continues` that does not compile."""
        for spec in self._files:
            if spec.continues is not None:
                continuation(spec.continues)
        self._emit, self._cursors = emit, dict(cursors)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._arrange()
        self._thread = threading.Thread(target=self._supervise, name="mounts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the threads. Waits at most a second for an `emit` that blocks, and for no mount that hangs."""
        self._stop.set()
        if self._thread is not None:
            self._rouse()
            self._thread.join(1.0)
            if not self._thread.is_alive():
                with self._rousing:
                    os.close(self._wake)
                    self._wake = -1
                self._thread = None
        for group in list(self._groups.values()):
            group.poller.stop()

    def forget(self, sources: Collection[str]) -> None:
        """See Source."""
        for source in sources:
            self._cursors.pop(source, None)

    def found(self) -> Mapping[str, Found]:
        """See Source."""
        found: dict[str, Found] = {}
        for group in list(self._groups.values()):
            for pattern, more in group.poller.found().items():
                known = found.get(pattern, Found())
                found[pattern] = Found((*known.read, *more.read), {**known.left, **more.left})
        return found

    def _rouse(self) -> None:
        """Let the supervisor look."""
        with self._rousing:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def lag(self) -> Mapping[str, Lag]:
        """See Source. Of files on a mount that may hang, what their own thread saw last."""
        return {source: lag for group in list(self._groups.values()) for source, lag in group.poller.lag().items()}

    # --- the supervisor's thread ----------------------------------------------------------------------------

    def _supervise(self) -> None:
        """Arrange the files anew when something was mounted or a link has come or gone, and look for what hangs."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        try:
            table = open(TABLE, "rb")  # noqa: SIM115 - closed below
        except OSError:
            return
        with table:
            poller.register(table, select.POLLPRI | select.POLLERR)
            owed = self._arrange()  # what was mounted before the table was open is not told
            while not self._stop.is_set():
                apart = any(group.mount is not None for group in self._groups.values())
                poller.poll(self._look * 1000 if apart or owed else None)
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
                if not self._stop.is_set():
                    owed = self._arrange()
                    for group in self._groups.values():
                        self._say(group)

    def _arrange(self) -> bool:
        """One thread for each mount that may hang, and one for all other files.

        Returns whether one is owed: that which a former generation had there still hangs.
        """
        wanted = self._wanted()
        for mount, group in list(self._groups.items()):
            if wanted.get(mount) != group.specs:
                del self._groups[mount]
                group.end()
        for mount in wanted.keys() - self._groups.keys():
            name = self.name if mount is None else f"{self.name}:{mount}"
            poller = self._poller(wanted[mount], name=name, apart=mount is not None, strayed=self._rouse)
            if not poller.haunted():
                self._groups[mount] = Group(mount, wanted[mount], poller)
                self._groups[mount].start(self._emit, self._cursors)
                if self._stop.is_set():
                    poller.stop()
        return bool(wanted.keys() - self._groups.keys())

    def _wanted(self) -> dict[str | None, list[FileSpec]]:
        table = mounts()
        wanted: dict[str | None, list[FileSpec]] = {}
        for spec in self._files:
            mount = remote(os.path.abspath(spec.path), table)
            wanted.setdefault(mount, []).append(spec)
            links = {} if mount else matches(spec.path, table)[1]
            for path, behind in sorted(links.items()):
                wanted.setdefault(behind, []).append(spec._replace(path=path, found_by=spec.path))
        return wanted

    def _say(self, group: Group) -> None:
        waited = group.poller.waits()
        hangs = waited is not None and waited >= self._patience
        if group.mount is None or hangs == group.told:
            return
        group.told = hangs
        text = "answers again: its files are read on from where they were"
        if hangs:
            text = f"has not answered for {self._patience:g} s: its files are read when it does, all others go on"
        self._emit(Notice(NoticeKind.SOURCE, group.mount, text, self._clock()))


def gone(sources: Iterable[str], named: Collection[str]) -> list[str]:
    """Those of some sources (`Batch.source`) that are files and are not there any more.

    But for the paths that are `named`, and those behind a mount that may hang, where nobody looks.
    """
    table = mounts()
    paths = {source: source[5:] for source in sources if source.startswith("file:")}
    here = {source: path for source, path in paths.items() if path not in named and remote(path, table) is None}
    return [source for source, path in here.items() if not os.path.lexists(path)]


def _nowhere(item: Batch | Ahead | Notice) -> None:
    raise RuntimeError(f"not started: {item}")
