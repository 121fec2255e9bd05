"""`logwarden maintenance`: from now on, what is said is no news."""

from __future__ import annotations

import click

from .ask import put
from .options import Duration, clock, config_option, json_option, print_json, safe, show, table


@click.command()
@click.argument("length", metavar="[TIME]", required=False, type=Duration())
@click.argument("title", default="maintenance", metavar="[TITLE]")
@config_option
@click.option("--end", is_flag=True, help="It is over.")
@json_option
def maintenance(length: float | None, title: str, config_file: str, *, end: bool, as_json: bool) -> None:
    """Let the digest set apart what is said from now on for TIME, under TITLE. Without TIME: list the windows.

    Bans, attacks and violations are told as ever.

    \b
    logwarden maintenance 2h "kernel upgrade"
    logwarden maintenance --end
    """
    if length is None and not end:
        _list(config_file, as_json=as_json)
        return
    answer = put(config_file, "maintenance", length=length, title=title, end=end)
    if as_json:
        print_json(answer)
    elif end:
        click.echo(f"Over: {safe(', '.join(answer['ended']))}.")
    else:
        click.echo(f"Lines are set apart until {clock(answer['until'])}: {safe(answer['title'])}.")


def _list(config_file: str, *, as_json: bool) -> None:
    found = put(config_file, "windows")["windows"]
    if as_json:
        print_json(found)
        return
    lines = table(None, "from", "to", "title", "hosts")
    for each in found:
        lines.add_row(clock(each["since"]), clock(each["until"]), safe(each["title"]), safe(each["host"]))
    show(lines if found else "No maintenance is under way, nor due within a week.\n")
