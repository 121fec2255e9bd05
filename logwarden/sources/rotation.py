"""Which files beside a log are older parts of it, and in what order.

logrotate's names in all their forms (`.1`, `.2.gz`, `-20261122`, `extension .log`), also in its `olddir`, and what its
`renamecopy` copies, `.tmp`; savelog's `.0`, `.old`; and where the log is a symlink that moves (cronolog, rotatelogs -L,
kubelet), the files whose names differ from its target's in digits only. See logrotate(8): rotate, dateext, dateformat,
extension, compressext, olddir, renamecopy.

Owns: names and their order. Never: opens a file; whose content is whose is for `tail` to say.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .mounts import mounts, remotes

_PACKED = re.compile(r"\.(?:gz|xz|zst|bz2)$")
_PUT_IN = r"[-._](\d[\dT:_.-]*|old|bak|tmp)"
_EXTENSION = r"\.[A-Za-z]\w*"
_STAMP = re.compile(rf"{_PUT_IN}({_EXTENSION})?")
_DOTTED, _STUCK = re.compile(_EXTENSION), re.compile(_PUT_IN)
_COUNT = 1000
"""A bare number below this counts rotations, the greater the older; other digits are a date."""

_MOVING = "tmp"
Stamp = tuple[int, int, int, int]


class Member(NamedTuple):
    """A rotated file. `rank` orders those of one `scheme`, oldest first."""

    path: str
    device: int
    inode: int
    modified: int
    size: int
    scheme: str
    rank: tuple[int, ...]

    @property
    def stamp(self) -> Stamp:
        """What is the same as long as it is neither replaced nor written to, whatever it is called."""
        return self.device, self.inode, self.size, self.modified

    @property
    def identity(self) -> tuple[str, int, int]:
        """What is the same as long as nobody renames, removes or replaces it."""
        return self.path, self.device, self.inode


When = Callable[[Member], float | None]
"""POSIX seconds, where a file tells."""


def stamp(found: os.stat_result) -> Stamp:
    """As Member.stamp, of a file that is open."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def bases(name: str) -> Iterator[tuple[str, str]]:
    """The names that a log could have had before rotation called it `name`, each with what was put in."""
    plain = _PACKED.sub("", name)
    for at, character in enumerate(plain):
        if at and character in "-._" and (match := _STAMP.fullmatch(plain, at)):
            yield plain[:at] + (match[2] or ""), match[1]


def moved_to(now: str, path: str) -> str | None:
    """The directory into which rotation has moved the log that was at `path` and is at `now`; None: it has not."""
    directory, name = os.path.split(now)
    rotated = _put_in(os.path.basename(path), name) is not None
    return directory if rotated and directory != os.path.dirname(os.path.realpath(path)) else None


def olddir(path: str) -> str | None:
    """The directory below that of a log where rotated parts of it are, the one changed last; None where there is none.

    One of root, or of whose its own directory is: others could have what they wrote there taken for the log's. None
    that may keep us waiting for ever, see `mounts`.
    """
    home, name, far = os.path.dirname(os.path.realpath(path)), os.path.basename(path), remotes(mounts())
    try:
        with os.scandir(home) as entries:
            near = (each for each in entries if each.path not in far)
            below = {each.path: each.stat() for each in near if each.is_dir(follow_symlinks=False)}
        owners = {0, os.stat(home).st_uid}
    except OSError:
        return None
    ours = (each for each in below if below[each].st_uid in owners)
    found = [each for each in ours if any(_put_in(name, other) for other in _listing(each, ""))]
    return max(found, key=lambda each: below[each].st_mtime_ns, default=None)


def is_packed(name: str) -> bool:
    """Whether a file is compressed, by its name."""
    return _PACKED.search(name) is not None


def members(path: str, olddir: str | None = None, when: When | None = None) -> list[Member]:
    """The older parts of the log at `path`, there and in `olddir`, oldest first, without the file that is there now.

    In the order that their names count or date; by modification time where the names follow several schemes, or count
    the other way round, as log4j's do: `when`, the time that a file's own lines begin with, outweighs times that a
    restore has made. Where a part is there both plain and compressed, logrotate is at it, and the plain one stands: it
    is whole. What is being copied away is the newest.
    """
    live = status(path)
    found: dict[str, Member] = {}
    for full, stamp in _candidates(path, olddir):
        there = status(full)
        if there is None or not stat.S_ISREG(there.st_mode) or (live and os.path.samestat(there, live)):
            continue
        plain = _PACKED.sub("", full)
        if plain not in found or full == plain:
            found[plain] = Member(full, there.st_dev, there.st_ino, there.st_mtime_ns, there.st_size, *_rank(stamp))
    newest = [found.pop(plain) for plain in list(found) if found[plain].scheme == _MOVING]
    return _ordered(list(found.values()), when) + newest


def status(path: str) -> os.stat_result | None:
    """What stat says of `path`, following links; None where nothing is there or nothing may be seen."""
    try:
        return os.stat(path)
    except OSError:
        return None


def _candidates(path: str, olddir: str | None) -> Iterator[tuple[str, str]]:
    target = os.path.realpath(path)
    elsewhere = [] if olddir is None else [os.path.join(olddir, os.path.basename(path))]
    for base in {path, target, *elsewhere}:
        directory, name = os.path.split(base)
        moves = base == target and os.path.islink(path)
        variant = re.compile(re.sub(r"\d+", r"\\d+", re.escape(name)) + f"(?:{_PACKED.pattern})?") if moves else None
        root = os.path.splitext(name)[0]  # quick to tell, in a directory of thousands
        for other in _listing(directory, "" if moves else root):
            if stamp := _put_in(name, other):
                yield os.path.join(directory, other), stamp
            elif variant is not None and variant.fullmatch(other):
                yield os.path.join(directory, other), "v" + _PACKED.sub("", other)


def _put_in(name: str, other: str) -> str | None:
    """What rotation has put into the name of a log to make the other of it, see `bases`; None: it has not."""
    root, extension = os.path.splitext(name)
    if not other.startswith(root):
        return None
    within = [(root, extension)] if _DOTTED.fullmatch(extension) else []
    for start, end in [(name, ""), *within]:
        for whole in (other, _PACKED.sub("", other)):
            match = _STUCK.fullmatch(whole, len(start), len(whole) - len(end))
            if match and whole.startswith(start) and whole.endswith(end):
                return match[1]
    return None


def _listing(directory: str, start: str) -> list[str]:
    """The names in a directory that start so. A rename meanwhile can hide one: who relies on it asks twice."""
    try:
        return [name for name in os.listdir(directory or ".") if name.startswith(start)]
    except OSError:
        return []


@functools.lru_cache(maxsize=2048)
def _rank(stamp: str) -> tuple[str, tuple[int, ...]]:
    numbers = tuple(int(digits) for digits in re.findall(r"\d+", stamp))
    if stamp.startswith("v"):
        return "variant", numbers
    if len(numbers) == 1 and stamp.isdigit() and numbers[0] < _COUNT:
        return "count", (-numbers[0],)
    return ("date" if numbers else stamp), numbers


def _ordered(found: list[Member], when: When | None) -> list[Member]:
    by_name = sorted(found, key=lambda member: member.rank)
    several = len({member.scheme for member in found}) > 1 or len({member.rank for member in found}) < len(found)
    if several or (_contradicted(by_name) and not _confirmed(by_name, when)):
        return sorted(found, key=lambda member: (member.modified, member.rank))
    return by_name


def _contradicted(by_name: list[Member]) -> bool:
    """Whether modification times say plainly that the order is another: a slow writer, or a clock that was set, is no
    more than one exception."""
    steps = [later.modified - earlier.modified for earlier, later in itertools.pairwise(by_name)]
    return sum(step < 0 for step in steps) - sum(step > 0 for step in steps) > 1


def _confirmed(by_name: list[Member], when: When | None) -> bool:
    first, last = (when(by_name[index]) if when else None for index in (0, -1))
    return first is not None and last is not None and first < last
