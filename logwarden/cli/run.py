"""`logwarden run`: the daemon, in the foreground."""

from __future__ import annotations

import logging
import signal

import click

from .. import config
from ..daemon import Daemon
from .options import config_option


@click.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log what is done, not only what goes wrong.")
def run(config_file: str, *, verbose: bool) -> None:
    """Run the daemon in the foreground, until SIGTERM or SIGINT. SIGHUP reloads config and rules."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO if verbose else logging.WARNING)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it can be answered: rules may take seconds to compile
    Daemon(config.load(config_file)).run()
