"""A file system that can hang: FUSE as the kernel speaks it (linux/fuse.h), with one directory and the files in it.

While `hung` nobody answers, and who asks for something there is blocked in the kernel, as by an NFS server that is
gone. Needs root, and a thread in a mount namespace of its own.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import stat
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH = 1, 2, 3, 14, 15, 18, 25
INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, DESTROY, BATCH_FORGET = 26, 27, 28, 29, 36, 38, 42
SILENT = (FORGET, INTERRUPT, BATCH_FORGET)
MTIME = 1_700_000_000


class HangingMount:
    """`files` by name; what is put into it is there at once."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self.place = place
        self.files: dict[str, bytes] = {}
        self._answering = threading.Event()
        self._answering.set()
        self.asked = threading.Event()
        """Somebody waits for an answer."""
        self._fd = os.open("/dev/fuse", os.O_RDWR)
        self._libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self._fd},rootmode={stat.S_IFDIR:o},user_id=0,group_id=0".encode()
        if self._libc.mount(b"hanging", os.fsencode(place), b"fuse", 0, options):
            os.close(self._fd)
            pytest.skip(f"cannot mount here: {os.strerror(ctypes.get_errno())}")
        self._over = os.eventfd(0)
        self._thread = threading.Thread(target=self._serve, name="hanging")
        self._thread.start()

    def hang(self) -> None:
        """Answer nobody from now on."""
        self.asked.clear()
        self._answering.clear()

    def wake(self) -> None:
        """Answer who has waited, and whoever asks."""
        self._answering.set()

    def close(self) -> None:
        """Unmount it; who still waits gets an error."""
        os.eventfd_write(self._over, 1)
        self._answering.set()
        self._thread.join()
        os.close(self._fd)
        os.close(self._over)
        self._libc.umount2(os.fsencode(self.place), 2)  # MNT_DETACH

    def _serve(self) -> None:
        while True:
            ready = select.select([self._fd, self._over], [], [])[0]
            if self._over in ready:
                return
            request = os.read(self._fd, 1 << 17)
            self.asked.set()
            self._answering.wait()
            _, opcode, unique, node, *_ = struct.unpack_from("<IIQQIIII", request)
            if opcode in SILENT:
                continue
            try:
                body, error = self._answer(opcode, node, request[40:]), 0
            except OSError as refused:
                body, error = b"", -(refused.errno or errno.EIO)
            os.write(self._fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)

    def _answer(self, opcode: int, node: int, body: bytes) -> bytes:
        known: Mapping[int, Callable[[], bytes]] = {
            INIT: lambda: struct.pack("<IIIIHHIIHHI7I", 7, 31, 0, 0, 16, 12, 1 << 16, 1, 0, 0, 0, *[0] * 7),
            LOOKUP: lambda: self._entry(body.rstrip(b"\0").decode()),
            GETATTR: lambda: struct.pack("<QII", 0, 0, 0) + self._attributes(node),
            OPEN: lambda: struct.pack("<QII", 0, 1, 0),  # FOPEN_DIRECT_IO: no page of it is kept
            OPENDIR: lambda: struct.pack("<QII", 0, 0, 0),
            READ: lambda: self._read(node, *struct.unpack_from("<8xQI", body)),
            READDIR: lambda: self._names(*struct.unpack_from("<8xQ", body)),
            **dict.fromkeys((RELEASE, RELEASEDIR, FLUSH, DESTROY), lambda: b""),
        }
        if opcode not in known:
            raise OSError(errno.ENOSYS, "not here")
        return known[opcode]()

    def _entry(self, name: str) -> bytes:
        if name not in self.files:
            raise OSError(errno.ENOENT, "no such file")
        node = [*self.files].index(name) + 2
        return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + self._attributes(node)

    def _attributes(self, node: int) -> bytes:
        mode, size = (stat.S_IFDIR | 0o755, 0) if node == 1 else (stat.S_IFREG | 0o644, len(self._content(node)))
        times = (MTIME, MTIME + size, MTIME)
        return struct.pack("<6Q10I", node, size, 0, *times, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _content(self, node: int) -> bytes:
        return [*self.files.values()][node - 2]

    def _read(self, node: int, offset: int, size: int) -> bytes:
        return self._content(node)[offset : offset + size]

    def _names(self, offset: int) -> bytes:
        entries = b""
        for index, name in enumerate([*self.files][offset:], offset):
            raw = name.encode()
            entry = struct.pack("<QQII", index + 2, index + 1, len(raw), stat.S_IFREG >> 12) + raw
            entries += entry + b"\0" * (-len(entry) % 8)
        return entries
