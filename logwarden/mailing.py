"""The digest's way out: put into the outbox as its period closes (`period`), carried, and crossed off.

Owns: when a digest is due, and that it leaves the outbox only when the mail server took it, or when it has been tried
for `mail.lifetime`: it is then undeliverable, kept as a file, and named in the next digest and in `status`.
Never: sends (the courier's thread does).
Fails: with StateError, and then the period is still open and the next try makes its digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import doors, duration, undeliverable
from .config import Config
from .mailer import TRANSPORTS, Sendmail, Smtp, Transport
from .model import Message, Notice, NoticeKind, Refusal
from .outbox import Attempt, Courier, backoff
from .schedule import jitter
from .state import State

if TYPE_CHECKING:
    from .digest import Rendered

RETRY = 5.0
"""Seconds until the next try to write down what became of attempts, after the database did not take it."""


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
        self._unsettled: Attempt | None = None
        self._next_try = 0.0
        self.dropped: Callable[[], Mapping[str, int]] = dict
        """Says which packets the firewall in force has dropped, by prefix, as far as it tells."""

    def preview(
        self, config: Config, refused: Sequence[Refusal], now: float, back: float | None = None
    ) -> Rendered | None:
        """The digest of the open period as it would be now, or of all that ended in the last `back` seconds.

        None where there is nothing to say.
        """
        from . import period  # a start makes no digest

        return self.complaining(period.preview(self._state, config, refused, self.dropped, now, back))

    def close_period(self, config: Config, refused: Sequence[Refusal], now: float) -> str | None:
        """Close the open period and post its digest, in one transaction. Returns its subject; None: nothing to say."""
        from . import period  # as above

        rendered = self.complaining(period.close(self._state, config, refused, self.dropped, now))
        return rendered.subject if rendered else None

    def complaining(self, rendered: Rendered | None) -> Rendered | None:
        """`rendered`, after what is wrong with its templates was said."""
        for problem in rendered.problems if rendered else ():
            self._trouble(f"a template cannot be used, and the shipped one stood in: {problem}")
        return rendered

    def dispatch(self, config: Config, now: float) -> None:
        """Give the courier what has been due longest, once what became of the attempt before it is written down."""
        if self._unsettled and not self._next_try - RETRY <= now < self._next_try:
            self._next_try = now + RETRY
            self._settle(config, self._unsettled, now)
        if self._courier.free and (message := self._state.due(now)):
            self._courier.carry(message, partial(_deliver, config))

    def returned(self, attempt: Attempt) -> None:
        """The courier is back. Until `dispatch` has it written down, the message is not sent again."""
        self._unsettled = attempt
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
        self._unsettled = None
        self._courier.done()
        if notice:
            self._trouble(notice.text)

    def forget(self, config: Config, now: float) -> None:
        """Remove files of messages that were given up longer ago than anything is kept."""
        known = [str(each["message_id"]) for each in self._state.undelivered()]
        undeliverable.forget(config.state, known, now - config.retention.age)


def _given_up(config: Config, attempt: Attempt, kept: Path, now: float) -> Notice:
    message = attempt.message
    to = ", ".join(map(doors.shown, attempt.refused or message.recipients))
    text = (
        f"'{message.subject}' could not be delivered to {to} in {duration.format(config.mail.lifetime)}"
        f" ({attempt.error}); it is kept as {kept}"
    )
    return Notice(NoticeKind.MAIL, "undeliverable", text, now)


def _deliver(config: Config, message: Message) -> None:
    doors.deliver(message, transport(config), config.mail.timeout)
