"""Lengths of time as people write them in config and rules: `90s`, `10m`, `1h`, `7d`, `4w`.

Fails with a ValueError that says what was expected.
"""

from __future__ import annotations

import re

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
LONGEST = 36_525 * 86_400
"""A hundred years: what ends later has no date that anything could print."""
_WRITTEN = re.compile(r"([0-9]{1,10})([smhdw])")


def parse(text: str) -> float:
    """`text` in seconds."""
    found = _WRITTEN.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no length of time such as 90s, 10m, 1h or 7d")
    seconds = int(found[1]) * UNITS[found[2]]
    if seconds > LONGEST:
        raise ValueError(f"{text!r} is longer than 100 years")
    return float(seconds)


def format(seconds: float) -> str:  # noqa: A001 - `duration.format` is what a caller reads
    """`seconds`, rounded to whole ones, in the largest unit that holds them exactly (days at most)."""
    whole = round(seconds)
    unit = next(unit for unit in "dhms" if whole % UNITS[unit] == 0) if whole else "s"
    return f"{whole // UNITS[unit]}{unit}"
