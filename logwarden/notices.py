"""What the daemon has to say about itself: into the open period's digest, into `status`, and into its own log.

Owns: that none is lost on the way to the digest: what the database does not take is owed, and goes with the next
commit.
Bounded: the same said again counts as one here, and of more than OWED the digest has the latest and the number of the
others.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator

from .errors import StateError
from .model import Notice, NoticeKind
from .state import State

log = logging.getLogger("logwarden")

LATEST = 20
"""Notices that `status` shows."""
OWED = 1_000
"""Notices that may wait for the database."""


class Owed:
    """What waits for the database."""

    def __init__(self) -> None:
        self._notices: dict[tuple[NoticeKind, str, str], Notice] = {}
        self._more = 0

    def add(self, notice: Notice) -> bool:
        """Let it wait, in the place of the same said before. False: there was such a one."""
        known = self._notices.pop(_said(notice), None)
        self._notices[_said(notice)] = notice
        if len(self._notices) > OWED:
            del self._notices[next(iter(self._notices))]
            self._more += 1
        return known is None

    def __iter__(self) -> Iterator[Notice]:
        """Each of them, oldest first, and then how many more there were."""
        yield from self._notices.values()
        if self._more:
            text = f"{self._more} more notices, from before these, came while the database took nothing, and are lost"
            yield Notice(NoticeKind.STATE, "notices", text, next(reversed(self._notices.values())).time)

    def __len__(self) -> int:
        return len(self._notices)

    def clear(self) -> None:
        """The database has them."""
        self._notices.clear()
        self._more = 0


class Notices:
    """`latest` are shown by `status`; `owed` wait for the database; `faults` is what is wrong now, by subject."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.latest: deque[Notice] = deque(maxlen=LATEST)
        self.owed = Owed()
        self.faults: dict[str, str] = {}

    def say(self, notice: Notice, *, stalled: bool = False) -> None:
        """Say it in the digest, in `status` and in the log: there once, as long as the digest does not have it.

        While the database is `stalled` it is not asked: who watches our log would give us a line for each refusal.
        """
        known = not self.owed.add(notice)
        self._remember(notice, known=known)
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
        for same in [each for each in self.latest if _said(each) == _said(notice)]:
            self.latest.remove(same)
        self.latest.append(notice)
        if not known:
            fields = {"LOGWARDEN_KIND": str(notice.kind), "LOGWARDEN_ABOUT": notice.about}
            log.warning("%s: %s", notice.about, notice.text, extra=fields)


def _said(notice: Notice) -> tuple[NoticeKind, str, str]:
    """What it says, whenever that is."""
    return notice.kind, notice.about, notice.text
