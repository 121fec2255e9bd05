"""Which rule files of several directories are in force: a later directory replaces files of the same relative name.

Owns: the names that count, and saying of every file that does not count why. Silent only about what no one takes
for a rule file: README files, and what editors and version control leave behind (`.git*`, `.NAME.swp`, `#NAME#`).
Never: reads anything but regular files and /dev/null, which as a replacement disables a file as an empty one does.
Fails: by a Refusal for each file or directory that cannot be used; the file that it would replace stays in force.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import RuleError
from ..model import Location, Refusal
from .access import trouble

MAX_BYTES = 4 << 20
"""A rule file larger than this, in bytes, is something else."""

OPTIONAL = frozenset(
    f"{prefix}/logwarden/{name}.d" for prefix in ("/usr/share", "/etc") for name in ("ignore", "attack")
)
"""The default directories: not to have one is nothing to speak of."""

_NOISE = re.compile(r"\.git.*|\..*\.sw.|\.#.*|#.*#|README.*|4913")


class File(NamedTuple):
    """A rule file that is in force, and what it holds."""

    path: str
    content: bytes


def survey(
    directories: Sequence[str], suffix: str, chosen: Sequence[str] = (), known: Sequence[str] = ()
) -> tuple[list[File], list[Refusal]]:
    """The files in force whose names end in `suffix`, by their relative names, and what was refused.

    Subdirectories that are `chosen` are looked into, those that are `known` may be there, others are said.
    """
    found: dict[str, File] = {}
    refused: list[Refusal] = []
    for directory in directories:
        for name in _names(directory, suffix, chosen, known, refused):
            path = os.path.join(directory, name)
            try:
                found[name] = File(path, read(path))
            except RuleError as error:
                refused.append(Refusal(Location(path, 1), str(error)))
    return [found[name] for name in sorted(found)], refused


def read(path: str) -> bytes:
    """The content of a rule file. Raises RuleError where it is no regular file, cannot be read, or is too large."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise RuleError(f"skipped: cannot be read: {trouble(path, error)}") from error
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) and not os.path.samefile(path, os.devnull):
            raise RuleError("skipped: is no regular file")
        if status.st_size > MAX_BYTES:
            raise RuleError(f"skipped: is larger than {MAX_BYTES >> 20} MiB")
        return stream.read(status.st_size)


def is_noise(name: str) -> bool:
    """Whether no one takes a file of this name for a rule file."""
    return _NOISE.fullmatch(name) is not None


def _names(
    directory: str, suffix: str, chosen: Sequence[str], known: Sequence[str], refused: list[Refusal]
) -> Iterator[str]:
    """The relative names of the rule files below `directory`, in any order."""
    for below in ("", *chosen):
        place = os.path.join(directory, below)
        try:
            names = os.listdir(place)
        except FileNotFoundError:
            if not below and directory not in OPTIONAL:
                refused.append(Refusal(Location(directory, 1), "no such directory"))
            continue
        except OSError as error:
            refused.append(Refusal(Location(place, 1), f"cannot be listed: {trouble(place, error)}"))
            continue
        for name in names:
            path = os.path.join(place, name)
            if is_noise(name) or (name in known and not below):
                continue
            if why := _why_not(path, name, suffix):
                refused.append(Refusal(Location(path, 1), f"skipped: {why}"))
            else:
                yield os.path.join(below, name)


def _why_not(path: str, name: str, suffix: str) -> str | None:
    """Why a directory entry is no rule file; None: it is one."""
    if os.path.isdir(path):
        return "a directory"
    if name.startswith("."):
        return "a hidden file"
    return None if name.endswith(suffix) else f"its name does not end in {suffix}"
