"""sd_notify: tells systemd READY, RELOADING, STATUS, STOPPING, WATCHDOG over NOTIFY_SOCKET; and our log, the journal.

Written out, and not python-systemd's, because a daemon of Type=notify that lacks that package would never be ready.
The protocol is sd_notify(3): one datagram of NAME=VALUE lines; a socket name that starts with '@' is abstract.
Never fails: without NOTIFY_SOCKET, or with nobody listening, it does nothing; what is not taken in time is not said.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

from .errors import EdgeError
from .own import spelt
from .sources import sdjournal

PATIENCE = 1.0
"""Seconds that systemd may take for a notification while its queue is full: lines are waiting."""


def notify(*, environ: Mapping[str, str] = os.environ, **fields: str | int) -> None:
    """Send `fields` (names in capitals) as one notification."""
    name = environ.get("NOTIFY_SOCKET", "")
    if not name.startswith(("/", "@")):
        return
    content = "\n".join(f"{key}={str(value).replace(chr(10), ' ')}" for key, value in fields.items())
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
        door.settimeout(PATIENCE)
        door.connect("\0" + name[1:] if name[0] == "@" else name)
        door.send(content.encode())


def watchdog_interval(environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds between two WATCHDOG=1: half of what systemd tolerates (WATCHDOG_USEC); None where it does not watch."""
    usec = environ.get("WATCHDOG_USEC", "")
    mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(usec) / 2_000_000 if mine and usec.isdigit() and int(usec) > 0 else None


def journal_handler(environ: Mapping[str, str] = os.environ) -> logging.Handler | None:
    """What logs to the journal, with priority and fields, where standard error goes there too (JOURNAL_STREAM of
    systemd.exec(5)). None elsewhere, and without python-systemd: then the words go to standard error."""
    with contextlib.suppress(OSError, EdgeError):
        where = os.fstat(2)
        if environ.get("JOURNAL_STREAM") == f"{where.st_dev}:{where.st_ino}":
            return handler(sdjournal.module())
    return None


def handler(journal: Any) -> logging.Handler:
    """What logs by python-systemd's `journal`, which sends nothing that is no UTF-8, and says so in a dozen lines."""

    def send(message: str, /, **fields: object) -> None:
        said = {name: spelt(value) if isinstance(value, str) else value for name, value in fields.items()}
        journal.send(spelt(message), **said)

    made: logging.Handler = journal.JournalHandler(sender_function=send, SYSLOG_IDENTIFIER="logwarden")
    return made
