"""What was worked out about rules before, so that a start or an edit costs what has changed since.

Owns: one file, JSON, that holds results by the content that they were worked out from and by the version of the code
that did it. What nobody asked for again is forgotten when it is written anew, whole or not at all.
Never: fails. A file that is damaged, or cannot be written, costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .. import __version__

Result = TypeVar("Result")


class Memory:
    """Results by content. `path` None: for this process alone."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._known = _read(path) if path else {}
        self._asked: dict[str, Any] = {}

    def recall(self, kind: str, content: object, work: Callable[[], Result]) -> Result:
        """The result of `work`, which depends on nothing but `content`. Both are plain data, as JSON has it."""
        key = hashlib.blake2b(f"{kind} {json.dumps(content)}".encode(), digest_size=16).hexdigest()
        if key not in self._asked:
            self._asked[key] = self._known[key] if key in self._known else work()
        return self._asked[key]  # type: ignore[no-any-return] # what `work` returned, then or now

    def save(self) -> None:
        """Write what was asked for, where that is not what the file holds already."""
        if self._path is None or self._asked.keys() == self._known.keys():
            return
        with contextlib.suppress(OSError):
            directory = os.path.dirname(self._path)
            os.makedirs(directory, mode=0o700, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=directory)
            try:
                with os.fdopen(descriptor, "w") as stream:
                    json.dump({"version": _version(), "known": self._asked}, stream)
                os.replace(temporary, self._path)
            except OSError:
                os.unlink(temporary)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            content = json.load(stream)
        return dict(content["known"]) if content["version"] == _version() else {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}


@functools.cache
def _version() -> str:
    """This program, and its code for rules."""
    here = Path(__file__).parent
    digest = hashlib.blake2b(__version__.encode(), digest_size=16)
    for path in sorted((*here.iterdir(), *(here.parent / "ere").iterdir(), here.parent / "address.py")):
        if path.suffix in {".py", ".json"}:
            digest.update(path.read_bytes())
    return digest.hexdigest()
