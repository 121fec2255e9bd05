"""Files that are read together: a thread that polls tails when inotify says so.

Owns: which files there are (globs, files that appear later), and when each is polled: after an event, when a tail
says it is due, and all of them once a minute, for file systems that tell nothing, and when inotify has lost events.
Several tails with a backlog take turns, a batch at a time; where it is long, the newest lines are shown ahead of it
(`ahead`).
Never: reads a file itself; see `tail`.
Fails: a directory that cannot be watched is one Notice, and its files are read once a minute.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from ..model import Ahead, Batch, Found, Lag, Manner, Notice, NoticeKind
from . import Emit
from .ahead import BEHIND, EVERY, TURN, Scout
from .directories import DirectoryWatch, directories
from .mounts import matches, mounts, remote
from .place import load
from .presets import CROWD, Presets, unreadable
from .rotation import bases, is_packed, members, status
from .tail import Tail

SWEEP = 60.0
"""Seconds between two polls of all files, whatever inotify says."""
PAUSE = 0.005
"""Seconds between two rounds of polls, so that a writer of many single lines does not cost a round for each: 800 such
lines a second take 27% of a core, with 10 ms 24, and with 3 ms 33. A ban may have to wait for it."""
_AT_ONCE = 64  # files with a backlog that take turns; more would only be more open files
_RESCAN = 20  # times as long as a look for new files took, until the next: a directory in turmoil costs 5% of a core
_GRACE = 0.1  # seconds that a thread gets to end that probably hangs


class FileSpec(NamedTuple):
    """One item of `sources.files`: a path or glob; the program of lines that name none; what continues a line.

    `from_start`: at a first start, read what is there already. `found_by`: the item of the config whose glob has found
    this path, where that is a link to another mount. `manner` is what each batch says.

    Or a preset, where `besides` has the items of the config: it need not be there, and what they mean is not its.
    """

    path: str
    program: str | None = None
    continues: str | None = None
    from_start: bool = False
    found_by: str | None = None
    manner: Manner = Manner()
    besides: tuple[str, ...] | None = None

    @property
    def item(self) -> str:
        """The path or glob as somebody has written it."""
        return self.found_by or self.path


class Poller:
    """The files of some items of the config; see FileSource. `apart`: they lie on a mount that may hang, and nobody but
    their own thread looks at them; else `strayed` hears when the links to such mounts are not those of before."""

    def __init__(
        self,
        files: Sequence[FileSpec],
        *,
        name: str,
        apart: bool,
        strayed: Callable[[], None],
        clock: Callable[[], float],
        from_start: bool,
        sweep: float,
        inotify: bool,
    ) -> None:
        self.name = name
        self._apart = apart
        self._strayed = strayed
        self._beyond: dict[str, Mapping[str, str]] = {}  # by glob
        self._files = files
        self._clock = clock
        self._from_start = from_start
        self._sweep = sweep
        self._inotify = inotify
        self._tails: dict[str, Tail] = {}
        self._presets = {spec.path: Presets(spec.path, spec.besides) for spec in files if spec.besides is not None}
        self._of_preset: dict[str, FileSpec] = {}  # by the path of a tail
        self._ended: dict[str, str] = {}  # where those were left that made room for others, by path
        self._scouts: dict[str, Scout] = {}  # of the tails whose lines are events, each of its own
        self._next_look = 0.0  # monotonic seconds
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._rescan = True
        self._written: set[str] = set()  # paths as inotify names them
        self._by_path: dict[str, set[str]] = {}  # path as inotify names it -> path of the tail
        self._unwatched: Mapping[str, str] = {}
        self._notices: list[Notice] = []
        self._first = True
        self._looked = 0.0  # POSIX seconds: when files were last looked for
        self._due: dict[str, float] = {}  # path of a tail -> when it wants to be polled, POSIX seconds
        self._next_sweep = 0.0  # monotonic seconds
        self._next_rescan = 0.0
        self._thread: threading.Thread | None = None
        self._watch: DirectoryWatch | None = None
        self._asked: float | None = None  # monotonic seconds: since when an answer of the file system is waited for
        self._lag: Mapping[str, Lag] = {}

    def start(self, emit: Emit, cursors: Mapping[str, str]) -> None:
        """Begin to read; see Source. Raises ConfigError for a `continues` that does not compile."""
        if self._inotify:
            self._watch = DirectoryWatch(self._heard, self._lost)
        if not self._apart:
            self._find_files(cursors)
        self._next_sweep = time.monotonic() + self._sweep
        self._thread = threading.Thread(target=self._run, args=(emit, cursors), name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the threads. Waits at most a second for an `emit` that blocks, and for no mount that hangs."""
        with self._changed:
            self._stop.set()
            self._changed.notify()
        hangs = self._apart and self.waits() is not None
        if self._watch is not None:
            end = threading.Thread(target=self._watch.stop, name=f"{self.name}: end", daemon=True)
            end.start()  # it waits for a directory that is being put under watch
            end.join(None if not hangs else _GRACE)
        if self._thread is not None:
            self._thread.join(1.0 if not hangs else _GRACE)

    def haunted(self) -> bool:
        """Whether a thread of this name from a former generation still hangs."""
        return self._apart and any(thread.name == self.name for thread in threading.enumerate())

    def waits(self) -> float | None:
        """For how many seconds its thread has waited for an answer of the file system; None: it does not."""
        asked = self._asked
        return None if asked is None else time.monotonic() - asked

    def lag(self) -> Mapping[str, Lag]:
        """See Source. Where it is `apart`, as it was after the last round of polls."""
        return self._lag if self._apart else self._lags()

    def _lags(self) -> Mapping[str, Lag]:
        now = self._clock()
        return {tail.source: _lag(tail, now) for tail in list(self._tails.values())}

    def found(self) -> Mapping[str, Found]:
        """See Source."""
        troubles = {path: tail.trouble for path, tail in list(self._tails.items())}
        read: dict[str, list[str]] = {spec.item: [] for spec in self._files if spec.besides is not None}
        left: dict[str, dict[str, str]] = {item: {} for item in read}
        for spec in self._files:
            if spec.path in self._presets:
                left[spec.item].update(self._presets[spec.path].left)
        for path, spec in list(self._of_preset.items()):
            if (why := troubles.get(path)) is not None:
                left[spec.item][path] = unreadable(why)
            else:
                read[spec.item].append(path)
        return {item: Found(tuple(sorted(paths)), left[item]) for item, paths in read.items()}

    # --- the observer's thread ------------------------------------------------------------------------------

    def _heard(self, path: str, names: bool) -> None:
        """Note what inotify tells of: a log, or a rotated part of one that someone still writes to."""
        directory, name = os.path.split(path)
        with self._changed:
            self._rescan |= names
            if path not in self._by_path:
                self._written.update(os.path.join(directory, stem) for stem, _ in bases(name))
            elif path in self._written:
                return
            self._written.add(path)
            self._changed.notify()

    def _lost(self) -> None:
        """Look at all of them now."""
        with self._changed:
            self._next_sweep = 0.0
            self._changed.notify()

    # --- the source's thread --------------------------------------------------------------------------------

    def _run(self, hand_over: Emit, cursors: Mapping[str, str]) -> None:
        def emit(item: Batch | Ahead | Notice) -> None:
            self._asked = None  # it is the consumer that it waits for
            hand_over(item)
            self._asked = time.monotonic()

        self._asked = time.monotonic()
        try:
            if self._apart:
                self._find_files(cursors)
            for item in self._take_turns(set(self._tails)):
                emit(item)
                self._look_ahead(emit)
            patterns = json.dumps(sorted({spec.path for spec in self._files}))
            if cursors.get(self.name) != patterns:  # known from now on, after the first cursors of the files themselves
                emit(Batch(self.name, b"", 0, patterns))
            while self._idle():
                for item in self._take_turns(self._news(())):
                    emit(item)
                    self._look_ahead(emit)
                self._stop.wait(PAUSE)
        finally:
            for tail in self._tails.values():
                tail.close()
            self._asked = None

    def _look_ahead(self, emit: Emit) -> None:
        """Show the newest lines of a file that is far behind: of one each TURN, of the same each EVERY seconds."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + TURN
        ready = (path for path, scout in self._scouts.items() if scout.looked <= now - EVERY)
        far = [path for path in ready if _is_far_behind(self._tails[path])]
        if not far:
            return
        scout = self._scouts[min(far, key=lambda path: self._scouts[path].looked)]
        scout.looked = now
        if (ahead := scout.look()) is not None:
            emit(ahead)

    def _take_turns(self, waiting: set[str]) -> Iterator[Batch | Notice]:
        """Poll these tails to their end, a batch of each at a time, and those with news meanwhile."""
        polls: dict[str, Iterator[Batch | Notice]] = {}
        while waiting or polls:
            while waiting and len(polls) < _AT_ONCE:
                if (tail := self._tails.get(path := waiting.pop())) is not None:
                    polls[path] = tail.poll(self._clock())
            for path, items in list(polls.items()):
                if self._stop.is_set():
                    return
                if (item := next(items, None)) is not None:
                    if isinstance(item, Batch) or path not in self._of_preset:  # of such trouble, `found` tells
                        yield item
                else:
                    del polls[path]
                    self._note_due(path)
            waiting |= self._news(polls.keys())
            yield from self._notices
            self._notices.clear()

    def _idle(self) -> bool:
        """As `_wait`, and nothing is asked of the file system meanwhile."""
        if self._apart:
            self._lag = self._lags()
        self._asked = None
        goes_on = self._wait()
        self._asked = time.monotonic()
        return goes_on

    def _wait(self) -> bool:
        """Until there is something to do, which `_news` tells; False: stop."""
        with self._changed:
            while not self._stop.is_set():
                patience = self._patience()
                if self._written or patience <= 0:
                    return True
                self._changed.wait(patience)
            return False

    def _patience(self) -> float:
        """Seconds until there is something to do though nothing is heard of; 0 where there is now."""
        until = [self._next_sweep] + [self._next_rescan] * self._rescan
        waits = [when - time.monotonic() for when in until] + [when - self._clock() for when in self._due.values()]
        return max(0.0, min(waits))

    def _note_due(self, path: str) -> None:
        """Remember when the tail that was just polled wants to be polled again."""
        self._due.pop(path, None)
        if (tail := self._tails.get(path)) is not None and (when := tail.due()) is not None:
            self._due[path] = when

    def _news(self, busy: Collection[str]) -> set[str]:
        """The tails to poll now, without those that are `busy`; what is heard of these stays heard of."""
        now, time_is = time.monotonic(), self._clock()
        with self._changed:
            sweep = now >= self._next_sweep
            rescan = sweep or (self._rescan and now >= self._next_rescan)
            if sweep:
                self._next_sweep = now + self._sweep
            if rescan:
                self._rescan = False
            heard = {path: self._by_path.get(path, set()) for path in self._written}
            self._written = {path for path, tails in heard.items() if not tails.isdisjoint(busy)}
        news = set(self._tails) if sweep else set().union(*heard.values())
        news |= {path for path, when in self._due.items() if when <= time_is}
        if rescan:
            news |= self._find_files({})
            self._next_rescan = now + _rest(time.monotonic() - now)
        return news - set(busy)

    # --- which files there are ------------------------------------------------------------------------------

    def _find_files(self, cursors: Mapping[str, str]) -> set[str]:
        """Make tails of files not seen before, and watch where more may appear; returns the tails to poll for it."""
        known = set().union(*(_patterns(cursors[key]) for key in cursors if key == "files" or key.startswith("files:")))
        for path in [path for path, tail in self._tails.items() if tail.gone and self._globbed(path)]:
            self._let_go(path)  # it gets a new one should it come back
        new = set()
        looked, self._looked = self._looked, self._clock()
        last = _last_life(cursors) if self._first else looked
        table = {} if self._apart else mounts()
        for spec in self._files:
            watched = not self._first or spec.item in known
            for path, is_new in self._admitted(
                spec, self._matches(spec, cursors, table), cursors, watched=watched
            ).items():
                beginning = is_new or self._from_start or spec.from_start
                cursor = self._ended.pop(path, cursors.get(f"file:{path}"))
                sought = cursor is None and is_new and not self._shares(path)
                if spec.besides is not None:
                    self._of_preset[path] = spec
                self._tails[path] = Tail(
                    path,
                    program=spec.program,
                    continues=spec.continues,
                    cursor=cursor,
                    beginning=beginning,
                    since=last if sought else None,
                    manner=spec.manner,
                    written=(last if is_new else 0.0) if self._first and beginning else None,
                )
                if spec.continues is None:
                    self._scouts[path] = Scout(path, spec.program, spec.manner)
                new.add(path)
        self._first = False
        return new | self._watch_files()

    def _admitted(
        self, spec: FileSpec, paths: Sequence[str], cursors: Mapping[str, str], *, watched: bool
    ) -> Mapping[str, bool]:
        """Those of `paths` that get a tail, and whether all of the file is news. A preset may leave some out."""
        if spec.besides is None:
            return dict.fromkeys(paths, watched)
        stored = [path for path in paths if f"file:{path}" in cursors]
        stored += [path for path in paths if path in self._ended]
        read = {path: self._tails[path].dozes for path, each in self._of_preset.items() if each.path == spec.path}
        admitted, ended = self._presets[spec.path].admit(paths, stored, read)
        for path in ended:
            self._ended[path] = self._tails[path].cursor
            self._let_go(path)
        while len(self._ended) > CROWD:
            del self._ended[next(iter(self._ended))]
        return admitted

    def _let_go(self, path: str) -> None:
        self._tails.pop(path).end()
        self._scouts.pop(path, None)
        self._of_preset.pop(path, None)
        self._due.pop(path, None)

    def _shares(self, path: str) -> bool:
        """Whether a rotated part of a log is read already, under its own name."""
        parts = [(member.device, member.inode) for member in members(path)] if self._tails else []
        return any(tail.holds(*part) for part in parts for tail in self._tails.values())

    def _globbed(self, path: str) -> bool:
        named = (spec.path for spec in self._files if spec.besides is None)
        return not os.path.exists(path) and path not in named

    def _matches(self, spec: FileSpec, cursors: Mapping[str, str], table: Mapping[str, str]) -> list[str]:
        """Paths for `spec` that have no tail yet: its own, or what it matches and is no part of another log."""
        pattern = spec.path
        if spec.besides is None and not glob.has_magic(spec.item):
            return [] if pattern in self._tails else [pattern]
        there, beyond = matches(pattern, table)
        if beyond != self._beyond.get(pattern, {}):
            self._beyond[pattern] = beyond
            self._strayed()
        stored = {path for path in _meant(pattern, cursors) if remote(path, table) is None}
        found = stored | there
        taken = {inode for path in self._tails if (inode := _inode(path)) is not None}
        paths = []
        for path in sorted(found - self._tails.keys(), key=lambda path: (os.path.islink(path), path)):
            inode = _inode(path)
            if path not in stored and (inode in taken or self._is_part(path)):
                continue
            taken |= {inode} if inode else set()
            paths.append(path)
        return paths

    def _is_part(self, path: str) -> bool:
        """Whether the file at `path` is a rotated part of a log that is read, or that exists, or a compressed file."""
        directory, name = os.path.split(path)
        whole = [os.path.join(directory, stem) for stem, _ in bases(name)]
        if is_packed(name) or any(stem in self._tails or os.path.exists(stem) for stem in whole):
            return True
        found = status(path)
        return found is not None and any(tail.holds(found.st_dev, found.st_ino) for tail in self._tails.values())

    def _is_beyond(self, path: str) -> bool:
        return not self._apart and os.path.islink(path) and remote(os.path.abspath(path), mounts()) is not None

    def _watch_files(self) -> set[str]:
        """Watch the directories of patterns, files and their targets.

        Returns the tails that something may have been written to that was not taken for theirs: those whose files
        have got another name, by a link that moved; all of them where a directory was not watched before.
        """
        by_path: dict[str, set[str]] = {}
        for path in self._tails:
            directory, name = os.path.split(path)
            by_path.setdefault(os.path.realpath(path), set()).add(path)
            by_path.setdefault(os.path.join(os.path.realpath(directory), name), set()).add(path)
        with self._changed:
            before, self._by_path = self._by_path, by_path
        changed: set[str] = set().union(*(tails - before.get(path, set()) for path, tails in by_path.items()))
        while self._watch is not None:
            ways = {os.path.dirname(spec.path): spec.path for spec in self._files}  # to one directory there is one
            wanted = {os.path.dirname(path) for path in by_path}.union(
                *(directories(path, self._is_beyond) for path in ways.values())
            )
            news, failed = self._watch.watch(wanted)
            for directory in failed.keys() - self._unwatched.keys():
                text = f"cannot be watched ({failed[directory]}): its files are read every {self._sweep:g} s instead"
                self._notices.append(Notice(NoticeKind.SOURCE, directory, text, self._clock()))
            self._unwatched = failed
            if not news:
                break
            changed = set(self._tails)  # and look again: something may have appeared before its directory was watched
            with self._changed:
                self._rescan = True
        return changed


def _meant(pattern: str, cursors: Iterable[str]) -> list[str]:
    """The files with a cursor that a path or glob means. Most globs are for another directory: to read one is dear."""
    start = re.split(r"[*?[]", pattern, maxsplit=1)[0]
    paths = [source[5:] for source in cursors if source.startswith(f"file:{start}")]
    return [path for path in paths if path == pattern or (start != pattern and fnmatch.fnmatchcase(path, pattern))]


def _rest(took: float) -> float:
    """Seconds from one look for new files, which took so long, to the next."""
    return took * _RESCAN


def _is_far_behind(tail: Tail) -> bool:
    return tail.behind_since is not None and tail.unread() > BEHIND


def _lag(tail: Tail, now: float) -> Lag:
    unread, since = tail.unread(), tail.behind_since
    return Lag(unread, max(0.0, now - since) if unread and since is not None else 0.0)


def _patterns(cursor: str) -> set[str]:
    """The paths and globs that were watched before, by the cursor 'files'. None where it is damaged."""
    try:
        return set(json.loads(cursor))
    except (ValueError, TypeError):
        return set()


def _last_life(cursors: Mapping[str, str]) -> float | None:
    """When the newest line that was read before had been written, POSIX seconds; None where that is not known."""
    times = []
    for cursor in (cursors[key] for key in cursors if key.startswith("file:")):
        with suppress(ValueError):
            times += [place.modified / 1e9 for place in load(cursor)[:2] if place is not None]
    return max(times, default=None)


def _inode(path: str) -> tuple[int, int] | None:
    found = status(path)
    return (found.st_dev, found.st_ino) if found else None
