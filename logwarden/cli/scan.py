"""`logwarden scan`: what the rules say of a file, without a daemon."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, NamedTuple

import click
from rich.progress import Progress

from .. import config, moment, watch
from ..correlation import Correlation
from ..errors import EdgeError
from ..matcher import Matcher
from ..model import BLOCK, Batch, Outcome, Verdict
from ..sources import lines
from .groups import Grouped, Key
from .options import colours, config_option, console, json_option, safe, table

_COLOURS = {Outcome.ATTACK: "red", Outcome.QUARANTINED: "magenta"}
LARGE = 4 << 20
"""Bytes from which a file is worth a progress bar and, unless --jobs says otherwise, more than one process."""


STRETCH = 1 << 20
"""Bytes of a file, about, that a process judges at a time. It reads them itself: to hand them to it through a pipe
would cost a seventh of what it does with them."""


class Part(NamedTuple):
    """A batch of a file. `read`: the bytes of the file up to its end."""

    batch: Batch
    read: int


class Stretch(NamedTuple):
    """Whole lines of a file, from one offset to another; None: to its end."""

    file: str
    program: str | None
    start: int
    end: int | None


class Done(NamedTuple):
    """A part's lines by outcome, and what is to be printed of it: text as it is, or JSON objects, of which each lacks
    its brace and its number, and perhaps its group."""

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
    "--jobs",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Processes; for large files all cores that may be used if left out.",
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
    judge = Judge(matcher, as_json, colours(sys.stdout), groups)
    totals: Counter[str] = Counter()
    grouped = Grouped() if as_json and groups != "none" else None
    for file in files:
        with _open(file) as stream:
            size = _size(stream)
            workers = jobs or (len(os.sched_getaffinity(0)) if size >= LARGE else 1)
            numbers = itertools.count(1)
            with _progress(file, size) as advance:
                for done in _judged(judge, file, stream, program, workers):
                    totals += done.counts
                    click.echo(done.text, nl=False)
                    objects = ((f'{{"n": {next(numbers)}, {rest}', key, at) for rest, key, at in done.objects)
                    if grouped:
                        grouped.add(objects)
                    else:
                        click.echo("".join(f"{text}\n" for text, _, _ in objects), nl=False)
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
    correlation: Correlation = field(default_factory=Correlation)

    def __call__(self, part: Part) -> Done:
        now = time.time()
        found = self.matcher.classify(part.batch, now, every=self.as_json)
        classified = self.correlation.join(found, now, every=self.as_json)
        counts = Counter({str(outcome): count for outcome, count in classified.counts.items()})
        if not self.as_json:
            return Done(counts, "".join(self._text(classified.verdicts)), part.read)
        return Done(counts, "", part.read, tuple(self._json(classified.verdicts)))

    def _json(self, verdicts: tuple[Verdict, ...]) -> Iterator[tuple[str, Key | None, float]]:
        for verdict in verdicts:
            event = verdict.event
            wanted = self.groups == "all" or verdict.outcome is Outcome.UNEXPLAINED
            key = (event.program or "", event.message) if wanted and self.groups != "none" else None
            yield json.dumps(_as_json(verdict), ensure_ascii=False)[1:], key, event.time or 0.0

    def _text(self, verdicts: tuple[Verdict, ...]) -> Iterator[str]:
        for verdict in verdicts:
            if verdict.reported:
                rule = f"  [{verdict.attack_by}]" if verdict.attack_by else ""
                line = safe(verdict.event.raw) + rule
                colour = _COLOURS.get(verdict.outcome) if self.colour else None
                yield (click.style(line, fg=colour) if colour else line) + "\n"


def _as_json(verdict: Verdict) -> dict[str, Any]:
    event, attack = verdict.event, verdict.attack_by
    return {
        "source": verdict.source,
        "time": moment.date(event.time).astimezone().isoformat() if event.time is not None else None,
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


def _parts(file: str, program: str | None, read: Callable[[], bytes]) -> Iterator[Part]:
    """The batches of what `read` returns time and again, until it returns nothing."""
    rest, skip, total = b"", lines.Skip.NOTHING, 0
    while True:
        try:
            more = read()
        except OSError as error:
            raise EdgeError(f"{file}: {error.strerror}") from error
        taken = lines.cut(rest + more, skip, final=not more)
        rest, skip = (rest + more)[taken.used :], taken.skip
        total += len(more)
        if taken.count:
            yield Part(Batch(file, taken.block, taken.count, "", program), total)
        if not more:
            return


def _stretches(file: str, program: str | None, descriptor: int, start: int) -> Iterator[Stretch]:
    """A file that can be read at any place, from `start` on, cut behind newlines."""
    while True:
        end: int | None = start + STRETCH
        while end is not None:
            window = os.pread(descriptor, BLOCK, end)
            newline = window.find(b"\n")
            if newline >= 0:
                end += newline + 1
                break
            end = end + len(window) if window else None
        yield Stretch(file, program, start, end)
        if end is None:
            return
        start = end


def _read_stretch(descriptor: int, stretch: Stretch) -> Iterator[Part]:
    at = stretch.start

    def read() -> bytes:
        nonlocal at
        most = BLOCK if stretch.end is None else min(BLOCK, stretch.end - at)
        content = os.pread(descriptor, most, at)
        at += len(content)
        return content

    return _parts(stretch.file, stretch.program, read)


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

_own: tuple[Judge, int] | None = None  # a worker process's, set once as it starts: how it judges, and the file


def _judged(judge: Judge, file: str, stream: BinaryIO, program: str | None, workers: int) -> Iterator[Done]:
    """What becomes of a file, in order. A file is read by the processes that judge it, anything else by this one."""
    parts = _parts(file, program, lambda: stream.read(BLOCK))
    if workers == 1:
        yield from map(judge, parts)
    elif _size(stream) and stream.seekable():
        yield from _spread(judge, stream.fileno(), _stretches(file, program, stream.fileno(), stream.tell()), workers)
    else:
        yield from _spread(judge, -1, parts, workers)


def _spread(judge: Judge, descriptor: int, pieces: Iterator[Part | Stretch], workers: int) -> Iterator[Done]:
    """Judge in `workers` processes, in order. Two pieces a worker are under way, so memory stays bounded."""
    # fork: the compiled database is inherited as it stands. No thread of ours runs yet.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(judge, descriptor)) as pool:
        pending: deque[Future[Done]] = deque()
        for piece in pieces:
            pending.append(pool.submit(_work, piece))
            if len(pending) >= 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _start_worker(judge: Judge, descriptor: int) -> None:
    global _own
    _own = judge, descriptor


def _work(piece: Part | Stretch) -> Done:
    assert _own is not None  # noqa: S101 - the initializer ran
    judge, descriptor = _own
    judge = replace(judge, correlation=Correlation())  # what came before may be another process's
    if isinstance(piece, Part):
        return judge(piece)
    done = [judge(part) for part in _read_stretch(descriptor, piece)]
    return Done(
        sum((each.counts for each in done), Counter()),
        "".join(each.text for each in done),
        piece.end or piece.start,
        tuple(itertools.chain.from_iterable(each.objects for each in done)),
    )
