"""Streams of decompressed bytes, in bounded memory: gzip, xz, bzip2, and zstd by the command of that name.

Each opener takes a descriptor that it owns from then on, and gives something with `read1` and `close`.
Raises one of DAMAGE from `read1` where the data is damaged or ends too soon, and from the opener where the command that
decompresses it is not installed.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from .. import process
from ..errors import EdgeError

MEMORY = 128 << 20
"""Bytes of dictionary that a compressed log may ask for: `xz -9` takes 65 MiB. More is hostile, or no log."""


class Stream(Protocol):
    """Decompressed bytes, from the first to the last."""

    def read1(self, size: int, /) -> bytes:
        """Up to `size` bytes; none only at the end."""

    def close(self) -> None:
        """Give back the descriptor."""


class _Gzip(gzip.GzipFile):
    """GzipFile over a descriptor; one kind of error for all kinds of damage."""

    def __init__(self, fd: int) -> None:
        self._raw = os.fdopen(fd, "rb")
        super().__init__(fileobj=self._raw, mode="rb")

    def read1(self, size: int = -1) -> bytes:
        try:
            return super().read1(size)
        except zlib.error as error:
            raise OSError(0, str(error)) from error

    def close(self) -> None:
        super().close()
        self._raw.close()


class _Blocks:
    """xz and bzip2, whose decompressors share one interface; several streams may follow one another in a file."""

    def __init__(self, fd: int, fresh: Callable[[], lzma.LZMADecompressor | bz2.BZ2Decompressor]) -> None:
        self._raw = os.fdopen(fd, "rb")
        self._fresh = fresh
        self._decompressor = fresh()

    def read1(self, size: int, /) -> bytes:
        while True:
            data = b""
            if self._decompressor.eof:
                data = self._decompressor.unused_data or self._raw.read(65_536)
                if not data.strip(b"\0"):  # xz pads with NULs
                    return b""
                self._decompressor = self._fresh()
            elif self._decompressor.needs_input:
                data = self._raw.read(65_536)
                if not data:
                    raise EOFError("ends too soon")
            try:
                text = self._decompressor.decompress(data, size)
            except lzma.LZMAError as error:
                raise OSError(0, str(error)) from error
            if text:
                return text

    def close(self) -> None:
        self._raw.close()


def _xz(fd: int) -> Stream:
    return _Blocks(fd, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY))


def _bzip2(fd: int) -> Stream:
    return _Blocks(fd, bz2.BZ2Decompressor)


def _zstd(fd: int) -> Stream:
    with os.fdopen(fd, "rb") as raw:
        return process.stream(["zstd", "-q", "-d", "-c", f"--memory={MEMORY >> 20}MB"], stdin=raw)


FORMATS: Mapping[bytes, Callable[[int], Stream]] = {
    b"\x1f\x8b": _Gzip,
    b"\xfd7zXZ\0": _xz,
    b"BZh": _bzip2,
    b"\x28\xb5\x2f\xfd": _zstd,
}
"""Opener by the file's first bytes: RFC 1952, the .xz format 1.0.4, bzip2, RFC 8878."""

DAMAGE = (OSError, EOFError, EdgeError)
"""What a stream raises where it cannot go on."""
