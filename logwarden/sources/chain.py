"""A log and its rotated files: which of them holds what was read, and which are newer.

logrotate may be at work while we look, so every answer is checked: if the directory is not the same afterwards, the
question is asked again.

Owns: the search by content. Never: reads on, or changes where a tail stands.
Fails: OSError where the log itself, or a file that is to be read, cannot be opened; a rotated one that we may not read
is open, without text. Files that are only looked at and cannot be opened are passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .copies import Heads, Passed
from .lines import Skip
from .logfile import HEAD, LogFile, open_if_there, open_rotated, opened
from .place import Place
from .reading import Reading
from .rotation import Member, members, moved_to, olddir, status

_TICK = 0.02  # seconds that a file's time may be behind the clock: the kernel's own stands still between two ticks
_SAME_TIME = 1_000_000_000  # ns within which a compressed file's time is the original's: some tools keep whole seconds
Answer = TypeVar("Answer")
_LOOKS = 20  # a rotation with compression takes this many only where it is one of hundreds


class Chain:
    """The files of the log at `path`, oldest first, the one at the path last."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.olddir: str | None = None
        """Where rotated files are besides, once one was seen to go there."""
        self._listed: list[Member] | None = None
        self._heads = Heads()

    def forget(self) -> None:
        """Keep nothing that was found out for the next question: it may come much later."""
        self._listed = None
        self._heads = Heads()

    def watch(self, at: Reading) -> None:
        """See where rotation has moved the file that is open."""
        self.olddir = moved_to(at.log.name(), self.path) or self.olddir

    def live(self) -> LogFile | None:
        """The file at the path, open; None where there is none."""
        return open_if_there(self.path)

    def newest(self, since: float | None = None) -> Place | None:
        """How to know the newest rotated file again: what is no newer was there before us.

        With `since`, POSIX seconds: the newest of those that nobody has written to later.
        """
        chain = self.members()
        if since is not None:
            chain = [member for member in chain if member.modified <= (since - _TICK) * 1e9]
        if not chain:
            return None
        with opened(chain[-1].path) as log:
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
                log = open_rotated(member.path) if known.same_inode(member.device, member.inode) else None
                if log is not None and (not known.offset or known.fits(log)):
                    return Reading(log, known.offset, Skip(known.skip))
                if log is not None:
                    log.close()
            return None

        return self._settled(look)

    def newer(
        self, *known: Place | Reading, passed: Passed, empty: Reading | None = None
    ) -> tuple[Member | None, bool]:
        """The oldest rotated file that nothing was read of yet, and whether the one that is open as `empty` comes
        after it. No empty one, which may be a copy being made, but for `empty`; none that was `passed`; no copy.

        `known` are the latest files that were read, the latest first: open ones, whose inode nobody else can have, and
        closed ones. What follows the first of them that is found is newer; where none is, what was modified later.
        """

        def look(chain: list[Member]) -> tuple[Member | None, bool]:
            for each in known:
                if (index := _position(chain, each)) is not None:
                    newer, read = chain[index + 1 :], chain[: index + 1]
                    break
            else:
                places = [each.place() if isinstance(each, Reading) else each for each in known]
                last = max((place.modified for place in places if place.offset or place.done), default=-1)
                newer, read = [member for member in chain if member.modified > last], []
            left = passed.without(newer)
            is_empty = [_is_open(member, empty) for member in left]
            for index, member in enumerate(left):
                others = _originals(member, read, left[index + 1 :])
                if is_empty[index] or (member.size and not is_copy(member, others)):
                    return member, any(is_empty[index + 1 :])
            return None, False

        def is_copy(member: Member, others: list[Member]) -> bool:
            with opened(self.path) as live:  # it may be truncated, and then the copy is what is left
                if live is not None and self._heads.begins(live, member):
                    return True
            logs = [each.log for each in known if isinstance(each, Reading)]
            found = any(self._heads.begins(log, member) for log in logs) or self._heads.begin(others, member)
            if found:
                passed.add(member.stamp)
            return found

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
        chain = members(self.path, self.olddir)
        for index, member in enumerate(chain):
            if at.same_inode(member.device, member.inode):
                return max(0, member.size - at.offset) + sum(each.size for each in chain[index + 1 :]) + there
        return there

    def between(self, at: Place | Reading, *known: Place | Reading) -> tuple[int, int] | None:
        """Between which times, ns, lines may be missing because rotation has removed `at`, which was read last, and
        `known` before it: none of them is left, and all that is left was modified later. None where that is not so.

        Whether files that followed were removed with it, nobody can tell: what is left is the same where rotation has
        stopped short of the first of them.
        """
        read = [each for each in (at, *known) if each.offset and not (isinstance(each, Place) and each.is_gone)]
        last = max(each.modified for each in (at, *known))

        def look(chain: list[Member]) -> tuple[int, int] | None:
            if not chain or (not at.offset and at.same_inode(chain[0].device, chain[0].inode)):
                return None  # of another one that has got its inode there would be older ones
            later = all(member.modified > last for member in chain)
            gone = later and all(_position(chain, each) is None for each in read)
            return (max(each.modified for each in read), chain[0].modified) if gone else None

        return self._settled(look) if read else None

    def has(self, place: Place) -> bool:
        """Whether the rotated file of `place` is still there."""
        return self._settled(lambda chain: _position(chain, place)) is not None

    def members(self) -> list[Member]:
        """The rotated files, oldest first. Where there is none, they may be in a directory below."""
        found = members(self.path, self.olddir, self._heads.when)
        if not found and (elsewhere := olddir(self.path)) is not None:
            self.olddir = elsewhere
            found = members(self.path, self.olddir, self._heads.when)
        return found

    def _settled(self, look: Callable[[list[Member]], Answer]) -> Answer:
        """The listing that proves one answer is what the next question begins with, so that each costs one listing.
        It must be the same in all then: a file that was written to since may not be empty any more."""
        kept = self._listed
        chain = kept if kept is not None else self.members()
        for _ in range(_LOOKS):
            answer = look(chain)
            again = self.members()
            same = [member.identity for member in again] == [member.identity for member in chain]
            if same and (chain is not kept or again == chain):
                self._listed = again
                return answer
            if isinstance(answer, Reading):
                answer.log.close()
            chain = again
        raise OSError(0, "is rotated faster than it can be followed", self.path)


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


def _originals(member: Member, before: list[Member], after: list[Member]) -> list[Member]:
    """Of which others it may be a copy: of its neighbours; of all before it, where it is older than the last of them;
    of those after it whose names are of another kind, so that its time alone has put it before them."""
    older = bool(before) and member.modified < before[-1].modified
    others = [other for other in after[1:] if other.scheme != member.scheme]
    return (before if older else before[-1:]) + after[:1] + others


def _position(chain: list[Member], known: Place | Reading) -> int | None:
    """Which of the chain is the file that is known.

    Of compressed files the beginning tells, together with the time, which compression keeps. Only where that leaves a
    choice it is what comes before the place: to see that, all of it must be decompressed.
    """
    place, held = (known.place(), True) if isinstance(known, Reading) else (known, False)
    alike = [index for index, member in enumerate(chain) if place.same_inode(member.device, member.inode)]
    if (alike and held) or not place.offset:
        return alike[-1] if alike else None
    likely: list[int] = []
    for index in _likeliest_first(chain, place):
        with opened(chain[index].path) as log:
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
    with opened(member.path) as log:
        return log is not None and place.fits(log)
