"""The digest's way out: built from state, put into the outbox as its period closes, carried, and crossed off.

Owns: when a digest is due, and that it leaves the outbox only when the mail server took it, or when it has been tried
for `mail.lifetime`: it is then undeliverable, kept as a file, and named in the next digest and in `status`.
Never: sends (the courier's thread does).
Fails: with StateError, and then the period is still open and the next try makes its digest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from . import digest, duration, undeliverable
from .config import Config
from .digest import Rendered, Shapes
from .digest.message import identity
from .mailer import TRANSPORTS, Sendmail, Smtp, Transport
from .model import Message, Notice, NoticeKind, Outcome, Refusal
from .outbox import Attempt, Courier, backoff
from .schedule import jitter
from .state import State

RETRY = 5.0
"""Seconds until the next try to write down what became of attempts, after the database did not take it."""
WEEK = 7 * 86_400.0
SHAPES = "shapes"
"""Where state remembers the shapes of lines that digests have shown."""


def transport(config: Config) -> Transport:
    """The configured way to hand mail over."""
    mail = config.mail
    kind = TRANSPORTS[mail.transport]
    if kind is Smtp:
        return Smtp(mail.host, mail.port, mail.timeout, mail.tls, mail.user, mail.password_file)
    if kind is Sendmail:
        return Sendmail(mail.sendmail, mail.timeout)
    return kind()


def next_digest(config: Config, now: float) -> float:
    """When the next digest is due: the schedule's next time, and this host's share of the jitter."""
    late = jitter(config.host, config.digest.jitter)
    return config.digest.schedule.next(now - late) + late


class Mailing:
    """The outbox's two ends. `trouble` hears of what is wrong with the mail itself."""

    def __init__(self, state: State, courier: Courier, trouble: Callable[[str], None]) -> None:
        self._state = state
        self._courier = courier
        self._trouble = trouble
        self._unsettled: dict[int, Attempt] = {}
        self._next_try = 0.0
        self.dropped: Callable[[], Mapping[str, int]] = dict
        """Says which packets the firewall in force has dropped, by prefix, as far as it tells."""

    def preview(
        self, config: Config, refused: Sequence[Refusal], now: float, back: float | None = None
    ) -> Rendered | None:
        """The digest of the open period as it would be now, or of all that ended in the last `back` seconds.

        None where there is nothing to say.
        """
        opened = self._state.period()
        if opened is None:
            return None
        period, since = opened
        if back is None:
            return self._render(config, refused, (period,), since, now, self._shapes())
        since = min(since, now - back)
        return self._render(config, refused, self._state.periods_since(since), since, now, self._shapes())

    def close_period(self, config: Config, refused: Sequence[Refusal], now: float) -> str | None:
        """Close the open period and post its digest, in one transaction. Returns its subject; None: nothing to say."""
        opened = self._state.period()
        if opened is None:
            return None
        period, since = opened
        shapes = self._shapes()
        rendered = self._render(config, refused, (period,), since, now, shapes)
        with self._state.transaction() as tx:
            tx.close_period(period, now)
            if rendered:
                tx.remember(SHAPES, shapes.dump())
                tx.post(_message(config, rendered, period, since, now), now)
        return rendered.subject if rendered else None

    def _shapes(self) -> Shapes:
        return Shapes.load(self._state.recall(SHAPES) or [])

    def _facts(self, periods: Sequence[int]) -> dict[str, Any]:
        """What was counted, done and said in these periods, together."""
        of, state = partial(_each, periods), self._state
        bans = list(chain.from_iterable(of(state.bans_made)))
        ever, now = state.times_by_prefix(), Counter(ban.prefix for ban in bans)
        return {
            "bans": bans,
            "before": {prefix: ever.get(prefix, 0) - times for prefix, times in now.items()},
            "dropped": self.dropped(),
            "notices": list(chain.from_iterable(of(state.notices))),
            "counts": _added(of(state.tallies)),
            "read": dict(sum(map(Counter, of(state.read)), Counter())),
            "hits": dict(sum(map(Counter, of(state.rule_hits)), Counter())),
        }

    def _render(
        self,
        config: Config,
        refused: Sequence[Refusal],
        periods: Sequence[int],
        since: float,
        now: float,
        shapes: Shapes,
    ) -> Rendered | None:
        facts = self._facts(periods)
        built = digest.build(
            chain.from_iterable(map(self._state.entries, periods)),
            host=config.host,
            since=since,
            until=now,
            shapes=shapes,
            refused=refused,
            rhythm=self._state.rhythm(now - WEEK),
            **facts,
        )
        if built.empty:
            return None
        from .digest.render import render  # a start needs no templates: the first digest loads them

        rendered = render(built, templates=config.digest.templates, subject=config.digest.subject)
        for problem in rendered.problems:
            self._trouble(f"a template cannot be used, and the shipped one stood in: {problem}")
        return rendered

    def dispatch(self, config: Config, now: float) -> None:
        """Give the courier what is due, once all attempts that came back are written down."""
        if not self._next_try - RETRY <= now < self._next_try:
            self._next_try = now + RETRY
            for attempt in list(self._unsettled.values()):
                self._settle(config, attempt, now)
        for message in self._state.due(now):
            self._courier.carry(message, partial(_deliver, config))

    def returned(self, attempt: Attempt) -> None:
        """The courier is back. Until `dispatch` has it written down, the message is not sent again."""
        self._unsettled[attempt.message.id] = attempt
        self._next_try = 0.0

    def _settle(self, config: Config, attempt: Attempt, now: float) -> None:
        """Write down what became of an attempt. One that failed is the last where the message has had its lifetime."""
        message = self._state.message(attempt.message.id) or attempt.message  # the clock may have jumped meanwhile
        notice = None
        if attempt.error is not None and now - message.created >= config.mail.lifetime:
            notice = _given_up(config, attempt, undeliverable.keep(config.state, message), now)
        with self._state.transaction() as tx:
            if attempt.error is None:
                tx.delivered(message.id, now)
            else:
                tx.not_delivered(message.id, attempt.error, now + backoff(message.attempts), attempt.refused or None)
            if notice:
                tx.give_up(message.id, now)
                tx.add_notice(tx.open_period(now), notice)
        del self._unsettled[message.id]
        self._courier.done(message)
        if notice:
            self._trouble(notice.text)

    def forget(self, config: Config, now: float) -> None:
        """Remove files of messages that were given up longer ago than anything is kept."""
        known = [str(each["message_id"]) for each in self._state.undelivered()]
        undeliverable.forget(config.state, known, now - config.retention.age)


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


def _given_up(config: Config, attempt: Attempt, kept: Path, now: float) -> Notice:
    message = attempt.message
    to = ", ".join(attempt.refused or message.recipients)
    text = (
        f"'{message.subject}' could not be delivered to {to} in {duration.format(config.mail.lifetime)}"
        f" ({attempt.error}); it is kept as {kept}"
    )
    return Notice(NoticeKind.MAIL, "undeliverable", text, now)


def _deliver(config: Config, message: Message) -> None:
    transport(config).deliver(message)


def _message(config: Config, rendered: Rendered, period: int, since: float, now: float) -> Message:
    """The same period always gives the same Message-ID: a digest that is sent twice can be recognised."""
    message_id = identity(f"{period}.{int(since)}", config.host)
    sender, to = config.digest.sender, config.digest.to
    content = digest.compose(
        rendered,
        sender=sender,
        recipients=to,
        message_id=message_id,
        date=now,
        host=config.host,
        thread=identity("digest", config.host),
    )
    return Message(0, message_id, sender, to, content, subject=rendered.subject)
