"""Maintenance windows: by hand, by the config, and the boot of this host. What is said in them is set apart, not lost.

Owns: which windows there are. Those by hand and the boots are in state; those of the config are worked out.
Never: hides an attack or a violation, or keeps a ban from being made. Bounded: MOST windows of a digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from .errors import EdgeError
from .model import Notice, NoticeKind, Window
from .settings import Config
from .state import Questions, State

if TYPE_CHECKING:
    from .daemon import Daemon

BY_HAND = "maintenance"
"""Where state remembers windows."""
MOST = 100
LONGEST = 30 * 86_400.0
"""Seconds that a window by hand may last, and that one is remembered when it is over."""
BOOT = 180.0
"""Seconds from a boot on in which this host says what it says at each."""


def between(state: Questions, config: Config, since: float, until: float) -> list[Window]:
    """The windows that a digest of this time has to do with, those that began first first."""
    found = [*islice(_declared(config, since, until), MOST), *_kept(state)[-MOST:]]
    return sorted(each for each in found if each.until > since and each.since < until)


def _declared(config: Config, since: float, until: float) -> Iterator[Window]:
    for each in config.maintenance:
        start = each.at.next(since - each.length)
        while start < until:
            yield Window(start, start + each.length, each.title, each.host)
            start = each.at.next(start)


def _kept(state: Questions) -> list[Window]:
    return [Window(*each) for each in state.recall(BY_HAND) or ()]


def _keep(state: State, windows: list[Window], now: float) -> None:
    with state.transaction() as tx:
        tx.remember(BY_HAND, [each for each in windows if each.until > now - LONGEST][-MOST:])


def booted(daemon: Daemon, at: float, now: float) -> None:
    """This host was booted at that time: say so, and fold what it said then. Raises StateError."""
    _keep(daemon.state, [*_kept(daemon.state), Window(at, at + BOOT, "boot", daemon.watch.config.host, True)], now)
    text = "this host was booted; what it said in the first three minutes and no rule explains is folded below"
    daemon.note(Notice(NoticeKind.BOOT, "this host", text, at))


# --- by hand ------------------------------------------------------------------------------------------------


def begin(daemon: Daemon, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """From now on, for so many seconds; or `end` those that are in force."""
    now, windows = daemon.clock(), _kept(daemon.state)
    if arguments.get("end"):
        ended = [each for each in windows if each.until > now and not each.folded]
        if not ended:
            raise EdgeError("no maintenance by hand is under way")
        _keep(daemon.state, [each._replace(until=now) if each in ended else each for each in windows], now)
        return {"ended": [each.title for each in ended]}
    length = float(arguments["length"])
    if not 0 < length <= LONGEST:
        raise EdgeError("maintenance lasts longer than 0 and no longer than 30 days")
    made = Window(now, now + length, str(arguments["title"])[:200])
    _keep(daemon.state, [*windows, made], now)
    return made._asdict()


def windows(daemon: Daemon, _: Mapping[str, Any]) -> dict[str, Any]:
    """Those under way, and those of the config that begin within a week."""
    now = daemon.clock()
    found = between(daemon.state, daemon.watch.config, now, now + 7 * 86_400.0)
    return {"windows": [each._asdict() for each in found if not each.folded]}
