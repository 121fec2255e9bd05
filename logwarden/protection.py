"""Who must not be banned: the allowlist, what was allowed for a while, who is logged in or was lately.

Owns: the allowances that `logwarden allow` gives, the look-ups in the background, logins and sessions, and what of
these a restart must still know. Makes the Guard of them.
Never: lifts a ban: the daemon does where a new guard covers it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from . import address, watch
from .address import Address, Guard, Prefix
from .allowlist import Protected, Refresher
from .logins import Logins
from .model import AttackRule
from .rulewatch import RuleWatch
from .sessions import Sessions
from .settings import Config
from .state import State, Transaction

ALLOWANCES, LOGINS, NAMES, FILES = "allowances", "logins", "names", "files"
"""Where state remembers them."""


class Protection:
    """Satisfies the tracker's Known. `changed` hears, in a thread, of each look-up that found something new."""

    def __init__(self, settings: Config, changed: Callable[[Protected], None]) -> None:
        self._changed = changed
        self.allowances: dict[str, float] = {}
        self.protected = Protected()
        self.logins = Logins(settings.bans.known_for, settings.bans.ipv6_prefix)
        self.sessions = Sessions()
        self._begin(settings)

    def _begin(self, settings: Config) -> None:
        wanted = settings.bans.allowlist
        self.logins.known_for, self.logins.ipv6_length = settings.bans.known_for, settings.bans.ipv6_prefix
        self._refresher = Refresher(wanted, self._changed, self.protected)
        self._files = wanted.files
        self._edits: RuleWatch | None = None

    def load(self, settings: Config, state: State) -> None:
        """Take up what a former process knew. Raises StateError."""
        self.allowances = {str(text): float(until) for text, until in (state.recall(ALLOWANCES) or {}).items()}
        self.logins.load(state.recall(LOGINS))
        names, files = (
            {about: tuple(found) for about, found in (state.recall(key) or {}).items()} for key in (NAMES, FILES)
        )
        self.protected = Protected.now(settings.bans.allowlist, Protected(names=names, files=files))
        self._begin(settings)

    def start(self) -> None:
        """Begin to look up."""
        self._refresher.start()
        if self._files:
            self._edits = RuleWatch(self._files, self._refresher.refresh)
            self._edits.start()

    def stop(self) -> None:
        """End the threads."""
        self._refresher.stop()
        if self._edits:
            self._edits.stop()

    def adopt(self, settings: Config) -> None:
        """Another config is in force."""
        self.stop()
        self.protected = Protected.now(settings.bans.allowlist, self.protected)
        self._begin(settings)
        self.start()

    def guard(self, settings: Config) -> Guard:
        """Made anew after each change."""
        allowed = {*self.protected.allowed, *map(address.prefix, self.allowances)}
        return watch.guard(settings, replace(self.protected, allowed=frozenset(allowed)))

    def expire(self, now: float) -> bool:
        """Forget allowances that are over; whether there were any."""
        over = [text for text, until in self.allowances.items() if until <= now]
        for text in over:
            del self.allowances[text]
        return bool(over)

    def keep(self, tx: Transaction, now: float) -> None:
        """Remember what a restart must know."""
        tx.remember(ALLOWANCES, self.allowances)
        tx.remember(NAMES, dict(self.protected.names))
        tx.remember(FILES, dict(self.protected.files))
        if self.logins.changed:
            tx.remember(LOGINS, self.logins.dump(now))

    def shift(self, by: float) -> None:
        """The clock has jumped: an allowance keeps its length."""
        self.allowances = {text: until + by for text, until in self.allowances.items()}
        self.logins.shift(by)

    def as_same_user(self, source: Address, rule: AttackRule, message: str, now: float) -> str | None:
        """Whether the user whom a message is about has logged in from this address lately."""
        return self.logins.as_same_user(source, rule, message, now)

    def logged_in(self, network: Prefix, now: float) -> str | None:
        """Whether somebody who came from there is logged in, or has been lately where it is more than one address."""
        return self.sessions.of(network, now) or self.logins.within(network, now)

    def listed(self) -> list[dict[str, Any]]:
        """The allowances, for a person to see."""
        return [{"prefix": text, "until": until} for text, until in sorted(self.allowances.items())]
