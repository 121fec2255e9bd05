"""`logwarden run`: the daemon, in the foreground."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import signal

import click

from .. import config
from ..daemon import Daemon
from .options import config_option

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""mallopt(3), malloc.h."""
LARGE = 131_072
"""Bytes; glibc's own first value."""
YOUNG = 1_000
"""Objects that are made before cycles are looked for among them."""


@click.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log what is done, not only what goes wrong.")
def run(config_file: str, *, verbose: bool) -> None:
    """Run the daemon in the foreground, until SIGTERM or SIGINT. SIGHUP reloads config and rules."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO if verbose else logging.WARNING)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it can be answered: rules may take seconds to compile
    _give_memory_back()
    daemon = Daemon(config.load(config_file, remember=True))
    _collect_cycles()
    daemon.run()


def _collect_cycles() -> None:
    """Look for cycles often from now on, so that nothing large waits in one, but not among all that has been built."""
    gc.freeze()
    gc.set_threshold(YOUNG)


def _give_memory_back() -> None:
    """Have what is large mapped by itself for ever, so that the old rules' memory is the system's again after a reload.

    By itself glibc stops that at the first large block which is freed: 20 MB of a daemon with 1,900 rules stay unused.
    And it gives threads heaps of their own, each with its holes, though one thread runs at a time: 3 MB.
    """
    with contextlib.suppress(AttributeError):  # another C library
        malloc = ctypes.CDLL(None)
        malloc.mallopt(M_MMAP_THRESHOLD, LARGE)
        malloc.mallopt(M_ARENA_MAX, 1)
