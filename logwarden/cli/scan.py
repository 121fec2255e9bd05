"""`logwarden scan`: what the rules say of a file, without a daemon."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, BinaryIO

import click
from rich.progress import Progress

from .. import config, watch
from ..errors import EdgeError
from ..model import Batch, Outcome, Verdict
from ..sources import lines
from .options import config_option, console, json_option, print_json, safe, table

_STYLES = {Outcome.ATTACK: "red", Outcome.QUARANTINED: "magenta", Outcome.UNEXPLAINED: ""}


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...|-")
@config_option
@json_option
@click.option(
    "--program", metavar="NAME", help="The program of lines whose header names none; '*' tries every program."
)
def scan(files: tuple[str, ...], config_file: str, program: str | None, *, as_json: bool) -> None:
    """Classify the lines of FILEs ('-': standard input), and print those that a digest would show.

    \b
    logwarden scan /var/log/auth.log
    logwarden scan --json /var/log/syslog | jq -r 'select(.verdict == "attack").address'
    journalctl -o short-iso | logwarden scan -
    """
    matcher = watch.build(config.load(config_file)).matcher
    totals: Counter[str] = Counter()
    for file in files:
        read = 0
        with _open(file) as stream:
            for batch in _progress(file, stream, program):
                classified = matcher.classify(batch, time.time(), every=as_json)
                totals.update({str(outcome): lines for outcome, lines in classified.counts.items()})
                _print(classified.verdicts, read, as_json=as_json)
                read += batch.count
    if not as_json:
        summary = table(None, "lines", *Outcome)
        summary.add_row(str(sum(totals.values())), *(str(totals[outcome]) for outcome in Outcome))
        console().print(summary)


def _open(file: str) -> BinaryIO:
    try:
        return sys.stdin.buffer if file == "-" else open(file, "rb")
    except OSError as error:
        raise EdgeError(f"{file}: {error.strerror}") from error


def _progress(file: str, stream: BinaryIO, program: str | None) -> Iterator[Batch]:
    """The stream as batches; with a progress bar where standard error is a terminal and the size is known."""
    size = os.fstat(stream.fileno()).st_size
    batches = _batches(file, stream, program)
    screen = console(stderr=True)
    if not screen.is_terminal or size < 1 << 22:
        yield from batches
        return
    with Progress(console=screen, transient=True) as progress:
        task = progress.add_task(file, total=size)
        for batch in batches:
            yield batch
            progress.advance(task, len(batch.block))


def _batches(file: str, stream: BinaryIO, program: str | None) -> Iterator[Batch]:
    rest, skip = b"", lines.Skip.NOTHING
    while True:
        read = stream.read(lines.BLOCK)
        taken = lines.cut(rest + read, skip, final=not read)
        rest, skip = (rest + read)[taken.used :], taken.skip
        if taken.count:
            yield Batch(file, taken.block, taken.count, "", program)
        if not read:
            return


def _print(verdicts: Iterable[Verdict], before: int, *, as_json: bool) -> None:
    if as_json:
        for number, verdict in enumerate(verdicts, before + 1):
            print_json(_as_json(number, verdict))
        return
    out = console()
    for verdict in verdicts:
        if verdict.reported:
            rule = f"  [{verdict.attack_by}]" if verdict.attack_by else ""
            out.print(safe(verdict.event.raw) + rule, markup=False, style=_STYLES[verdict.outcome])


def _as_json(number: int, verdict: Verdict) -> dict[str, Any]:
    event, attack = verdict.event, verdict.attack_by
    return {
        "n": number,
        "source": verdict.source,
        "time": datetime.fromtimestamp(event.time).astimezone().isoformat() if event.time is not None else None,
        "host": event.host,
        "program": event.program,
        "pid": event.pid,
        "message": event.message,
        "verdict": str(verdict.outcome),
        "ignored_by": str(verdict.ignored_by.where) if verdict.ignored_by else None,
        "attack_by": str(attack) if attack else None,
        "severity": str(attack.severity) if attack else None,
        "address": verdict.address,
    }
