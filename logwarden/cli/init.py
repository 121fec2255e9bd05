"""`logwarden init`: a first config, by looking at the machine."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import click

from .. import atomic, config, document, ssh_session, survey
from ..config import DEFAULT_PATH
from ..errors import EdgeError

PATIENCE = 3.0
"""Seconds that the mail server on this machine has to answer."""


@click.command()
@click.option("--config", "config_file", metavar="FILE", default=DEFAULT_PATH, show_default=True, help="Where to.")
@click.option("--print", "only_print", is_flag=True, help="Print it, and write nothing.")
@click.option("--force", is_flag=True, help="Write over a config that is there.")
@click.option("--enforce", is_flag=True, help="Ban, and do not only report who would be banned.")
@click.option("--to", metavar="ADDRESS", default="root", show_default=True, help="Who gets the digests.")
def init(config_file: str, to: str, *, only_print: bool, force: bool, enforce: bool) -> None:
    """Write a first config by looking at this machine: journal and logs, mail server, firewall, and where you come
    from, which goes into the allowlist. What is there already is kept, unless --force.

    \b
    logwarden init --print
    logwarden init --to admin@example.org
    """
    admin = ssh_session.client_address()
    text = survey.first_config(Path("/"), admin, mailed=_mailed(), enforce=enforce, to=json.dumps(to))
    config.from_document(document.parse(text.encode(), config_file), file=config_file)
    if only_print:
        click.echo(text, nl=False)
        return
    if Path(config_file).exists() and not force:
        raise EdgeError(f"{config_file} is there already: --force writes over it, --print shows what it would be")
    try:
        Path(config_file).parent.mkdir(parents=True, exist_ok=True)
        atomic.write(config_file, text.encode(), 0o644)  # it is the daemon's user that reads it
    except OSError as error:
        raise EdgeError(f"{config_file}: {error.strerror}") from error
    click.echo(f"{config_file} is written: read it, then `logwarden check`, and `logwarden reload` where it runs.")


def _mailed() -> bool:
    try:
        with socket.create_connection(("localhost", 25), timeout=PATIENCE) as door:
            door.settimeout(PATIENCE)
            return door.recv(3) == b"220"
    except OSError:
        return False
