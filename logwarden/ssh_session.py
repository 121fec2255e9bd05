"""Where the administrator who gives a command comes from: the client's address of his ssh session.

Owns: SSH_CONNECTION (ssh(1): client address, client port, server address, server port), of this process or of an
ancestor: sudo and su take it out of the environment, the shell above them still has it.
Never: fails: whoever sits at the console comes from nowhere, and so does whose setting names no address (sshd's UNKNOWN
over a pipe, or what a user has written there himself).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from . import address

ANCESTORS = 64


def client_address(proc: str = "/proc") -> str | None:
    """The address, or None."""
    for found in _connections(proc):
        if words := found.split():
            with suppress(ValueError):
                return address.normalised(words[0])
    return None


def _connections(proc: str) -> Iterator[str]:
    yield os.environ.get("SSH_CONNECTION", "")
    pid = os.getppid()
    for _ in range(ANCESTORS):
        if pid <= 1:
            return
        try:
            environment = Path(proc, str(pid), "environ").read_bytes().split(b"\0")
            pid = _parent(Path(proc, str(pid), "stat").read_text(errors="replace"))
        except (OSError, ValueError, IndexError):
            return
        for setting in environment:
            if setting.startswith(b"SSH_CONNECTION="):
                yield setting.partition(b"=")[2].decode("utf-8", "replace")


def _parent(stat: str) -> int:
    """proc(5): pid (comm) state ppid; the name may hold anything, brackets too."""
    return int(stat.rpartition(")")[2].split()[1])
