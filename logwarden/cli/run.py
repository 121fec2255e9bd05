"""`logwarden run`: the daemon, in the foreground."""

from __future__ import annotations

import gc
import logging
import signal

import click

from .. import config, heap, systemd
from ..daemon import Daemon
from .options import config_option

YOUNG = 1_000
"""Objects that are made before cycles are looked for among them."""


@click.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log what is done, not only what goes wrong.")
def run(config_file: str, *, verbose: bool) -> None:
    """Run the daemon in the foreground, until SIGTERM or SIGINT. SIGHUP reloads config and rules.

    \b
    logwarden run --config ./logwarden.yaml --verbose
    """
    _log(logging.INFO if verbose else logging.WARNING)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it can be answered: rules may take seconds to compile
    heap.give_back()
    daemon = Daemon(config.load(config_file, remember=True), lean=True)
    daemon.run(_collect_cycles)


def _log(level: int) -> None:
    """To the journal, where we are a service; else to standard error."""
    if journal := systemd.journal_handler():
        logging.basicConfig(format="%(message)s", level=level, handlers=[journal])
    else:
        logging.basicConfig(format="%(levelname)s: %(message)s", level=level)


def _collect_cycles() -> None:
    """Look for cycles often from now on, so that nothing large waits in one, but not among all that has been built.

    To look among that while it is built took a fifth of the time of a start with 100,000 bans.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
