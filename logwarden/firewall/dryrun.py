"""The backend that does everything but tell the kernel: for trying rules out, and for hosts without a firewall.

Owns: the bans as they would be in force, in memory, so that `list`, `lift` and reconcile behave as with a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ..model import Ban
from .protocol import Run, Settings, checked, command, seconds_left


class DryRun:
    """Remembers bans until they end."""

    ceiling = math.inf

    def __init__(self, settings: Settings | None = None, run: Run = command) -> None:  # noqa: ARG002 # as all are made
        self._until: dict[str, float] = {}

    def init(self) -> list[str]:
        """Nothing is ever missing."""
        return []

    def apply(self, bans: Iterable[Ban], now: float) -> None:
        """Remember each ban's end."""
        bans = list(bans)
        seconds_left(bans, now, 1.0)  # what another backend would refuse is refused here
        self._until.update((ban.prefix, ban.until) for ban in bans)

    def lift(self, prefixes: Iterable[str]) -> None:
        """Forget them."""
        for prefix in prefixes:
            self._until.pop(checked(prefix), None)

    def list(self, now: float) -> Mapping[str, float]:
        """What would be banned, and the seconds it has left; what is over is forgotten."""
        self._until = {prefix: until for prefix, until in self._until.items() if until > now}
        return {prefix: until - now for prefix, until in self._until.items()}

    def dropped(self) -> Mapping[str, int]:
        """Nothing was."""
        return {}

    def unhook(self) -> None:
        """There is no rule."""

    def fini(self) -> None:
        """Forget all."""
        self._until.clear()
