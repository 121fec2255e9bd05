"""The digest's way out: put into the outbox as its period closes (`period`), carried, and crossed off.

Owns: when a digest is due; that its period is closed as it is put into the outbox; and that it leaves the outbox only
when the mail server took it, or when it has been tried for `mail.lifetime`: it is then undeliverable, kept as a file,
and named in the next digest and in `status`.
Never: makes a digest (the press's thread does), or sends one (the courier's).
Fails: with StateError, and then the period is still open and the next try makes its digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import doors, duration, undeliverable
from .errors import StateError
from .immediate import MARK, Immediate
from .mailer import TRANSPORTS, Sendmail, Smtp, Transport
from .model import Message, Notice, NoticeKind, Refusal
from .outbox import Attempt, Courier, backoff
from .press import Done, Press, Result
from .schedule import jitter
from .settings import Config
from .state import Owed, Questions, State

if TYPE_CHECKING:
    from .digest import Rendered
    from .period import Draft

Told = Callable[["str | StateError | None"], None]
"""Hears the subject of a digest, None where there is nothing to say, or why there is none."""

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

    def __init__(
        self, state: State, press: Press, courier: Courier, immediate: Immediate, trouble: Callable[[str], None]
    ) -> None:
        self._state = state
        self._press = press
        self._immediate = immediate
        self.making = False
        """Whether the digest of a period that is over is being made."""
        self._told: list[Told] = []
        self._courier = courier
        self._trouble = trouble
        self._unsettled: Attempt | None = None
        self._next_try = 0.0
        self.dropped: Callable[[], Mapping[str, int]] = dict
        """Says which packets the firewall in force has dropped, by prefix, as far as it tells."""

    def preview(
        self,
        config: Config,
        refused: Sequence[Refusal],
        now: float,
        back: float | None,
        done: Done,
    ) -> None:
        """The digest of the open period as it would be now, or of all that ended in the last `back` seconds: a
        Rendered for `done`, or None where there is nothing to say."""
        dropped = self.dropped()

        def make(state: Questions) -> Rendered | None:
            from . import period  # a start makes no digest

            return period.preview(state, config, refused, dropped, now, back)

        self._press.ask(make, done)

    def close_period(self, config: Config, refused: Sequence[Refusal], now: float, told: Told | None = None) -> None:
        """End the open period, and have its digest made; as it is put into the outbox, the period is closed.

        `told` hears the subject, None where there is nothing to say. Where the digest of the period before is still to
        be made, that comes first. Raises StateError.
        """
        owed = self._state.owed() or self._ended(config, now)
        self._told += [told] if told else []
        if owed is None:
            self._tell(None)
        elif not self.making:
            self.making = True
            self._immediate.hold()
            dropped = self.dropped()

            def make(state: Questions) -> Draft:
                from . import period  # as above

                return period.draft(state, config, refused, dropped, owed)

            self._press.ask(make, partial(self._close, owed))

    def _ended(self, config: Config, now: float) -> Owed | None:
        """End the open period. None where none was ever opened, and nobody waits for a sign of life."""
        if self._state.period() is None:
            from . import period  # as above

            if not period.silent(self._state, config, now):
                return None
        with self._state.transaction() as tx:
            tx.open_period(now)
            tx.end_period(now)
        return self._state.owed()

    def _close(self, owed: Owed, result: Result, now: float) -> None:
        """The digest of a period is made: put it into the outbox. Raises what stood in the way; the next round asks
        for it again."""
        from . import period  # as above

        self.making = False
        try:
            owed = self._state.owed() or owed  # the clock may have jumped meanwhile
            drafted: Draft = result()
            mark = self._immediate.told(owed.period)
            with self._state.transaction() as tx:
                period.close(tx, owed, drafted, now)
                tx.remember(MARK, mark)
        except StateError as error:
            self._immediate.release()
            self._tell(error)
            raise
        self._immediate.release(mark)
        self.complaining(drafted.rendered)
        self._tell(drafted.rendered.subject if drafted.rendered else None)

    def _tell(self, what: str | StateError | None) -> None:
        told, self._told = self._told, []
        for each in told:
            each(what)

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
