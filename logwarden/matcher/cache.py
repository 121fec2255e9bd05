"""Compiled rule sets on disk, so that a start takes milliseconds and an edit no longer than what was edited.

Owns: the file format; that a file is written whole or not at all, and believed only if it is undamaged and was made by
this very code and engine. A file holds one `Built`. An edit adds a small one beside the large one (`cover`).
Never: fails. A cache that cannot be read or written costs time, not rules; of one that cannot be written it is known
why.
"""

from __future__ import annotations

import contextlib
import functools
import json
import zlib
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from .. import __version__, atomic
from ..blake2 import blake2b
from ..memory import regex_version
from .build import Built, Databases, Row, Way
from .patterns import DIGEST, Facts, Scope

_MAGIC = b"logwarden compiled rules\n"
_DIGEST = 32
_SUFFIX = ".rules"
_MOST_BESIDE = 100
"""Texts that are compiled beside a large file; with more, all are compiled anew."""
_KEPT = 8
"""Files that stay: those in use, and the latest others, for someone who changes his mind."""


@functools.cache
def version() -> str:
    """What a file has to have been made by: the program, its code for rules, `regex`, Hyperscan."""
    here = Path(__file__).parent
    digest = blake2b(digest_size=16)
    for room in (here, here.parent / "ere", here.parent / "header"):
        for path in sorted((*room.glob("*.py"), *room.glob("*.so"))):
            digest.update(path.read_bytes())
    return f"{__version__} {digest.hexdigest()} {regex_version()} {hyperscan_version() or 'none'}"


def hyperscan_version() -> str | None:
    """The version of Hyperscan; None where there is none, or logwarden was not wholly built for it."""
    try:
        from . import _hyperscan
    except ImportError:
        return None
    return _hyperscan.VERSION if find_spec(f"{__package__}._hyperscan_compiler") else None


def dump(built: Built) -> bytes:
    """`built` as a file holds it: a digest, then JSON, with sizes and checksums of the databases that follow.

    Of texts it holds digests: they themselves took 7 ms of each start, and 1 MB. The databases are large, and Hyperscan
    has put a checksum of its own into each: a digest of them took 12 ms of each start.
    """
    kinds = {row: number for number, row in enumerate(dict.fromkeys(built.rows))}
    head = {
        "version": version(),
        "databases": [(len(each), zlib.crc32(each)) for each in built.databases],
        "kinds": [(row.way, *row.facts, row.why) for row in kinds],
        "rows": [kinds[row] for row in built.rows],
        "digests": b"".join(built.digests).hex(),
    }
    body = json.dumps(head, separators=(",", ":")).encode()
    return b"".join((_MAGIC, _digest(body), b"%08d" % len(body), body, *built.databases))


def load(content: BinaryIO) -> Built | None:
    """What `dump` wrote; None where it is damaged, or not this version's."""
    magic, digest, size = content.read(len(_MAGIC)), content.read(_DIGEST), content.read(8)
    if magic != _MAGIC or not size.isdigit() or digest != _digest(body := content.read(int(size))):
        return None
    head = json.loads(body)
    if head["version"] != version():
        return None
    databases = [content.read(size) for size, _ in head["databases"]]
    if [[len(each), zlib.crc32(each)] for each in databases] != head["databases"] or content.read(1):
        return None
    kinds = [Row(Way(way), Facts(Scope(scope), settles), why) for way, scope, settles, why in head["kinds"]]
    digests = bytes.fromhex(head["digests"])
    each = [digests[start : start + DIGEST] for start in range(0, len(digests), DIGEST)]
    return Built(each, [kinds[number] for number in head["rows"]], Databases(*databases))


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST).digest()


class Cache:
    """The files of one directory, which is made where it is missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.trouble: str | None = None
        """Why what was compiled could not be kept."""
        self._files = {path: built for path in self._paths() if (built := _read(path)) is not None}

    def cover(self, digests: Collection[bytes]) -> tuple[list[Built], list[bytes]]:
        """The files that together hold the texts of these digests, and those that have to be compiled beside them.

        A file may hold some texts that are not wanted any more: they are not in force.
        """
        wanted = set(digests)
        base = max(self._files.values(), key=lambda built: _worth(built, wanted), default=None)
        if base is None or _worth(base, wanted) * 2 < len(wanted):
            return [], list(digests)
        missing = wanted.difference(base.digests)
        for side in self._files.values():
            if missing == set(side.digests):
                return [base, side], []
        if len(missing) > _MOST_BESIDE:
            return [], list(digests)
        return [base], [digest for digest in digests if digest in missing]

    def add(self, built: Built) -> None:
        """Write a file, or none where that cannot be."""
        content = dump(built)
        path = self._directory / (blake2b(content, digest_size=16).hexdigest() + _SUFFIX)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            atomic.write(path, content)
        except OSError as error:
            why = error.strerror or str(error)
            self.trouble = f"{self._directory} cannot be written ({why}), so each start compiles the rules anew"
        self._files[path] = built

    def forget(self, parts: Sequence[Built]) -> None:
        """Remove what turned out to be of no use."""
        useless = [path for path, built in self._files.items() if built in parts]
        for path in useless:
            del self._files[path]
            with contextlib.suppress(OSError):
                path.unlink()

    def prune(self, used: Sequence[Built]) -> None:
        """Remove what is damaged, what was never finished, and all but the latest of what is not in use; mark as late
        what is."""
        with contextlib.suppress(OSError):
            for path in self._directory.glob(f"{atomic.PREFIX}*"):
                path.unlink(missing_ok=True)
            for path, built in self._files.items():
                if built in used:
                    path.touch()
            believed = [path for path in self._paths() if path in self._files]
            for path in set(self._paths()).difference(believed):
                path.unlink(missing_ok=True)
            spare = [path for path in believed if self._files[path] not in used]
            spare.sort(key=lambda path: path.stat().st_mtime, reverse=True)
            for path in spare[max(0, _KEPT - len(used)) :]:
                path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        try:
            return sorted(self._directory.glob(f"*{_SUFFIX}"))
        except OSError:
            return []


def _worth(built: Built, wanted: set[bytes]) -> int:
    """How many texts a file gives, less those that it carries for nothing."""
    given = len(wanted.intersection(built.digests))
    return given - (len(built.digests) - given)


def _read(path: Path) -> Built | None:
    try:
        with path.open("rb") as file:
            return load(file)
    except OSError:
        return None
