"""Which files of a preset are read: those that are there and that we may read, and that no item of the config means.

Owns: the bound on how many one preset may find, whose links are followed, and where reading begins: nothing that was
there at the first look, or that could not be read then, is read from its beginning.
Never: opens a file. A link that root did not make leads out of its directory for nobody, so that who may write a log
cannot have another one read in its place (afterwards he can, and then it is one log that we may read for another).
Fails: what is left out is in `left`, with the reason; it is asked again at each look.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence

from .mounts import on_the_way

MOST = 128
"""Files that one preset reads, those written to last."""
CROWD = 2_000
"""Files that one preset may find: what has more is no directory of logs, and each look at it would take seconds."""


class Presets:
    """The files of one preset, whose path or glob is `pattern`. `besides` are the items of the config."""

    def __init__(self, pattern: str, besides: Sequence[str]) -> None:
        self._pattern, self._besides = pattern, besides
        self._seen: Collection[str] | None = None  # what the last look left; None: there was none, or it saw too many
        self.left: Mapping[str, str] = {}
        """What is there and not read, and why; of very many, some."""

    def admit(
        self, paths: Collection[str], known: Collection[str], read: Mapping[str, bool]
    ) -> tuple[dict[str, bool], list[str]]:
        """Those of `paths` to be read from now on, and whether from their beginning; and those that make room for them.

        Of those `known` it is known how far they were read. `read` are those that are read already, and whether nothing
        has happened there for long: such a one makes room for what was written to later, as each day has a log of its
        own.
        """
        found = [path for path in paths if not covered(path, self._besides)]
        if len(found) > CROWD:
            self._seen, self.left = None, {self._pattern: f"finds more than {CROWD:,} files, and reads none of these"}
            return {}, []
        reasons = {path: None if path in known else _why_not(path) for path in found}
        fit = sorted((path for path in found if reasons[path] is None), key=_written, reverse=True)
        ended = _displaced([path for path, quiet in read.items() if quiet], fit[max(0, MOST - len(read)) :])
        room = max(0, MOST - len(read) + len(ended))
        left = {path: why for path, why in reasons.items() if why is not None}
        left |= dict.fromkeys(fit[room:], f"is one too many: {MOST} are read")
        admitted = {path: self._seen is not None and path not in self._seen for path in sorted(fit[:room])}
        self._seen = {*left, *ended}
        if not found and not read:
            left = dict.fromkeys(_closed(self._pattern), f"cannot be looked into: {os.strerror(errno.EACCES)}")
        self.left = dict(sorted(left.items())[:MOST])
        return admitted, ended


def covered(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path, or all that matches a glob like it, is meant by one of `patterns`, name by name."""
    names = path.split("/")
    return any(
        len(others := os.path.normpath(pattern).split("/")) == len(names)
        and all(map(fnmatch.fnmatchcase, names, others))
        for pattern in patterns
    )


def unreadable(why: str) -> str:
    """The reason of a file that cannot be read."""
    return f"cannot be read: {why}"


def _why_not(path: str) -> str | None:
    """Why a file is not to be read; None: it is."""
    try:
        if _strays(path):
            return "is not followed: a link leads elsewhere that root did not make"
        if not stat.S_ISREG(os.stat(path).st_mode):
            return "is no regular file"
    except OSError as error:
        return unreadable(error.strerror or str(error))
    return None if os.access(path, os.R_OK) else unreadable(os.strerror(errno.EACCES))


def _strays(path: str) -> bool:
    """Whether a link on the way to a file leads out of its directory, and is not root's. Raises OSError."""
    for at in on_the_way(path):
        found = os.lstat(at)
        if stat.S_ISLNK(found.st_mode) and found.st_uid != 0:
            directory = os.path.dirname(at)
            if os.path.dirname(os.path.normpath(os.path.join(directory, os.readlink(at)))) != directory:
                return True
    return False


def _displaced(quiet: Collection[str], others: Sequence[str]) -> list[str]:
    """Those of the `quiet` ones that were written to before some of the `others`, of which the latest come first."""
    return [old for old, new in zip(sorted(quiet, key=_written), others, strict=False) if _written(old) < _written(new)]


def _written(path: str) -> tuple[float, str]:
    try:
        return os.stat(path).st_mtime, path
    except OSError:
        return 0.0, path


def _closed(pattern: str) -> list[str]:
    """The directory in which a pattern's files cannot be looked for, if that is why none is found."""
    at = os.path.dirname(pattern)
    while not os.path.isdir(at) and at != "/":
        at = os.path.dirname(at)
    return [] if os.access(at, os.R_OK | os.X_OK) or at == "/" else [at]
