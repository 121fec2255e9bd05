"""`logwarden suggest`: the ignore rule that would hide a group of a digest."""

from __future__ import annotations

import click

from ..digest.suggestion import suggest as suggestion
from ..errors import EdgeError
from .grouped import lines_of, search
from .options import config_option, json_option, print_json, safe

SHOWN = 3
"""Lines that are shown as what the rule would hide."""


@click.command()
@click.argument("group", metavar="ID")
@config_option
@json_option
def suggest(group: str, config_file: str, *, as_json: bool) -> None:
    """Print an ignore rule for the lines of a group, whose ID a digest shows. Read it before you save it.

    \b
    logwarden suggest 4f0c1a2b >> /etc/logwarden/ignore.d/local.rules
    """
    with search(config_file) as kept:
        lines = lines_of(kept, group)
    rule = suggestion(lines[0].program, [entry.message for entry in lines])
    if rule is None:
        raise EdgeError(f"no rule could be made for group {group}: write it by hand")
    if as_json:
        print_json({"rule": rule, "lines": len(lines)})
        return
    click.echo(f"# hides {len(lines)} lines such as", err=True)
    for entry in lines[:SHOWN]:
        click.echo(f"#   {safe(entry.message)}", err=True)
    click.echo(rule)
