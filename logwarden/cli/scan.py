"""`logwarden scan`: what the rules say of a file, without a daemon."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

import click
from rich.progress import Progress

from .. import config, watch
from ..errors import EdgeError
from ..matcher import Matcher
from ..model import Batch, Outcome, Verdict
from ..sources import lines
from .groups import Grouped, Key
from .options import config_option, console, json_option, safe, table

_COLOURS = {Outcome.ATTACK: "red", Outcome.QUARANTINED: "magenta"}
LARGE = 4 << 20
"""Bytes from which a file is worth a progress bar and, unless --jobs says otherwise, more than one process."""


class Part(NamedTuple):
    """A batch of a file: `number` is that of its first line, from 1; `read` the bytes of the file up to its end."""

    batch: Batch
    number: int
    read: int


class Done(NamedTuple):
    """A part's lines by outcome, and what is to be printed of it: text as it is, or JSON objects yet to be grouped."""

    counts: Counter[str]
    text: str
    read: int
    objects: tuple[tuple[str, Key | None, float], ...] = ()


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...|-")
@config_option
@json_option
@click.option(
    "--program", metavar="NAME", help="The program of lines whose header names none; '*' tries every program."
)
@click.option(
    "--groups",
    type=click.Choice(["unexplained", "all", "none"]),
    default="unexplained",
    show_default=True,
    help="The lines whose group --json names. None of them: each line is printed as it comes.",
)
@click.option(
    "--jobs", type=click.IntRange(1, 256), metavar="N", help="Processes; all cores for large files if left out."
)
def scan(
    files: tuple[str, ...], config_file: str, program: str | None, groups: str, jobs: int | None, *, as_json: bool
) -> None:
    """Classify the lines of FILEs ('-': standard input), and print those that a digest would show.

    \b
    logwarden scan /var/log/auth.log
    logwarden scan --json /var/log/syslog | jq -r 'select(.verdict == "attack").address'
    journalctl -o short-iso | logwarden scan -
    """
    matcher = watch.build(config.load(config_file)).matcher
    judge = Judge(matcher, as_json, sys.stdout.isatty(), groups)
    totals: Counter[str] = Counter()
    grouped = Grouped() if as_json and groups != "none" else None
    for file in files:
        with _open(file) as stream:
            size = _size(stream)
            workers = jobs or (os.cpu_count() or 1 if size >= LARGE else 1)
            with _progress(file, size) as advance:
                for done in _spread(judge, _parts(file, stream, program), workers):
                    totals += done.counts
                    click.echo(done.text, nl=False)
                    if grouped:
                        grouped.add(done.objects)
                    advance(done.read)
    if grouped:
        sys.stdout.writelines(grouped.lines())
    if not as_json:
        summary = table(None, "lines", *Outcome)
        summary.add_row(str(sum(totals.values())), *(str(totals[outcome]) for outcome in Outcome))
        console().print(summary)


@dataclass(frozen=True, slots=True)
class Judge:
    """Classifies a part and writes down what is to be printed of it: all lines as JSON, or those of a digest."""

    matcher: Matcher
    as_json: bool
    colour: bool
    groups: str = "none"

    def __call__(self, part: Part) -> Done:
        classified = self.matcher.classify(part.batch, time.time(), every=self.as_json)
        counts = Counter({str(outcome): count for outcome, count in classified.counts.items()})
        if not self.as_json:
            return Done(counts, "".join(self._text(classified.verdicts)), part.read)
        objects = tuple(self._json(part.number, classified.verdicts))
        if self.groups == "none":
            return Done(counts, "".join(f"{text}\n" for text, _, _ in objects), part.read)
        return Done(counts, "", part.read, objects)

    def _json(self, first: int, verdicts: tuple[Verdict, ...]) -> Iterator[tuple[str, Key | None, float]]:
        for number, verdict in enumerate(verdicts, first):
            event = verdict.event
            wanted = self.groups == "all" or verdict.outcome is Outcome.UNEXPLAINED
            key = (event.program or "", event.message) if wanted else None
            yield json.dumps(_as_json(number, verdict), ensure_ascii=False), key, event.time or 0.0

    def _text(self, verdicts: tuple[Verdict, ...]) -> Iterator[str]:
        for verdict in verdicts:
            if verdict.reported:
                rule = f"  [{verdict.attack_by}]" if verdict.attack_by else ""
                line = safe(verdict.event.raw) + rule
                colour = _COLOURS.get(verdict.outcome) if self.colour else None
                yield (click.style(line, fg=colour) if colour else line) + "\n"


def _as_json(number: int, verdict: Verdict) -> dict[str, Any]:
    event, attack = verdict.event, verdict.attack_by
    return {
        "n": number,
        "source": verdict.source,
        "time": datetime.fromtimestamp(event.time).astimezone().isoformat() if event.time is not None else None,
        "host": event.host,
        "program": None if event.program == "*" else event.program,
        "pid": event.pid,
        "message": event.message,
        "verdict": str(verdict.outcome),
        "ignored_by": str(verdict.ignored_by.where) if verdict.ignored_by else None,
        "attack_by": str(attack) if attack else None,
        "severity": str(attack.severity) if attack else None,
        "address": verdict.address,
    }


# --- the file -----------------------------------------------------------------------------------------------


def _open(file: str) -> BinaryIO:
    try:
        return sys.stdin.buffer if file == "-" else open(file, "rb")
    except OSError as error:
        raise EdgeError(f"{file}: {error.strerror}") from error


def _size(stream: BinaryIO) -> int:
    """Bytes of a file; 0 for what has no size, such as a pipe."""
    try:
        return os.fstat(stream.fileno()).st_size
    except OSError:
        return 0


def _parts(file: str, stream: BinaryIO, program: str | None) -> Iterator[Part]:
    rest, skip, number, total = b"", lines.Skip.NOTHING, 1, 0
    while True:
        try:
            read = stream.read(lines.BLOCK)
        except OSError as error:
            raise EdgeError(f"{file}: {error.strerror}") from error
        taken = lines.cut(rest + read, skip, final=not read)
        rest, skip = (rest + read)[taken.used :], taken.skip
        total += len(read)
        if taken.count:
            yield Part(Batch(file, taken.block, taken.count, "", program), number, total)
            number += taken.count
        if not read:
            return


@contextmanager
def _progress(file: str, size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, where that is a terminal and the file is large."""
    screen = console(stderr=True)
    if not screen.is_terminal or size < LARGE:
        yield lambda _: None
        return
    with Progress(console=screen, transient=True) as progress:
        task = progress.add_task(file, total=size)
        yield lambda read: progress.update(task, completed=read)


# --- all cores ----------------------------------------------------------------------------------------------

_judge: Judge | None = None  # a worker process's own, set once as it starts


def _spread(judge: Judge, parts: Iterator[Part], workers: int) -> Iterator[Done]:
    """Judge the parts in `workers` processes, in order. Two parts a worker are under way, so memory stays bounded."""
    if workers == 1:
        yield from map(judge, parts)
        return
    # fork: the compiled database is inherited as it stands. No thread of ours runs yet.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(judge,)) as pool:
        pending: deque[Future[Done]] = deque()
        for part in parts:
            pending.append(pool.submit(_work, part))
            if len(pending) >= 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _start_worker(judge: Judge) -> None:
    global _judge
    _judge = judge


def _work(part: Part) -> Done:
    assert _judge is not None  # noqa: S101 - the initializer ran
    return _judge(part)
