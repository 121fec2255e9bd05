"""A period's digest, of all that state holds: as it would be now, or as the period closes.

Owns: which facts stand in it, and the shapes of lines, which state remembers from one digest to the next.
Never: carries it (`mailing` does). Loaded when a digest is asked for: what makes one is a tenth of a start.
Fails: with StateError, and then the period is still open and the next try makes its digest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from . import address, digest, doors, maintenance
from .digest import Attached, Rendered, Shapes
from .digest.message import identity
from .digest.render import render
from .digest.tally import BanIndex, Source
from .model import Ban, Entry, Message, Outcome, Refusal, Severity
from .settings import Config, DigestConfig, RouteConfig
from .state import Owed, Questions, Transaction

WEEK = 7 * 86_400.0
AT_ONCE = "Sent at once. The next digest tells of it again, in its place."
BEHIND = 50
"""Lines behind a ban that a mail at once looks at, to show one."""
MAILED = "mailed"
"""Where state remembers when the last digest was made."""
NEARLY = 0.99
"""How much of a heartbeat must be over: a digest is made a moment after its time, today and tomorrow."""
SHAPES = "shapes"
"""Where state remembers the shapes of lines that digests have shown."""

Dropped = Mapping[str, int]
"""Packets that the firewall in force has dropped, by prefix."""


class Draft(NamedTuple):
    """The digest of a period that is over: as it is shown, the mail, and the shapes known by then. None: there is
    nothing to say."""

    rendered: Rendered | None
    message: Message | None = None
    shapes: Any = None


def preview(
    state: Questions, config: Config, refused: Sequence[Refusal], dropped: Dropped, now: float, back: float | None
) -> Rendered | None:
    """The digest of the open period as it would be now, or of all that ended in the last `back` seconds.

    None where there is nothing to say.
    """
    opened = state.period()
    if opened is None:
        return None
    period, since = opened
    periods: Sequence[int] = (period,)
    if back is not None:
        since = min(since, now - back)
        periods = state.periods_since(since)
    return _render(state, config, refused, dropped, periods, since, now, known_shapes(state))


def draft(state: Questions, config: Config, refused: Sequence[Refusal], dropped: Dropped, owed: Owed) -> Draft:
    """The digest of a period that is over."""
    period, since, until = owed
    shapes = known_shapes(state)
    attached = Attached() if config.digest.attach else None
    even_empty = silent(state, config, until)
    rendered = _render(
        state, config, refused, dropped, (period,), since, until, shapes, attached, even_empty=even_empty
    )
    if rendered is None:
        return Draft(None)
    mail = message(config, rendered, f"{period}.{int(since)}", until, attached=attached)
    return Draft(rendered, mail, shapes.dump())


def close(tx: Transaction, owed: Owed, drafted: Draft, now: float) -> None:
    """Close the period, and put its digest into the outbox."""
    tx.close_period(owed.period, owed.until)
    if drafted.message:
        tx.remember(SHAPES, drafted.shapes)
        tx.remember(MAILED, owed.until)
        tx.post(drafted.message, now)


def silent(state: Questions, config: Config, now: float) -> bool:
    """Whether the last digest is so long ago that one is due also with nothing to say."""
    every = config.digest.heartbeat
    if every is None:
        return False
    mailed = state.recall(MAILED)
    return mailed is None or not 0 <= now - mailed < every * NEARLY


def known_shapes(state: Questions) -> Shapes:
    """The shapes of lines that digests have shown."""
    return Shapes.load(state.recall(SHAPES) or [])


def _render(
    state: Questions,
    config: Config,
    refused: Sequence[Refusal],
    dropped: Dropped,
    periods: Sequence[int],
    since: float,
    now: float,
    shapes: Shapes,
    attached: Attached | None = None,
    *,
    even_empty: bool = False,
) -> Rendered | None:
    entries = chain.from_iterable(map(state.entries, periods))
    built = digest.build(
        attached.through(entries) if attached else entries,
        host=config.host,
        since=since,
        until=now,
        shapes=shapes,
        refused=refused,
        rhythm=state.rhythm(now - WEEK),
        dropped=dropped,
        windows=maintenance.between(state, config, since, now),
        **_facts(state, periods),
    )
    if built.empty and not even_empty:
        return None
    return render(built, templates=config.digest.templates, subject=config.digest.subject)


def _facts(state: Questions, periods: Sequence[int]) -> dict[str, Any]:
    """What was counted, done and said in these periods, together."""
    of = partial(_each, periods)
    bans = list(chain.from_iterable(of(state.bans_made)))
    return {
        "bans": bans,
        "before": _before(bans, state.times_by_prefix(periods[-1])),
        "read": dict(sum(map(Counter, of(state.read)), Counter())),
        **_books(state, periods),
    }


def _books(state: Questions, periods: Sequence[int]) -> dict[str, Any]:
    """What was counted in these periods, and said of the watch itself."""
    of = partial(_each, periods)
    return {
        "notices": list(chain.from_iterable(of(state.notices))),
        "counts": _added(of(state.tallies)),
        "hits": dict(sum(map(Counter, of(state.rule_hits)), Counter())),
    }


def _before(bans: Sequence[Ban], ever: Mapping[str, int]) -> dict[str, int]:
    """How often each prefix was banned before these bans."""
    now = Counter(ban.prefix for ban in bans)
    return {prefix: ever.get(prefix, 0) - times for prefix, times in now.items()}


T = TypeVar("T")


def _each(periods: Sequence[int], ask: Callable[[int], T]) -> list[T]:
    return [ask(period) for period in periods]


def _added(tallies: Sequence[Mapping[str, Mapping[Outcome, int]]]) -> dict[str, dict[Outcome, int]]:
    """Lines by source and outcome, of several periods."""
    total: dict[str, dict[Outcome, int]] = {}
    for source, counts in chain.from_iterable(each.items() for each in tallies):
        known = total.setdefault(source, dict.fromkeys(Outcome, 0))
        for outcome, lines in counts.items():
            known[outcome] += lines
    return total


def at_once(state: Questions, config: Config, bans: Sequence[Ban], lines: Sequence[Entry], now: float) -> Rendered:
    """A mail about these bans and lines alone, which the digest will tell again."""
    behind = chain.from_iterable(_behind(state, ban) for ban in bans[: digest.MOST])
    built = digest.build(
        [*behind, *lines],
        host=config.host,
        since=min([*(ban.since for ban in bans), *(line.time for line in lines)]),
        until=now,
        bans=bans,
        note=AT_ONCE,
    )
    return render(built, templates=config.digest.templates, subject=config.digest.subject)


def _behind(state: Questions, ban: Ban) -> Iterator[Entry]:
    """The latest lines that led to a ban."""
    for row in state.attacks_from(address.prefix(ban.prefix), BEHIND):
        if row["file"] == ban.attack:
            who = row["rule"], row["address"], row["raw"], row["raw"]
            yield Entry("", row["time"], row["host"], "", Outcome.ATTACK, Severity.ATTACK, *who)


def of_route(
    state: Questions,
    config: Config,
    route: RouteConfig,
    refused: Sequence[Refusal],
    dropped: Dropped,
    mark: tuple[int, int, float, int],
    now: float,
    attached: Attached | None,
) -> Rendered | None:
    """A digest of the lines of a route alone, and of the bans that they led to; None where there is nothing to say.

    `mark`: the line, the ban and the time up to which it was told before, and the period that was open then. A route
    that leaves nothing out has what is no line too, of the periods that have ended since. Their books are not checked
    here: the lines are those up to now, and the digest of each period has checked them.
    """
    entry, ban, since, period = mark
    filters = route.host, route.program, route.severity
    bans, entries = state.bans_after(ban), state.entries_after(entry, *filters)
    what = [f"hosts {route.host}" * (route.host != "*"), f"programs {route.program}" * (route.program != "*")]
    what += [", ".join(route.severity)]
    of_watch: dict[str, Any] = {}
    if any(what):
        index = BanIndex(bans)
        sources = (Source(rule, Severity.ATTACK, where) for rule, where in state.attack_sources(entry, *filters))
        bans = sorted({found for each in sources if (found := index.find(each))})
    else:
        of_watch = {"refused": refused, "rhythm": state.rhythm(now - WEEK), **_books(state, state.ended(period))}
    built = digest.build(
        attached.through(entries) if attached else entries,
        host=config.host,
        since=since,
        until=now,
        shapes=known_shapes(state),
        bans=bans,
        before=_before(bans, state.times_by_prefix()),
        dropped=dropped,
        windows=maintenance.between(state, config, since, now),
        note=f"Of {'; '.join(filter(None, what))} alone." if any(what) else "",
        **of_watch,
    )
    return None if built.empty else render(built, templates=config.digest.templates, subject=config.digest.subject)


def message(
    config: Config,
    rendered: Rendered,
    name: str,
    now: float,
    route: DigestConfig | RouteConfig | None = None,
    attached: Attached | None = None,
) -> Message:
    """A mail for the recipients of `route`, in its format.

    The same `name` always gives the same Message-ID: a mail that is sent twice can be recognised.
    """
    route = route or config.digest
    message_id = identity(name, config.host)
    sender = config.digest.sender
    content = digest.compose(
        rendered if route.format == "both" else replace(rendered, html=""),
        sender=sender,
        recipients=[each for each in route.to if not doors.is_door(each)] or [sender],
        message_id=message_id,
        date=now,
        host=config.host,
        thread=identity("digest", config.host),
        attached=attached,
    )
    return Message(0, message_id, sender, route.to, content, subject=rendered.subject)
