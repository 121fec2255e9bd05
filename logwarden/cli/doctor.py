"""`logwarden doctor`: what is wrong with the installation, and the remedy for each."""

from __future__ import annotations

import sys

import click

from .. import config, diagnosis
from ..neighbours import neighbours
from .options import config_option, console, json_option, print_json, safe


@click.command()
@config_option
@json_option
@click.option("--neighbours", "only_neighbours", is_flag=True, help="Only look for logcheck and fail2ban.")
def doctor(config_file: str, *, as_json: bool, only_neighbours: bool) -> None:
    """Check permissions, capabilities, sets, the order of firewall rules, the MTA, the clock and inotify's limits.

    Says the remedy for each that is amiss, and exits with 1. Run it as root: others see less.

    \b
    logwarden doctor
    logwarden doctor --json
    """
    advice = list(neighbours())
    findings = [] if only_neighbours else diagnosis.examine(config.load(config_file))
    if as_json:
        print_json({"findings": [finding._asdict() for finding in findings], "neighbours": advice})
    else:
        out = console()
        for finding in findings:
            mark, style = ("ok  ", "green") if finding.ok else ("BAD ", "red")
            out.print(mark, style=style, end="")
            out.print(safe(f"{finding.what}: {finding.found}"), markup=False)
            if not finding.ok:
                out.print(safe(f"     {finding.remedy}"), markup=False, style="yellow", soft_wrap=True)
        for sentence in advice:
            out.print(safe(sentence), markup=False, style="yellow", soft_wrap=True)
    sys.exit(0 if all(finding.ok for finding in findings) else 1)
