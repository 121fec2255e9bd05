"""Mail at once, for what cannot wait for the digest: the first ban by an attack file, alerts, rules of the config's.

Owns: when such a mail is due (a burst is one mail: a moment after its first line, and no sooner than `every` after the
mail before), and what stands in it. The digest tells all of it again, in its place; what it has told is not mailed.
Never: carries it (`mailing` does). Bounded: MOST bans and MOST lines.
Fails: with StateError, and then what was to be told waits for the next try.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .errors import StateError
from .model import Ban, Entry, Message, Severity
from .press import Press, Result
from .settings import Config
from .state import Questions, State, Transaction
from .tracker import NO_RULE

if TYPE_CHECKING:
    from .digest import Rendered

SETTLE = 10.0
"""Seconds from the first line of a burst to its mail."""
MOST = 1_000
"""Bans, and lines of the config's rules, that one mail knows of: in a flood the digest has the numbers."""
AGAIN = 60.0
"""Seconds until the next try."""
MARK = "immediate"
"""Where state remembers what was told, and when."""


class Mark(NamedTuple):
    """The latest ban and line that were looked at, by number, and when the last mail was made."""

    ban: int
    entry: int
    sent: float


class Immediate:
    """What there is to be told at once. `due` is when: POSIX seconds, math.inf where there is nothing."""

    def __init__(self, state: State, press: Press) -> None:
        self._state = state
        self._press = press
        self._held = 0  # digests and mails that are being made, which may tell what there is
        self._mark: Mark | None = None
        self._known = set(NO_RULE)  # attack files that have banned before the mark
        self.due = math.inf

    def look(self, config: Config, now: float) -> None:
        """See whether something new cannot wait. Raises StateError."""
        if self.due < math.inf or self._held:
            return
        mark = self._mark = self._mark or self._recalled()
        latest = self._state.latest()
        if latest == mark[:2]:
            return
        bans, lines = self._found(config, mark, 1)
        if bans or lines:
            every = config.digest.immediate.every
            self.due = max(now + SETTLE, mark.sent + every) if mark.sent <= now else now + SETTLE
        else:
            self._mark = Mark(*latest, mark.sent)

    def keep(self, tx: Transaction) -> None:
        """Remember how far was looked, where nothing waits to be told."""
        if self._mark and self.due == math.inf and not self._held:
            tx.remember(MARK, self._mark)

    def reschedule(self, now: float) -> None:
        """The clock has jumped to `now`: what waits, waits a moment."""
        if self.due < math.inf:
            self.due = now + SETTLE

    def hold(self) -> None:
        """A digest is being made: what it tells is not mailed besides."""
        self._held += 1
        self.due = math.inf

    def told(self, period: int) -> Mark:
        """What there is to remember once the digest of a period has told what was there. Raises StateError."""
        mark, (ban, entry) = self._mark or self._recalled(), self._state.latest(period)
        return Mark(max(mark.ban, ban), max(mark.entry, entry), mark.sent)

    def release(self, mark: Mark | None = None) -> None:
        """It was made, and `mark` is remembered; or it was not. The next look sees what is left to be told."""
        self._held -= 1
        self._mark = mark or self._mark

    def send(self, config: Config, now: float, complain: Callable[[Rendered], object]) -> None:
        """Have the mail made, and post it; none where a reload has left nothing to tell. Raises StateError."""
        mark = self._mark or self._recalled()
        latest = self._state.latest()
        bans, lines = self._found(config, mark, MOST)
        if not bans and not lines:
            self._mark, self.due = Mark(*latest, mark.sent), math.inf
            return
        self.hold()

        def make(state: Questions) -> tuple[Rendered, Message]:
            from . import period  # a start makes no mail

            rendered = period.at_once(state, config, bans, lines, now)
            return rendered, period.message(config, rendered, f"now.{latest[0]}.{latest[1]}.{int(now)}", now)

        def done(result: Result, now: float) -> None:
            try:
                rendered, message = result()
                before = self._mark or mark
                told = Mark(max(before.ban, latest[0]), max(before.entry, latest[1]), now)
                with self._state.transaction() as tx:
                    tx.post(message, now)
                    tx.remember(MARK, told)
            except StateError:
                self.release()
                self.due = now + AGAIN
                raise
            self.release(told)
            complain(rendered)

        self._press.ask(make, done)

    def _recalled(self) -> Mark:
        """What state remembers; where it remembers nothing, what is there already is no news from now on."""
        if known := self._state.recall(MARK):
            return Mark(*known)
        mark = Mark(*self._state.latest(), 0.0)
        with self._state.transaction() as tx:
            tx.remember(MARK, mark)
        return mark

    def _found(self, config: Config, mark: Mark, most: int) -> tuple[list[Ban], list[Entry]]:
        wanted = config.digest.immediate
        real = wanted.bans and config.bans.mode == "enforce"
        first = self._first(mark) if real else set()
        bans = self._state.bans_after(mark.ban, sorted(first), most) if first else []
        severities = [Severity.ALERT] if wanted.alerts else []
        return bans, self._state.entries_by(wanted.rules, severities, mark.entry, most)

    def _first(self, mark: Mark) -> set[str]:
        """The attack files that have banned since the mark, and never before. Each is asked about once, for that takes
        a walk through all bans."""
        new = set(self._state.banning(mark.ban)) - self._known
        first = {attack for attack in new if not self._state.has_banned(attack, mark.ban)}
        self._known |= new - first
        return first
