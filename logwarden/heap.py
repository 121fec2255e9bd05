"""The C library's heap: what is not used there any more is the system's again.

Never: fails. Another C library than glibc may lack what is asked here, and then nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""mallopt(3), malloc.h."""
LARGE = 131_072
"""Bytes; glibc's own first value."""


def give_back() -> None:
    """Have what is large mapped by itself for ever, so that the old rules' memory is the system's again after a reload.

    By itself glibc stops that at the first large block which is freed: 20 MB of a daemon with 1,900 rules stay unused.
    And it gives threads heaps of their own, each with its holes, though one thread runs at a time: 3 MB.
    """
    with contextlib.suppress(AttributeError):
        malloc = ctypes.CDLL(None)
        malloc.mallopt(M_MMAP_THRESHOLD, LARGE)
        malloc.mallopt(M_ARENA_MAX, 1)


def trim() -> None:
    """Give back the pages that are free. glibc does that at the heap's end alone, and a reload leaves 0.6 MB below."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
