"""`logwarden withdraw`: what an uninstallation runs, so that no rule of ours outlives the package."""

from __future__ import annotations

import click

from .. import config
from ..settings import Config
from ..traces import Trace, Traces
from .options import config_option


@click.command()
@config_option
def withdraw(config_file: str) -> None:
    """Take our rules and sets out of the kernel, bans and all. For root, while the daemon is stopped.

    The database keeps the bans: a daemon that starts again puts them back in force.

    \b
    systemctl stop logwarden && logwarden withdraw
    """
    settings = config.load(config_file)
    clear(settings, settings.bans.backend)
    click.echo("No rule or set of ours is left in the kernel.")


def clear(settings: Config, backend: str) -> None:
    """Take out what `backend` puts into the kernel, and what former configs have put there. Raises FirewallError."""
    Traces(settings.state).clear(Trace.of(backend, settings.bans.firewall))
