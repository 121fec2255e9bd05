"""The commands, one file a group. Errors become exit statuses here and nowhere else."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Any

import click

from .. import __version__
from ..errors import LogwardenError
from . import options

COMMANDS = {
    "run": "run",
    "init": "init",
    "check": "check",
    "scan": "scan",
    "status": "ask",
    "bans": "bans",
    "ban": "bans",
    "unban": "bans",
    "allow": "bans",
    "why": "bans",
    "flush": "bans",
    "digest": "digests",
    "maintenance": "maintain",
    "events": "events",
    "suggest": "suggest",
    "rules": "rules",
    "reload": "ask",
    "doctor": "doctor",
    "metrics": "observe",
    "check-health": "observe",
    "withdraw": "withdraw",
}
"""Each command, in the order in which `--help` lists them, and the module that holds it."""

YOUNG = 200_000
"""Objects that are made before cycles are looked for among them. Python's own 700 are for programs that make some: the
100,000 that a start imports and builds stay, and a tenth of its time went into looking at them."""


class Commands(click.Group):
    """Imports a command's module when it is asked for: `logwarden bans` needs no matcher and no templates."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. `logwarden scan ... | head` ends in peace when nobody reads on."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".{COMMANDS[cmd_name]}", __package__)
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="logwarden")
def group() -> None:
    """Mails the log lines that no rule calls normal, and bans the source of an attack at once.

    \b
    logwarden scan /var/log/auth.log     what the rules say of a log; no daemon, nobody banned
    logwarden status                     sources, counts, bans, and whatever is wrong
    logwarden digest --preview           the next mail as it would be now
    logwarden unban 203.0.113.9          let somebody in
    logwarden doctor                     what is amiss with the installation, and the remedy
    """


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0, 1 failure, 2 usage, 78 bad configuration."""
    gc.set_threshold(YOUNG)
    try:
        group.main(arguments, prog_name="logwarden", standalone_mode=True)
    except LogwardenError as error:
        text = str(error)
        click.echo(click.style(text, fg="red") if options.colours(sys.stderr) else text, err=True)
        sys.exit(error.exit_status)
