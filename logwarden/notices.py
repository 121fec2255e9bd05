"""What the daemon has to say about itself: into the open period's digest, into `status`, and into its own log.

Owns: that none is lost on the way to the digest: what the database does not take is owed, and goes with the next
commit.
Bounded: the same said again counts as one here, and of more than OWED the oldest are in the log alone.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace

from .errors import StateError
from .model import Notice, NoticeKind
from .state import State

log = logging.getLogger("logwarden")

LATEST = 20
"""Notices that `status` shows."""
OWED = 1_000
"""Notices that may wait for the database."""


class Notices:
    """`latest` are shown by `status`; `owed` wait for the database; `faults` is what is wrong now, by subject."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.latest: deque[Notice] = deque(maxlen=LATEST)
        self.owed: list[Notice] = []
        self.faults: dict[str, str] = {}

    def say(self, notice: Notice, *, stalled: bool = False) -> None:
        """Say it in the digest, in `status` and in the log: there once, as long as the digest does not have it.

        While the database is `stalled` it is not asked: who watches our log would give us a line for each refusal.
        """
        known = any(_same(each, notice) for each in self.owed)
        self._remember(notice, known=known)
        self.owed[:] = [*(each for each in self.owed if not _same(each, notice)), notice][-OWED:]
        if stalled or known:
            return
        try:
            with self._state.transaction() as tx:
                for each in self.owed:
                    tx.add_notice(tx.open_period(each.time), each)
            self.owed.clear()
        except StateError as error:
            log.error("%s", error)

    def hear(self, notice: Notice) -> None:
        """What reaches the digest with the batch that tells of it."""
        self._remember(notice)

    def of_mail(self, text: str, now: float) -> None:
        """Trouble with the mail itself is no news for a mail: each would be the reason for the next."""
        self._remember(Notice(NoticeKind.MAIL, "mail", text, now))

    def _remember(self, notice: Notice, *, known: bool = False) -> None:
        for same in [each for each in self.latest if _same(each, notice)]:
            self.latest.remove(same)
        self.latest.append(notice)
        if not known:
            log.warning("%s: %s", notice.about, notice.text)


def _same(one: Notice, other: Notice) -> bool:
    return replace(one, time=other.time) == other
