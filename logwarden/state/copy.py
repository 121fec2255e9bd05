"""A side copy of the cursors, from which a new database takes up where a damaged one stood.

Owns: one small file of JSON beside the database, replaced atomically, written each minute and at the stop where a
cursor has moved. It is only ever older than the database: lines committed since it was written are read, and reported,
again. What it does not hold is lost with the database: the open period's lines and counts.
Fails: `save` with OSError; `load` never: a copy that cannot be read is none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

NAME = "cursors.json"


def save(directory: str, cursors: Mapping[str, str]) -> None:
    """Write the copy, so that after a crash there is either the old one or the new one, whole. Raises OSError."""
    path = Path(directory, NAME)
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(cursors, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load(directory: str) -> dict[str, str] | None:
    """The cursors as they were copied last; None where there is no copy, or no readable one."""
    try:
        loaded = json.loads(Path(directory, NAME).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(loaded, dict) or not all(isinstance(cursor, str) for cursor in loaded.values()):
        return None
    return loaded


def written(directory: str) -> float:
    """When the copy was written, POSIX seconds. Raises OSError where there is none."""
    return Path(directory, NAME).stat().st_mtime
