"""Where a journal is read on: sd-journal's cursor of an entry, and what of it finds the entry in its sequence, a place.

Owns: both formats, and that of a cursor that is made of many places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

CURSOR = re.compile(r"s=(?P<sequence>\w+);i=(?P<number>[0-9a-f]+);(?:.*;)?t=(?P<time>[0-9a-f]+)")
"""What a cursor of sd-journal says of its entry: who numbered it, its number, its time in microseconds."""
ENDED = ";e=1"
"""Behind the place of a sequence that is read to its end and not written to any more."""
_PLACE = re.compile(rf"s=[0-9a-f]{{32}};i=[0-9a-f]+;t=[0-9a-f]+({ENDED})?")


def short(cursor: str) -> str:
    """As much of a cursor as finds the entry in its sequence, and tells its time; "" where it is none."""
    found = CURSOR.match(cursor)
    return "s={sequence};i={number};t={time}".format(**found.groupdict()) if found else ""


def sequence_of(place: str) -> str:
    """The sequence."""
    return place[2:].partition(";")[0]


def place_of(place: str) -> tuple[int, int]:
    """The number in its sequence and the time in microseconds; zeros where there is no place."""
    found = CURSOR.match(place)
    return (int(found["number"], 16), int(found["time"], 16)) if found else (0, 0)


def dump(places: Iterable[str]) -> str:
    """The places as one cursor."""
    return json.dumps(list(places), separators=(",", ":"))


def load(cursor: str) -> list[str] | None:
    """The places of a cursor; "" is none yet. None: it is another's, or damaged."""
    try:
        places = json.loads(cursor or "[]")
    except ValueError:
        return None
    valid = isinstance(places, list) and all(isinstance(each, str) and _PLACE.fullmatch(each) for each in places)
    return places if valid else None
