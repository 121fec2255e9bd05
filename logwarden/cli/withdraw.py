"""`logwarden withdraw`: what an uninstallation runs, so that no rule of ours outlives the package."""

from __future__ import annotations

import click

from .. import config
from ..firewall import BACKENDS
from .options import config_option


@click.command()
@config_option
def withdraw(config_file: str) -> None:
    """Take our rules and sets out of the kernel, bans and all. For root, while the daemon is stopped.

    The database keeps the bans: a daemon that starts again puts them back in force.

    \b
    systemctl stop logwarden && logwarden withdraw
    """
    bans = config.load(config_file).bans
    BACKENDS[bans.backend](bans.firewall).fini()
    click.echo(f"No rule or set of ours is left in {bans.backend}.")
