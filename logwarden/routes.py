"""Further digests, of some lines alone or of all, each to recipients of its own and on a schedule of its own.

Owns: when each route is due, and up to where it was told (in state): each line stands in one digest of a route. The
digest of everything knows nothing of routes.
Never: closes a period, or keeps a line for longer than `retention` does.
Fails: with StateError, and then the route is told the next time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .model import Message, Refusal
from .press import Press, Result
from .schedule import jitter
from .settings import Config, RouteConfig
from .state import Questions, State

if TYPE_CHECKING:
    from .digest import Rendered

MARKS = "routes"
"""Where state remembers of each route the latest line and ban that it was told of, when, and the period open then."""


class Routes:
    """The routes in force. `due` is when the next of them is: POSIX seconds, math.inf where there is none."""

    def __init__(self, state: State, press: Press) -> None:
        self._state = state
        self._press = press
        self._making: set[RouteConfig] = set()
        self._next: dict[RouteConfig, float] = {}
        self.dropped: Callable[[], Mapping[str, int]] = dict
        """As Mailing's."""

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
        new = _latest(self._state, now)
        marks = {key: _complete(known.get(key, new), new) for key in map(_key, config.digest.routes)}
        if marks != known:
            with self._state.transaction() as tx:
                tx.remember(MARKS, marks)

    def send(
        self, config: Config, refused: Sequence[Refusal], now: float, complain: Callable[[Rendered], object]
    ) -> None:
        """Have the digests of the routes made that are due, and post them. Raises StateError."""
        for route in [route for route, due in self._next.items() if now >= due]:
            self._next[route] = _next(config, route, now)
            if route not in self._making:
                self._making.add(route)
                self._send(config, route, refused, now, complain)

    def _send(
        self,
        config: Config,
        route: RouteConfig,
        refused: Sequence[Refusal],
        now: float,
        complain: Callable[[Rendered], object],
    ) -> None:
        dropped = self.dropped()

        def make(state: Questions) -> tuple[list[Any], Rendered | None, Message | None]:
            from . import digest, period  # a start makes no digest

            latest = _latest(state, now)
            entry, ban, since, opened = _complete((state.recall(MARKS) or {}).get(_key(route), latest), latest)
            attached = digest.Attached() if route.attach else None
            mark = entry, ban, since, opened
            rendered = period.of_route(state, config, route, refused, dropped, mark, now, attached)
            name = f"route.{latest[0]}.{latest[1]}.{int(now)}.{config.digest.routes.index(route)}"
            message = period.message(config, rendered, name, now, route, attached) if rendered else None
            return latest, rendered, message

        def done(result: Result, now: float) -> None:
            self._making.discard(route)
            latest, rendered, message = result()
            with self._state.transaction() as tx:
                tx.remember(MARKS, {**(self._state.recall(MARKS) or {}), _key(route): latest})
                if message:
                    tx.post(message, now)
            if rendered:
                complain(rendered)

        self._press.ask(make, done)


def _latest(state: Questions, now: float) -> list[Any]:
    (ban, entry), opened = state.latest(), state.period()
    return [entry, ban, now, opened[0] if opened else 0]


def _complete(mark: list[Any], latest: list[Any]) -> list[Any]:
    """A mark with its period: those of older versions have none, and begin with the one that is open."""
    return [*mark, *latest[len(mark) :]]


def _next(config: Config, route: RouteConfig, now: float) -> float:
    late = jitter(config.host, config.digest.jitter)
    return route.schedule.next(now - late) + late


def _key(route: RouteConfig) -> str:
    """What makes it the same route, whenever it is told."""
    return json.dumps([route.to, route.host, route.program, route.severity])
