"""The lines of one group of a digest, found by the id that the digest shows.

Never: asks the daemon: the database is read beside it. Fails: with EdgeError where no kept line is of that group.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from .. import config
from ..digest import Shapes
from ..errors import EdgeError
from ..model import Entry, Outcome
from ..period import SHAPES
from ..state import Search

MOST = 10_000
"""Lines of a group that are held at once."""


@contextmanager
def search(config_file: str) -> Iterator[Search]:
    """The database of the daemon whose config this is."""
    with closing(Search(config.load(config_file).state)) as found:
        yield found


def lines_of(kept: Search, name: str) -> list[Entry]:
    """The lines of the group in the latest period that has any, oldest first, MOST at most. Raises EdgeError."""
    shapes = Shapes.load(kept.recall(SHAPES) or [])
    for period in kept.periods():
        lines = [
            (entry, shapes.learn(entry.program, entry.message, entry.time))
            for entry in kept.of_period(period)
            if entry.outcome is Outcome.UNEXPLAINED
        ]
        wanted = shapes.get(name)
        found = [entry for entry, shape in lines if wanted and shape.root.id == wanted.id]
        if found:
            return found[:MOST]
    raise EdgeError(f"no line that is kept is of a group {name!r}; a digest shows the ids of its groups")
