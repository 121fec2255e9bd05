"""inotify(7) through watchdog's binding: any number of directories on one descriptor.

Owns: the descriptor, and the layout of an event. watchdog's observers take a descriptor, two threads and a buffer of
80 kB for each directory: of descriptors a user has 128, and a log server may have a directory for each host.
Never: looks into subdirectories, or joins the two halves of a rename.
Fails: with the kernel's OSError, such as ENOSPC where the user may watch no more.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from watchdog.observers import inotify_c

_EVENT = struct.Struct("iIII")
"""Watch, mask, cookie, and the length of the name that follows, with the NULs behind it."""
_BUFFER = 16_384

_LIMITS = {errno.ENOSPC: "inotify watch limit reached", errno.EMFILE: "inotify instance limit reached"}
"""What the kernel means, where it says that a disk is full or too many files are open."""


class Event(NamedTuple):
    """What happened. `name` is the name in the directory; empty: it happened to the directory itself."""

    watch: int
    mask: int
    name: str


class Inotify:
    """Watches, and what they tell. For one reader; `add` and `remove` may be called meanwhile."""

    def __init__(self) -> None:
        self._fd = _checked(inotify_c.inotify_init())
        os.set_inheritable(self._fd, False)
        try:
            self._bell = os.eventfd(0, os.EFD_CLOEXEC)
        except OSError:
            os.close(self._fd)
            raise

    def add(self, directory: str, mask: int) -> int:
        """Watch a directory. The number of the watch is the same for all paths of one directory."""
        only = inotify_c.InotifyConstants.IN_ONLYDIR
        return _checked(inotify_c.inotify_add_watch(self._fd, os.fsencode(directory), mask | only))

    def remove(self, watch: int) -> None:
        """Watch a directory no more. That it is gone is as good."""
        with suppress(OSError):
            # To some versions of watchdog a watch has a type of its own, which is made of int.
            _checked(inotify_c.inotify_rm_watch(self._fd, watch))  # type: ignore[arg-type, unused-ignore]

    def events(self) -> Iterator[Event]:
        """What happens, as it happens, until `stop`."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        while all(fd != self._bell for fd, _ in poll.poll()):
            yield from _events(os.read(self._fd, _BUFFER))

    def stop(self) -> None:
        """Let `events` end."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Give the descriptors back, once nobody uses them any more."""
        os.close(self._fd)
        os.close(self._bell)


def _events(content: bytes) -> Iterator[Event]:
    end = 0
    while end < len(content):
        watch, mask, _, size = _EVENT.unpack_from(content, end)
        start = end + _EVENT.size
        end = start + size
        yield Event(watch, mask, os.fsdecode(content[start:end].rstrip(b"\0")))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, _LIMITS.get(number) or os.strerror(number))
    return result
