"""`logwarden rules lint`: what could be better about the ignore rules."""

from __future__ import annotations

import sys

import click

from .. import config, watch
from .options import config_option, console, json_option, print_json, print_problem


@click.command()
@config_option
@json_option
def lint(config_file: str, *, as_json: bool) -> None:
    """Advice on the ignore rules in force. Exits with 1 where there is any.

    \b
    logwarden rules lint
    logwarden rules lint --json
    """
    from ..rules import lint as linter

    rules = watch.load_rules(config.load(config_file)).ignore
    found = [str(each) for each in linter.lint(rule for rule in rules if not rule.exempts)]
    if as_json:
        print_json({"advice": found, "rules": len(rules)})
    else:
        out = console()
        for piece in found:
            print_problem(out, piece)
        out.print(f"{len(rules)} ignore rules, {len(found)} pieces of advice.")
    sys.exit(1 if found else 0)
