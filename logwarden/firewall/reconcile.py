"""SQLite is the truth and the kernel its mirror: find where they differ, and repair the kernel.

Due at start, each minute, and on demand. Repairs a destroyed or flushed set, a removed or reordered rule, an entry that
is missing, ends too early or too late, or that logwarden did not make. Renews entries whose ban outlasts the kernel's
longest timeout, which is no repair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import FirewallError
from ..model import Ban
from .protocol import Firewall

SLACK = 30.0
"""Seconds that a timeout may be off the end of its ban: both are rounded, and listing 100,000 entries takes seconds."""

RENEW = 0.5
"""A ban that outlasts the ceiling is renewed when its entry is below this share of it."""


@dataclass(frozen=True, slots=True)
class Repairs:
    """What was not as it should be, and now is. False where there was nothing; prints as a phrase."""

    structure: tuple[str, ...] = ()
    missing: int = 0
    wrong_end: int = 0
    foreign: int = 0

    def __bool__(self) -> bool:
        return bool(self.structure or self.missing or self.wrong_end or self.foreign)

    def __str__(self) -> str:
        counted = {
            "missing bans restored": self.missing,
            "bans with a wrong end corrected": self.wrong_end,
            "foreign entries removed": self.foreign,
        }
        return "; ".join([*self.structure, *(f"{count} {what}" for what, count in counted.items() if count)])


def reconcile(firewall: Firewall, wanted: Iterable[Ban], now: float, *, remove: bool = True) -> Repairs:
    """Make the kernel hold exactly the bans `wanted` that are not over at `now`. Raises FirewallError: of a rule that
    cannot be put into its chain, when all else is as it should be.

    Without `remove`, what else is in the kernel stays: SQLite does not know all of the truth yet.
    """
    structure: tuple[str, ...] = ()
    trouble: FirewallError | None = None
    try:
        structure = tuple(firewall.init())
    except FirewallError as error:
        trouble = error
    bans = {ban.prefix: ban for ban in wanted if ban.until > now}
    try:
        held = firewall.list(now)
    except FirewallError as error:
        raise trouble or error from None
    missing = [ban for prefix, ban in bans.items() if prefix not in held]
    wrong: list[Ban] = []
    renewed: list[Ban] = []
    for prefix, left in held.items():
        ban = bans.get(prefix)
        if ban is None:
            continue
        if ban.until - now > firewall.ceiling:
            if left < firewall.ceiling * RENEW:
                renewed.append(ban)
        elif not math.isclose(left, ban.until - now, rel_tol=0, abs_tol=SLACK):
            # It may have been put there when the ceiling was less than it was to last.
            is_cut = left < ban.until - now and ban.until - ban.since > firewall.ceiling
            (renewed if is_cut else wrong).append(ban)
    foreign = [prefix for prefix in held if prefix not in bans] if remove else []
    if missing or wrong or renewed:
        firewall.apply([*missing, *wrong, *renewed], now)
    if foreign:
        firewall.lift(foreign)
    if trouble:
        raise trouble
    return Repairs(structure, len(missing), len(wrong), len(foreign))
