"""Options that several commands share, and how they print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from .. import duration, moment
from ..config import DEFAULT_PATH

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_Command = TypeVar("_Command", bound=Callable[..., Any])

WIDE = 1_000
"""Columns where there is no terminal: what a script reads is not folded."""

config_option = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    default=DEFAULT_PATH,
    show_default=True,
    help="The config file. The default one may be missing.",
)


class Duration(click.ParamType):  # type: ignore[type-arg, unused-ignore] # generic since click 8.5
    """A length of time such as 10m or 1h, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return duration.parse(value) if isinstance(value, str) else float(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def since_option(text: str) -> Callable[[_Command], _Command]:
    """`--since TIME`: how many seconds back."""
    return click.option("--since", type=Duration(), metavar="TIME", help=text)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def colours(stream: TextIO) -> bool:
    """Whether to colour what is printed there: on a terminal, and not where NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def console(*, stderr: bool = False) -> Console:
    """Standard output (or error); colours only on a terminal, and not where NO_COLOR is set."""
    from rich.console import Console  # the daemon prints nothing, and would carry it for ever

    stream = sys.stderr if stderr else sys.stdout
    narrow = stream.isatty() or "COLUMNS" in os.environ
    return Console(file=stream, highlight=False, soft_wrap=not narrow, width=None if narrow else WIDE)


def print_problem(out: Console, problem: object) -> None:
    """A line about something that went wrong. It is not folded, so that a `file:line` stays one word."""
    out.print(safe(problem), markup=False, style="red", soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON value on a line of its own."""
    click.echo(json.dumps(value, ensure_ascii=False))


def table(title: str | None, *columns: str) -> Table:
    """A table without frame; titles of columns in bold."""
    from rich.table import Table

    made = Table(title=title, box=None, pad_edge=False, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        made.add_column(column, overflow="fold", no_wrap=number == 0)
    return made


def clock(time: float | None) -> str:
    """Local time, to the second."""
    return moment.date(time).strftime("%Y-%m-%d %H:%M:%S") if time is not None else "-"


def safe(text: object) -> str:
    """Text that a stranger may have written, with control characters made visible: it cannot move the cursor."""
    text = str(text)
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def show(what: str | Iterable[str] | Table) -> None:
    """Print something long: on a terminal through the user's pager, as git does. Text is what `safe` made of it."""
    if not isinstance(what, str) and hasattr(what, "columns"):
        console().print(what)
    elif sys.stdout.isatty():
        click.echo_via_pager(what)
    else:
        for text in [what] if isinstance(what, str) else what:
            click.echo(text, nl=False)
