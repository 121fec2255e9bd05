"""The commands about bans: who is out and why, and who is let in or kept out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from .. import address as addresses
from .. import config, control, duration, ssh_session
from ..errors import EdgeError, LogwardenError
from ..settings import Config
from .ask import put, say
from .options import Duration, clock, config_option, console, json_option, print_json, safe, table
from .withdraw import clear

SOON = 1.0
"""Seconds that whoever pressed the tabulator key waits at most."""


class Address(click.ParamType):  # type: ignore[type-arg, unused-ignore] # generic since click 8.5
    """An address or prefix. The shell completes those that are banned; behind `--end`, those allowed by hand."""

    name = "address"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """What the daemon knows, where one answers."""
        file = ctx.params.get("config_file") or config.DEFAULT_PATH
        command = "allowed" if ctx.params.get("end") else "bans"
        try:
            known = next(iter(control.ask(config.load(file).socket, command, SOON).values()))
        except LogwardenError:
            return []
        texts = [_short(each["prefix"]) for each in known]
        return [
            CompletionItem(text, help=each.get("why"))
            for text, each in zip(texts, known, strict=True)
            if text.startswith(incomplete)
        ]


def _short(prefix: str) -> str:
    return prefix.removesuffix("/32") if ":" not in prefix else prefix


@click.command()
@config_option
@json_option
def bans(config_file: str, *, as_json: bool) -> None:
    """List the bans in force: what, why, since when and until when, and the packets that were dropped.

    \b
    logwarden bans
    logwarden bans --json
    """
    answer = put(config_file, "bans")["bans"]
    if as_json:
        print_json(answer)
        return
    lines = table(None, "prefix", "attack", "hits", "since", "until", "before", "dropped", "why")
    for ban in answer:
        times = (clock(ban["since"]), clock(ban["until"]), str(ban["times"] - 1))
        dropped = "-" if ban["dropped"] is None else str(ban["dropped"])
        lines.add_row(ban["prefix"], safe(ban["attack"]), str(ban["hits"]), *times, dropped, safe(ban["why"]))
    console().print(lines if answer else "No bans in force.")


@click.command()
@click.argument("address", metavar="ADDR", type=Address())
@config_option
@click.option(
    "--for", "length", type=Duration(), metavar="TIME", help="How long, e.g. 1h; the config's ban length if left out."
)
@click.option("--force", is_flag=True, help="Ban even what the guard protects, and where you are logged in from.")
@json_option
def ban(address: str, config_file: str, length: float | None, *, force: bool, as_json: bool) -> None:
    """Ban an address or prefix now.

    \b
    logwarden ban 203.0.113.9 --for 1d
    logwarden ban 2001:db8:7::/48
    """
    session = ssh_session.client_address()
    answer = put(config_file, "ban", address=address, length=length, force=force, session=session)
    _say(answer, [f"{answer['prefix']} is banned until {clock(answer['until'])}."], as_json=as_json)


@click.command()
@click.argument("address", metavar="ADDR|all", type=Address())
@config_option
@json_option
def unban(address: str, config_file: str, *, as_json: bool) -> None:
    """Lift the ban of an address or prefix, or all bans, now. An address inside a banned prefix names that ban.

    \b
    logwarden unban 203.0.113.9
    logwarden unban all
    """
    answer = put(config_file, "unban", address=address)
    _say(answer, _freed(answer), as_json=as_json)


@click.command()
@click.argument("address", metavar="[ADDR]", required=False, type=Address())
@config_option
@click.option("--for", "length", type=Duration(), metavar="TIME", default="1d", show_default=True, help="How long.")
@click.option("--end", is_flag=True, help="Allow it no longer.")
@json_option
def allow(address: str | None, config_file: str, length: float, *, end: bool, as_json: bool) -> None:
    """Let nobody ban an address or prefix for a while, and lift its bans. Without ADDR: list what is allowed so.

    Who is never to be banned belongs into the config: bans: {allowlist: [...]}.

    \b
    logwarden allow 203.0.113.9 --for 8h
    logwarden allow 203.0.113.9 --end
    """
    if address is None:
        _list_allowed(config_file, as_json=as_json)
        return
    answer = put(config_file, "allow", address=address, length=length, end=end)
    told = f"until {clock(answer['until'])}" if answer["until"] else "no longer"
    _say(answer, [*_freed(answer), f"{answer['prefix']} is allowed {told}."], as_json=as_json)


def _freed(answer: dict[str, Any]) -> list[str]:
    """Free is what no other ban covers."""
    state = "lifted" if any(other["lies"] == "around" for other in answer["others"]) else "free"
    return [f"{prefix} is {state}." for prefix in answer["lifted"]]


def _say(answer: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    """Say what was done, and what other bans are in force there."""
    lies = {"around": ", which holds it,", "inside": ", which is in it,", "same": " itself"}
    for other in answer["others"]:
        why = safe(f"{clock(other['until'])}: {other['why']}")
        lines.append(f"But {other['prefix']}{lies[other['lies']]} stays banned until {why}.")
    say(answer, "\n".join(lines), as_json=as_json)


def _list_allowed(config_file: str, *, as_json: bool) -> None:
    answer = put(config_file, "allowed")["allowed"]
    if as_json:
        print_json(answer)
        return
    lines = table(None, "prefix", "until")
    for each in answer:
        lines.add_row(each["prefix"], clock(each["until"]))
    console().print(lines if answer else "Nothing is allowed by hand.")


@click.command()
@click.argument("address", metavar="ADDR", type=Address())
@config_option
@json_option
def why(address: str, config_file: str, *, as_json: bool) -> None:
    """Tell what an address has done: every line that counted, the policy it met, its bans, and who protects it.

    \b
    logwarden why 203.0.113.9
    """
    answer = put(config_file, "why", address=address)
    if as_json:
        print_json(answer)
        return
    out = console()
    for line in _told(answer):
        out.print(safe(line), markup=False, soft_wrap=True)


def _told(answer: dict[str, Any]) -> Iterator[str]:
    counted = answer["counted_as"]
    yield f"{answer['address']}, counted as {counted}"
    if answer["protected"]:
        yield f"never banned: {answer['protected']}"
    for file, policy in answer["policies"].items():
        within, length = duration.format(policy["window"]), duration.format(policy["ban"])
        yield f"{file}: banned for {length} when scores within {within} reach {policy['threshold']}"
    if not (answer["lines"] or answer["bans"]):
        yield "No attack and no ban is known."
    for _, line in sorted(_timeline(answer)):
        yield line


def _timeline(answer: dict[str, Any]) -> Iterator[tuple[float, str]]:
    for hit in answer["lines"]:
        counts = f"score {hit['score']}" if hit["counted"] else "not counted"
        yield hit["time"], f"{clock(hit['time'])}  {counts:<11}  {hit['rule']}  {hit['raw']}"
    for ban in answer["bans"]:
        end = f"{clock(ban['until'])}{', in force' if ban['in_force'] else ''}"
        yield ban["since"], f"{clock(ban['since'])}  BANNED       {ban['prefix']} until {end}: {ban['why']}"
        if ban["lifted"]:
            yield ban["lifted"], f"{clock(ban['lifted'])}  LIFTED       {ban['prefix']}"


@click.command()
@config_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def flush(config_file: str, *, yes: bool, as_json: bool) -> None:
    """Lift all bans and remove every trace from the firewall: sets, rules, table. Works without a daemon too.

    \b
    logwarden flush
    logwarden flush --yes
    """
    if not yes:
        click.confirm("Lift all bans?", abort=True, err=True)
    settings = config.load(config_file)
    try:
        answer = put(config_file, "flush")
    except EdgeError as error:
        if "is logwarden running" not in str(error):
            raise
        answer = _flush_alone(settings)
    say(answer, f"{len(answer['lifted'])} bans lifted; nothing of logwarden is left in the firewall.", as_json=as_json)


def _flush_alone(settings: Config) -> dict[str, Any]:
    """No daemon runs: do it here. Where there is a database, its bans are ended too."""
    import os
    import time

    from ..state import FILE, State

    prefixes: list[str] = []
    if os.path.exists(os.path.join(settings.state, FILE)):
        state, now = State(settings.state), time.time()
        try:
            prefixes = [ban.prefix for ban in state.bans(now)]
            with state.transaction() as tx:
                for prefix in prefixes:
                    tx.lift_ban(str(addresses.prefix(prefix)), now)
        finally:
            state.close()
    clear(settings, settings.bans.effective_backend)
    return {"lifted": prefixes, "trouble": None}
