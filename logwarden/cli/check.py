"""`logwarden check`: every problem of the config and the rules, as `file:line: what`."""

from __future__ import annotations

import sys

import click

from .. import config, watch
from ..allowlist import Protected
from .options import config_option, console, json_option, print_json, print_problem


@click.command()
@config_option
@json_option
def check(config_file: str, *, as_json: bool) -> None:
    """Check the config and all rules. Exits with 78 where the config, with 1 where a rule cannot be used.

    \b
    logwarden check
    logwarden check --config /etc/logwarden/new.yaml
    """
    built = watch.build(config.load(config_file))
    unread = Protected.now(built.config.bans.allowlist, Protected()).troubles
    problems = [*map(str, built.refused), *watch.missing(built), *unread]
    advice = watch.read_twice(built.config)
    counts = {"ignore": len(built.rules.ignore), "attack": len(built.rules.attack)}
    if as_json:
        print_json({"problems": problems, "advice": advice, "rules": counts})
    else:
        out = console()
        for problem in problems:
            print_problem(out, problem)
        for piece in advice:
            out.print(piece, markup=False, style="yellow", soft_wrap=True)
        out.print(f"{counts['ignore']} ignore rules and {counts['attack']} attack rules in force.")
    sys.exit(1 if problems else 0)
