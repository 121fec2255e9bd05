"""A disk that a test fills: a real one in a mount namespace of its own, or a limit on the database's pages."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from logwarden.state import State

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
"""sched.h, sys/mount.h."""

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(status: int) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def on_small_disk(place: Path, megabytes: int, body: Callable[[], None]) -> None:
    """Run `body` in a thread for which `place` is a disk of its own. It is gone with the thread, whatever happens."""

    def run() -> None:
        _checked(_libc.unshare(CLONE_NEWNS))
        _checked(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
        _checked(_libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, f"size={megabytes}m".encode()))
        body()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


class Disk:
    """The disk that a file system of `place` is on."""

    def __init__(self, place: Path) -> None:
        self._ballast = place / "ballast"

    def fill(self) -> None:
        """Leave no room."""
        block = b"\0" * 4096
        with self._ballast.open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(block)
            except OSError:
                pass

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink()


class PageLimit:
    """No disk, but a database that may not grow: SQLite's own `database or disk is full`."""

    def __init__(self, state: State) -> None:
        self._db = state._db

    def fill(self) -> None:
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        self._db.execute(f"PRAGMA max_page_count={pages}")

    def free(self) -> None:
        self._db.execute("PRAGMA max_page_count=1000000000")
