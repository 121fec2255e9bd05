"""`logwarden rules`: the commands about rules."""

from __future__ import annotations

import click

from .lint import lint


@click.group()
def rules() -> None:
    """Look at the rules in force."""


rules.add_command(lint)
