"""A log and its rotated files: which of them holds what was read, and which are newer.

logrotate may be at work while we look, so every answer is checked: if the directory is not the same afterwards, the
question is asked again.

Owns: the search by content. Never: reads on, or changes where a tail stands.
Fails: OSError where the log itself, or a file that is to be read, cannot be opened. Files that are only looked at and
cannot be opened are passed over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from .lines import Skip
from .logfile import HEAD, LogFile, open_log
from .place import Place
from .reading import Reading
from .rotation import Member, Stamp, is_packed, members, status

_TICK = 0.02  # seconds that a file's time may be behind the clock: the kernel's own stands still between two ticks
_SAME_TIME = 1_000_000_000  # ns within which a compressed file's time is the original's: some tools keep whole seconds
Answer = TypeVar("Answer")
_LOOKS = 20  # a rotation with compression takes this many only where it is one of hundreds


class Chain:
    """The files of the log at `path`, oldest first, the one at the path last."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._listed: list[Member] | None = None

    def forget(self) -> None:
        """Keep no listing for the next question: it may come much later."""
        self._listed = None

    def live(self) -> LogFile | None:
        """The file at the path, open; None where there is none."""
        return open_if_there(self.path)

    def newest(self, since: float | None = None) -> Place | None:
        """How to know the newest rotated file again: what is no newer was there before us.

        With `since`, POSIX seconds: the newest of those that nobody has written to later.
        """
        chain = members(self.path)
        if since is not None:
            chain = [member for member in chain if member.modified <= (since - _TICK) * 1e9]
        if not chain:
            return None
        with _opened(chain[-1].path) as log:
            return Reading(log, len(log.read_at(0, HEAD))).place(done=True) if log else None

    def find(self, known: Place | Reading) -> Reading | Place | None:
        """Among the rotated files: the one that holds what was read, open where that ends.

        Or, where one is a copy that was made before the last lines were read: its identity, for it is done with.
        """
        return self._settled(lambda chain: _find(chain, known))

    def find_inode(self, known: Place | Reading) -> Reading | None:
        """The rotated file with its inode, open where what was read ends; where nothing was, only the inode tells."""

        def look(chain: list[Member]) -> Reading | None:
            for member in chain:
                log = open_if_there(member.path) if known.same_inode(member.device, member.inode) else None
                if log is not None and (not known.offset or known.fits(log)):
                    return Reading(log, known.offset, Skip(known.skip))
                if log is not None:
                    log.close()
            return None

        return self._settled(look)

    def newer(
        self, *known: tuple[Place, bool], passed: Passed | None = None, empty: Reading | None = None
    ) -> tuple[Member | None, bool]:
        """The oldest rotated file that nothing was read of yet, and whether the one that is open as `empty` comes
        after it. No empty one, which may be a copy being made, but for `empty`; none that was `passed`.

        `known` are the latest files that were read, the latest first. What follows the first of them that is found
        is newer; where none is found, what was modified later. With each goes whether it is open, so that nobody
        else can have its inode.
        """

        def look(chain: list[Member]) -> tuple[Member | None, bool]:
            for place, held in known:
                if (index := _position(chain, place, held=held)) is not None:
                    chain = chain[index + 1 :]
                    break
            else:
                read = max((place.modified for place, _ in known if place.offset or place.done), default=-1)
                chain = [member for member in chain if member.modified > read]
            left = passed.without(chain) if passed is not None else chain
            is_empty = [_is_open(member, empty) for member in left]
            for index, member in enumerate(left):
                if is_empty[index] or self._is_text(member):
                    return member, any(is_empty[index + 1 :])
            return None, False

        return self._settled(look)

    def unread(self, at: Place | Reading | None) -> int:
        """Bytes from `at` on (None: all of the file at the path), of compressed files as they are.

        By names and sizes alone: nothing is opened, and nothing waits for a rotation to be over.
        """
        live = status(self.path)
        there = live.st_size if live else 0
        if at is None:
            return there
        if live is not None and at.same_inode(live.st_dev, live.st_ino):
            return max(0, there - at.offset)
        chain = members(self.path)
        for index, member in enumerate(chain):
            if at.same_inode(member.device, member.inode):
                return max(0, member.size - at.offset) + sum(each.size for each in chain[index + 1 :]) + there
        return there

    def has(self, place: Place) -> bool:
        """Whether the rotated file of `place` is still there."""
        return self._settled(lambda chain: _position(chain, place, held=False)) is not None

    def _is_text(self, member: Member) -> bool:
        return member.size > 0 and not self._copy_of_live(member)

    def _copy_of_live(self, member: Member) -> bool:
        """Whether copytruncate has copied and not truncated yet, or someone has made a copy: no part of the chain."""
        with _opened(member.path) as log, _opened(self.path) as live:
            if log is None or live is None or log.packed or not (size := log.stat().st_size):
                return False
            return Reading(log, size).fits(live)

    def _settled(self, look: Callable[[list[Member]], Answer]) -> Answer:
        """The listing that proves one answer is what the next question begins with, so that each costs one listing.
        It must be the same in all then: a file that was written to since may not be empty any more."""
        kept = self._listed
        chain = kept if kept is not None else members(self.path)
        for _ in range(_LOOKS):
            answer = look(chain)
            again = members(self.path)
            same = [member.identity for member in again] == [member.identity for member in chain]
            if same and (chain is not kept or again == chain):
                self._listed = again
                return answer
            if isinstance(answer, Reading):
                answer.log.close()
            chain = again
        raise OSError(0, "is rotated faster than it can be followed", self.path)


class Passed:
    """Rotated files that are no newer than the one at hand, whatever they are called by now."""

    def __init__(self) -> None:
        self._stamps: set[Stamp] = set()
        self._listed: tuple[Reading, set[Stamp]] | None = None  # of those that may be so

    def survey(self, path: str, at: Reading) -> None:
        """Note what rotated files there are, `at` being the last: none of them is newer.

        It counts when, at the next call, all of `at` has been read: until then one may be a copy of what was not.
        """
        if self._listed is None or self._listed[0] is not at:
            self._listed = at, {member.stamp for member in members(path)}
        elif self._listed[1]:
            self._stamps = self._listed[1]
            self._listed = at, set()

    def add(self, at: Reading) -> None:
        """This file is left behind."""
        found = at.log.stat()
        self._stamps.add((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))

    def without(self, newer: list[Member]) -> list[Member]:
        """Those of `newer` that are not among them."""
        return [member for member in newer if member.stamp not in self._stamps]


def open_if_there(path: str) -> LogFile | None:
    """The file at `path`, or None where there is none. Raises OSError where there is one that cannot be opened."""
    try:
        return open_log(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def _opened(path: str) -> Iterator[LogFile | None]:
    """The file at `path` for a look at it, or None where it cannot be opened."""
    try:
        log = open_if_there(path)
    except OSError:
        log = None
    try:
        yield log
    finally:
        if log is not None:
            log.close()


def _is_open(member: Member, reading: Reading | None) -> bool:
    return reading is not None and reading.same_inode(member.device, member.inode)


def _find(chain: list[Member], known: Place | Reading) -> Reading | Place | None:
    for member in (chain[index] for index in _likeliest_first(chain, known)):
        try:
            log = open_if_there(member.path)
        except OSError:
            continue
        if log is None:
            continue
        if known.fits(log):
            return Reading(log, known.offset, Skip(known.skip))
        try:
            if known.begins(log) and not log.read_at(known.offset - 1, 1):
                return Reading(log, len(log.read_at(0, HEAD))).place(done=True)
        finally:
            log.close()
    return None


def _position(chain: list[Member], place: Place, *, held: bool) -> int | None:
    """Which of the chain is the file of `place`, or the last copy of it that someone has made by hand, and not
    compressed: many compressed logs are of one size, and to open them all is what this is not to do."""
    found = _located(chain, place, held=held)
    if found is None:
        return None
    size, later = chain[found].size, range(found + 1, len(chain))
    copies = (index for index in later if chain[index].size == size and not is_packed(chain[index].path))
    return max((index for index in copies if _fits(chain[index], place)), default=found)


def _located(chain: list[Member], place: Place, *, held: bool) -> int | None:
    """Which of the chain is the file of `place`.

    Of compressed files the beginning tells, together with the time, which compression keeps. Only where that leaves a
    choice it is what comes before the place: to see that, all of it must be decompressed.
    """
    alike = [index for index, member in enumerate(chain) if place.same_inode(member.device, member.inode)]
    if alike and (held or not place.offset):
        return alike[-1]
    likely: list[int] = []
    for index in _likeliest_first(chain, place):
        with _opened(chain[index].path) as log:
            if log is None or not place.begins(log):
                continue
            if not log.packed:
                if place.fits(log):
                    return index
            elif abs(chain[index].modified - place.modified) < _SAME_TIME:
                return index
            else:
                likely.append(index)
    if len(likely) > 1:
        likely = [index for index in likely if _fits(chain[index], place)]
    return likely[0] if likely else None


def _likeliest_first(chain: list[Member], known: Place | Reading) -> list[int]:
    """The order in which to look for a file: the one with its inode, then by how near to its last modification others
    were modified. It is one of the first as a rule; to open all that are newer, for each file of a chain of hundreds,
    would take their number squared."""

    def unlike(index: int) -> tuple[bool, int, int]:
        member = chain[index]
        return not known.same_inode(member.device, member.inode), abs(member.modified - known.modified), -index

    return sorted(range(len(chain)), key=unlike)


def _fits(member: Member, place: Place) -> bool:
    with _opened(member.path) as log:
        return log is not None and place.fits(log)
