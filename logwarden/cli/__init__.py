"""The commands, one file a group. Errors become exit statuses here and nowhere else."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from .. import __version__
from ..errors import LogwardenError
from . import ask, check, run, scan


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="logwarden")
def group() -> None:
    """Mails the log lines that no rule calls normal, and bans the source of an attack at once."""


for command in (run.run, check.check, scan.scan, *ask.COMMANDS):
    group.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0, 1 failure, 2 usage, 78 bad configuration."""
    try:
        group.main(arguments, prog_name="logwarden", standalone_mode=True)
    except LogwardenError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(str(error), markup=False, style="red")
        sys.exit(error.exit_status)
    except BrokenPipeError:  # `logwarden ... | head`: nobody reads on
        sys.stderr.close()
        sys.exit(0)
