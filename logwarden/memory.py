"""What was worked out before, by the content that it follows from, so that a start or an edit costs what has changed.

Owns: files of such results, JSON behind a digest, believed only where they are undamaged and this very code wrote them.
What nobody asked for again is forgotten when a file is written anew, whole or not at all.
Never: fails. A file that is damaged, or cannot be written, costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from . import __version__, atomic
from .blake2 import blake2b

Result = TypeVar("Result")

_DIGEST = 32


class Memory:
    """Results by content. `path` None: for this process alone."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._known = _read(path) if path else {}
        self._asked: dict[str, Any] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known from before."""
        return not self._known

    def recall(self, kind: str, content: object, work: Callable[[], Result]) -> Result:
        """The result of `work`, which depends on nothing but `content`. Both are plain data, as JSON has it."""
        key = blake2b(f"{kind} {content!r}".encode(), digest_size=16).hexdigest()
        if key not in self._asked:
            self._asked[key] = self._known[key] if key in self._known else work()
        return self._asked[key]  # type: ignore[no-any-return] # what `work` returned, then or now

    def save(self) -> None:
        """Write what was asked for, where that is not what the file holds already. Its directory may be missing."""
        if self._path is None or self._asked.keys() == self._known.keys():
            return
        with contextlib.suppress(OSError):
            directory = os.path.dirname(self._path)
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
            content = json.dumps(self._asked).encode()
            atomic.write(self._path, _digest(content) + content)


@functools.cache
def regex_version() -> str:
    """Which `regex` package is installed, without loading it, which would take long: what its files say."""
    spec = find_spec("regex")
    stats = [path.stat() for path in sorted(Path(spec.origin).parent.glob("_regex*"))] if spec and spec.origin else []
    return blake2b(repr([(each.st_size, each.st_mtime_ns) for each in stats]).encode(), digest_size=8).hexdigest()


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as stream:
            digest, content = stream.read(_DIGEST), stream.read()
    except OSError:
        return {}
    return dict(json.loads(content)) if digest == _digest(content) else {}


def _digest(content: bytes) -> bytes:
    return blake2b(content, key=_version(), digest_size=_DIGEST).digest()


@functools.cache
def _version() -> bytes:
    """This program: its code for rules and for the config, as 32 bytes."""
    here = Path(__file__).parent
    digest = blake2b(__version__.encode(), digest_size=32)
    rooms = (*(here / "rules").iterdir(), *(here / "ere").iterdir())
    for path in sorted((*rooms, here / "address.py", here / "document.py", here / "config.schema.json")):
        if path.suffix in {".py", ".json"}:
            digest.update(path.read_bytes())
    return digest.digest()
