"""The commands that ask the running daemon through its control socket."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import click

from .. import config, control
from ..errors import EdgeError
from .options import clock, config_option, console, json_option, print_json, print_problem, safe, table


def put(config_file: str, command: str, **arguments: Any) -> dict[str, Any]:
    return control.ask(config.load(config_file).socket, command, **arguments)


def say(answer: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print what was done; where the firewall did not follow, that too, and exit with 1."""
    if as_json:
        print_json(answer)
    elif not answer["trouble"]:
        console().print(text)
    if answer["trouble"]:
        raise EdgeError(answer["trouble"])


@click.command()
@config_option
@json_option
def status(config_file: str, *, as_json: bool) -> None:
    """Show what the daemon does: sources, counts, bans, the outbox, refused rules.

    \b
    logwarden status
    logwarden status --json
    """
    answer = put(config_file, "status")
    if as_json:
        print_json(answer)
        return
    out = console()
    out.print(
        f"[bold]logwarden[/] {answer['version']} on {safe(answer['host'])}, running since {clock(answer['since'])}"
    )
    bans = f"{answer['bans']} bans in force ({answer['mode']}, {answer['backend']})"
    out.print(
        f"{answer['rules']['ignore']} ignore rules, {answer['rules']['attack']} attack rules; "
        f"{bans}; next digest {clock(answer['next_digest'])}"
    )
    lines = table(None, "source", "read", "ignored", "attack", "unexplained", "quarantined")
    for source, counts in answer["sources"].items():
        lines.add_row(safe(source), *(str(counts[name]) for name in ("read", *list(counts)[1:])))
    out.print(lines)
    out.print(_condition(answer))
    for preset in answer["presets"]:
        for text in _preset(preset):
            out.print(safe(text), markup=False, soft_wrap=True)
    for problem in answer["problems"]:
        print_problem(out, problem)
    for message in answer["outbox"]:
        print_problem(out, _undelivered(message))


def _preset(preset: dict[str, Any]) -> Iterator[str]:
    """The files of a preset that are read, and those that might be: no trouble, but good to know."""
    if preset["read"]:
        yield f"{preset['program']}, for attacks alone ({preset['file']}): {', '.join(preset['read'])}"
    for path, why in preset["left"].items():
        yield f"note: {path} {why} ({preset['file']})"


def _condition(answer: dict[str, Any]) -> str:
    """How far behind the daemon is, and what its database takes."""
    lag, waiting, owed = answer["lag"].values(), answer["waiting"], answer["uncommitted"]
    behind = f"lag {max(lag, default=0.0):.1f} s, {waiting} batches waiting{_unread(answer['unread'].values())}"
    if owed["why"]:
        rest = ", the rest is read again later" if owed["adrift"] else ""
        behind += f"; {owed['batches']} batches not written down yet{rest}: {owed['why']}"
    room = answer["database"]
    shrunk = f", shortened {clock(room['shrunk'])}" if room["shrunk"] else ""
    return safe(f"{behind}; database {room['taken'] / 1e6:.1f} MB of {room['limit'] / 1e6:.0f} MB{shrunk}")


def _unread(sources: Collection[dict[str, Any]]) -> str:
    size, entries = sum(each["bytes"] for each in sources), sum(each["entries"] for each in sources)
    since = max((each["seconds"] for each in sources), default=0.0)
    amounts = [f"{size / 1e6:.1f} MB of files"] * bool(size) + [f"{entries:,} entries of journals"] * bool(entries)
    return f", unread {' and '.join(amounts)}, behind for {since:.0f} s" if amounts else ""


def _undelivered(message: dict[str, Any]) -> str:
    what = f"{message['subject']} ({message['attempts']} attempts): {message['error']}"
    return f"undeliverable: {what}; kept as {message['file']}" if message["file"] else f"not delivered yet: {what}"


@click.command()
@config_option
@json_option
def reload(config_file: str, *, as_json: bool) -> None:
    """Read config and rules again. Where they cannot be used, the old ones stay in force, and this fails.

    \b
    logwarden reload
    """
    answer = put(config_file, "reload")
    if as_json:
        print_json(answer)
        return
    out = console()
    for problem in answer["problems"]:
        print_problem(out, problem)
    out.print(f"{answer['rules']['ignore']} ignore rules and {answer['rules']['attack']} attack rules in force.")
