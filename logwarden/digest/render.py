"""Digest -> subject, plain text and HTML, by Jinja2 templates that a user may replace by files of the same name.

Owns: the templates' filters, and that a user's template that fails is put aside, not the digest.
Never: fetches anything; lets a template reach Python's insides (sandbox), or lets text be HTML (autoescape).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    DictLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    pass_context,
)
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from rich.cells import cell_len

from .. import moment
from ..model import Outcome
from .escape import clip, pad, visible, wrap
from .model import Apart, Attack, Banned, Day, Digest, Group, Need, Part, Rendered, SourceCount

WIDTH = 80
SUBJECT = 180
"""Longest subject, in characters: past it clients cut anyway."""
ACCOUNTS = (11, 9, 14, 14)
"""Columns of the accounting's numbers, for each Outcome."""
BARS = "▁▂▃▄▅▆▇█"
NAMES = ("subject.txt.j2", "digest.txt.j2", "digest.html.j2")


def render(digest: Digest, templates: str | None = None, subject: str | None = None) -> Rendered:
    """Show `digest`. Files of `templates` (a directory) stand in for the shipped ones of the same name; so does
    `subject`, the text of a template, for the subject's.

    One of them that cannot be used is named in `problems`, and the shipped one does its work.
    """
    own = _own(templates, subject)
    problems: list[str] = []
    first, text, html = (_show(name, digest, own, problems) for name in NAMES)
    one_line = visible(" ".join(first.split()))[:SUBJECT]
    # RFC 2047: between =? and ?= stands a word in another spelling, which a mail program would read in its place.
    return Rendered(one_line.replace("=?", "= ?"), text, html, tuple(problems))


def _own(templates: str | None, subject: str | None) -> Environment | None:
    loaders: list[BaseLoader] = [DictLoader({NAMES[0]: subject})] if subject else []
    loaders += [FileSystemLoader(templates)] if templates else []
    return _environment(ChoiceLoader(loaders)) if loaders else None


def _show(name: str, digest: Digest, own: Environment | None, problems: list[str]) -> str:
    if own:
        try:
            return own.get_template(name).render(d=digest)
        except TemplateNotFound as error:
            if error.name != name:  # it includes one that is not there
                problems.append(f"{name}: {error.name} is not there")
        except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, OSError) as error:
            problems.append(f"{name}: {type(error).__name__}: {error}")
    return _shipped().get_template(name).render(d=digest)


@functools.cache
def _shipped() -> Environment:
    return _environment(PackageLoader("logwarden.digest", "templates"))


def _environment(loader: BaseLoader) -> Environment:
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= FILTERS
    return environment


# --- filters ------------------------------------------------------------------------------------------------


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 ban`, `2,000 bans`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def summary(digest: Digest) -> str:
    """What there is, the worst first: `3 bans, 2 new kinds of line, 14 lines`; lines are those to read."""
    totals = digest.totals
    parts = [
        counted(totals.bans, "ban") if totals.bans else "",
        counted(totals.alerts, "alert") if totals.alerts else "",
        counted(totals.violations, "violation") if totals.violations else "",
        counted(totals.attacks, "attack line") if totals.attacks and not totals.bans else "",
        counted(totals.novel, "new kind of line", "new kinds of line") if totals.novel else "",
        counted(totals.unexplained, "line") if totals.unexplained else "",
        f"{counted(totals.apart, 'line')} set apart" if totals.apart else "",
        counted(totals.notices, "notice") if totals.notices else "",
    ]
    return ", ".join(filter(None, parts)) or "nothing to report"


def paragraph(text: str, indent: int = 6, width: int = WIDTH) -> str:
    """`text` cut into lines, each behind `indent` spaces: nothing that a log line says stands at the left margin."""
    return "\n".join(" " * indent + line for line in wrap(text, width - indent))


def row(left: Iterable[object], right: object = "", indent: int = 2, width: int = WIDTH) -> str:
    """What is not empty of `left`, and `right` at the other edge; cut into lines where it does not fit."""
    start = "  ".join(str(part) for part in left if part)
    gap = width - indent - cell_len(f"{start}{right}")
    if gap >= 2 or not right:
        return paragraph(f"{start}{' ' * gap}{right}" if right else start, indent, width)
    return f"{paragraph(start, indent, width)}\n{paragraph(str(right), width - cell_len(str(right)), width)}"


def right(number: int, width: int) -> str:
    """`number` with its thousands marked, to the right of `width` columns."""
    return f"{number:>{width},}"


def brief(number: int) -> str:
    """`number` in four letters, for where there is no room: `980`, `9.8k`, `98k`, `1.3M`."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.{int(number < 10 * size)}f}{unit}"
    return str(number)


def accounts(source: SourceCount) -> str:
    """A row of the accounting: read, and what became of it in the order of Outcome, under the template's heading."""
    numbers = [source.counts[outcome] for outcome in Outcome]
    return f"{source.read:>9,}" + "".join(
        f"{number:>{width},}" for number, width in zip(numbers, ACCOUNTS, strict=True)
    )


def hosts(item: Banned | Group | Need, here: str) -> str:
    """Where lines came from, unless it is `here` alone."""
    more = f" and {item.more_hosts:,} more" if item.more_hosts else ""
    return "" if item.hosts in ((), (here,)) else f"on {', '.join(item.hosts)}{more}"


def by_host(digest: Digest) -> list[tuple[str, list[Group]]]:
    """The groups by the host that they are of, and those of several hosts: `''`, each where its first group stands.

    One list under the digest's own host, where no other host has one.
    """
    parts: dict[str, list[Group]] = {}
    for group in digest.groups:
        host = group.hosts[0] if group.hosts else digest.host
        parts.setdefault("" if len(group.hosts) > 1 else host, []).append(group)
    return list(parts.items()) if len(parts) > 1 else [(digest.host, list(digest.groups))]


def gaps(source: SourceCount) -> str:
    """How often lines of a source may be missing."""
    return f"{counted(source.gaps, 'gap')}: lines may be missing" if source.gaps else "no gaps"


def marked(parts: Iterable[Part]) -> str:
    """A sample with its variable parts in brackets."""
    return "".join(f"‹{part.text}›" if part.variable else part.text for part in parts)


def record(banned: Banned) -> str:
    """What else is known of who was banned: `3rd ban`, `banned 2 times before`, `1,234 packets dropped`."""
    before = f"banned {counted(banned.before, 'time')} before" if banned.before else ""
    packets = counted(banned.dropped, "packet") + " dropped since" if banned.dropped is not None else ""
    return ", ".join(filter(None, (before, packets)))


def bars(week: Iterable[Day]) -> str:
    """A week as a row of small bars: `Mon ▂ Tue █`."""
    return "  ".join(f"{day.name} {BARS[round(day.share * (len(BARS) - 1))]}" for day in week)


@pass_context
def date(context: Context, time: float, form: str = "%Y-%m-%d %H:%M") -> str:
    """POSIX seconds as strftime's `form` shows them, in the digest's zone."""
    return _local(context, time).strftime(form)


@pass_context
def clock(context: Context, time: float, near: float, form: str = "%H:%M:%S") -> str:
    """The time of day, and the day where it is not that of `near`."""
    same = _local(context, time).date() == _local(context, near).date()
    return _local(context, time).strftime(form if same else f"%d %b {form}")


@pass_context
def span(context: Context, item: Attack | Group | Need, near: float) -> str:
    """From the first to the last line of an item."""
    first, last = clock(context, item.first, near), clock(context, item.last, near)
    return first if first == last else f"{first} to {last}"


@pass_context
def window(context: Context, item: Apart, near: float) -> str:
    """From when to when its lines are set apart."""
    since, until = (clock(context, time, near, "%H:%M") for time in (item.since, item.until))
    return f"{since} to {until}"


@pass_context
def zone(context: Context, time: float) -> str:
    """The name of the digest's zone at that time, such as CEST."""
    return _local(context, time).astimezone(context["d"].zone).tzname() or ""


def _local(context: Context, time: float) -> datetime:
    return moment.date(time, context["d"].zone)


FILTERS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        accounts,
        bars,
        brief,
        by_host,
        clip,
        clock,
        counted,
        date,
        gaps,
        hosts,
        marked,
        pad,
        paragraph,
        record,
        right,
        row,
        span,
        summary,
        window,
        zone,
    )
}
"""What a template can use besides Jinja2's own: `n | counted('ban')`, `text | clip(30)`, `sample | marked`."""
