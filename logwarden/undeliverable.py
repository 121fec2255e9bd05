"""Mail that no server took for its whole lifetime, as files that a person can read.

Owns: one directory of RFC 5322 messages, each named after its Message-ID. Never: tries to deliver them.
Fails: with StateError where the disk takes no file; the message then stays in the outbox.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection
from pathlib import Path

from .errors import StateError
from .model import Message

DIRECTORY = "undeliverable"


def path(state: str, message_id: str) -> Path:
    """The file of this message, in the state directory `state`."""
    return Path(state, DIRECTORY, re.sub(r"[^A-Za-z0-9@._-]", "_", message_id.strip("<>")).lstrip(".") + ".eml")


def keep(state: str, message: Message) -> Path:
    """Write the message down, whole or not at all. Raises StateError."""
    file = path(state, message.message_id)
    fresh = file.with_suffix(".new")
    try:
        file.parent.mkdir(mode=0o750, exist_ok=True)
        with fresh.open("wb") as out:
            out.write(message.content)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
    except OSError as error:
        raise StateError(f"{file}: an undeliverable message cannot be kept: {error.strerror or error}") from error
    return file


def forget(state: str, known: Collection[str], before: float) -> None:
    """Remove what is older than `before` (POSIX seconds) and not one of the Message-IDs that state still knows."""
    names = {path(state, message_id).name for message_id in known}
    for file in Path(state, DIRECTORY).glob("*"):
        with contextlib.suppress(OSError):
            if file.name not in names and file.stat().st_mtime < before:
                file.unlink()
