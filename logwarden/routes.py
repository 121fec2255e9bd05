"""Digests of some lines alone, each to recipients of its own and on a schedule of its own.

Owns: when each route is due, and up to where it was told (in state): each line stands in one digest of a route. The
digest of everything knows nothing of routes.
Never: closes a period, or keeps a line for longer than `retention` does.
Fails: with StateError, and then the route is told the next time.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from .config import Config, RouteConfig
from .schedule import jitter
from .state import State

if TYPE_CHECKING:
    from .digest import Rendered

MARKS = "routes"
"""Where state remembers of each route the latest line and ban that it was told of, and when."""


class Routes:
    """The routes in force. `due` is when the next of them is: POSIX seconds, math.inf where there is none."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._next: dict[RouteConfig, float] = {}

    @property
    def due(self) -> float:
        """When the next route is due."""
        return min(self._next.values(), default=math.inf)

    def plan(self, config: Config, now: float) -> None:
        """Take up the routes of a config. One that is new begins here; of one that is gone nothing is remembered.

        Raises StateError.
        """
        self._next = {route: _next(config, route, now) for route in config.digest.routes}
        known = self._state.recall(MARKS) or {}
        entry, ban = self._latest()
        marks = {key: known.get(key, [entry, ban, now]) for key in map(_key, config.digest.routes)}
        if marks != known:
            with self._state.transaction() as tx:
                tx.remember(MARKS, marks)

    def send(self, config: Config, now: float) -> list[Rendered]:
        """Post the digests of the routes that are due. Raises StateError."""
        from . import digest, period  # a start makes no digest

        sent = []
        for route in [route for route, due in self._next.items() if now >= due]:
            self._next[route] = _next(config, route, now)
            marks = self._state.recall(MARKS) or {}
            latest = [*self._latest(), now]
            mark = marks.get(_key(route), latest)
            attached = digest.Attached() if route.attach else None
            rendered = period.of_route(self._state, config, route, tuple(mark), now, attached)
            with self._state.transaction() as tx:
                tx.remember(MARKS, {**marks, _key(route): latest})
                if rendered:
                    name = f"route.{latest[0]}.{latest[1]}.{int(now)}.{config.digest.routes.index(route)}"
                    tx.post(period.message(config, rendered, name, now, route, attached), now)
            sent += [rendered] if rendered else []
        return sent

    def _latest(self) -> tuple[int, int]:
        ban, entry = self._state.latest()
        return entry, ban


def _next(config: Config, route: RouteConfig, now: float) -> float:
    late = jitter(config.host, config.digest.jitter)
    return route.schedule.next(now - late) + late


def _key(route: RouteConfig) -> str:
    """What makes it the same route, whenever it is told."""
    return json.dumps([route.to, route.host, route.program, route.severity])
