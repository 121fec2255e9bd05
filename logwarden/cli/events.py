"""`logwarden events`: a search over what was reported and banned, so that nobody need grep /var/log."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, cast

import click
import regex

from ..model import Ban, Entry
from .digests import as_data
from .grouped import search
from .options import clock, config_option, json_option, print_json, safe, show, since_option

DAY = 86_400.0
TIMEOUT = 0.1
"""Seconds that the expression may take for one line."""


@click.command()
@config_option
@json_option
@since_option("How far back, e.g. 1h or 7d; a day if left out.")
@click.option("--program", metavar="GLOB", help="Lines of these programs alone.")
@click.option("--host", metavar="GLOB", help="Lines of these hosts alone.")
@click.option("--grep", metavar="REGEX", help="Lines and bans in which this is found.")
def events(
    config_file: str, since: float | None, program: str | None, host: str | None, grep: str | None, *, as_json: bool
) -> None:
    """Search what digests have shown or will show, and the bans, oldest first.

    \b
    logwarden events --since 7d --program 'postfix/*' --grep 'status=bounced'
    """
    wanted = _Wanted(program, host, grep)
    start = time.time() - (DAY if since is None else since)
    with search(config_file) as kept:
        bans = () if program or host else kept.bans(start)
        both = cast("Iterator[Entry | Ban]", heapq.merge(kept.entries(start), bans, key=_when))
        found = (each for each in both if wanted(each))
        if as_json:
            for each in found:
                print_json(_data(each))
        else:
            show(_line(each) for each in found)


class _Wanted:
    """What the options ask for."""

    def __init__(self, program: str | None, host: str | None, grep: str | None) -> None:
        self._program, self._host = program, host
        try:
            self._grep = regex.compile(grep) if grep else None
        except regex.error as error:
            raise click.UsageError(f"--grep: {error}") from error

    def __call__(self, item: Entry | Ban) -> bool:
        if isinstance(item, Entry) and not (_fits(self._program, item.program) and _fits(self._host, item.host)):
            return False
        text = item.raw if isinstance(item, Entry) else f"{item.prefix} {item.attack} {item.why}"
        try:
            return self._grep is None or self._grep.search(text, timeout=TIMEOUT) is not None
        except TimeoutError as error:
            raise click.UsageError(f"--grep: takes more than {TIMEOUT} s for a line of {len(text)} letters") from error


def _fits(wanted: str | None, name: str) -> bool:
    return wanted is None or fnmatchcase(name, wanted)


def _when(item: Any) -> float:
    return float(item.time if isinstance(item, Entry) else item.since)


def _line(item: Entry | Ban) -> str:
    if isinstance(item, Ban):
        return f"{clock(item.since)}  {'ban':<11}  {item.prefix} until {clock(item.until)}: {safe(item.why)}\n"
    return f"{clock(item.time)}  {item.outcome:<11}  {safe(item.raw)}\n"


def _data(item: Entry | Ban) -> dict[str, object]:
    if isinstance(item, Entry):
        return {"kind": "line", **as_data(item)}
    return {"kind": "ban", **item._asdict()}
