"""Words of a message with their obviously variable parts masked: numbers, amounts, addresses, paths, names of hosts,
dates, truth values, units of size.

Owns: what is variable at sight, whatever the program, and what is one word: `12 seconds` is one, an amount.
What only experience can tell (a user's name) is for `shapes`.
Never: looks at more than one word, or takes more than linear time.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Sequence

VARIABLE = "<*>"

LONGEST, MOST = 64, 100_000
"""Longest word, in characters, and most words whose masks are remembered."""

_PIECE = re.compile(
    r"""
      (?P<url> [A-Za-z][A-Za-z0-9+.-]{1,15}:// [^\s"'<>()\[\]{},;]+ )
    | (?P<mail> [\w.+%-]{1,100}@[\w-]+(?:\.[\w-]+)* )
    | (?P<colons> (?<![\w:.]) (?=[0-9A-Fa-f:]{0,60}[0-9])
                  [0-9A-Fa-f]{0,4} (?: :[0-9A-Fa-f]{0,4} ){2,} (?:\.[0-9]+)* (?:%\w+)? )
    | (?P<path> (?<![\w.)\]}]) (?: [A-Za-z]:\\ | / ) [^\s"'<>()\[\]{},;:]* )
    | (?P<run> [\w+~%-]+ (?: \.[\w+~%-]+ )* )
    """,
    re.VERBOSE,
)
"""URL, mail address, what is written with colons (IPv6, MAC, time), path, and any other run of letters and digits."""

_NUMBER = re.compile(r"""([(\["'<]?(?:[A-Za-z]+=)?)[0-9]+(?:\.[0-9]+)*([)\]"'>,;:]?)""")
"""The commonest variable words, so that they need no more than this."""
_LIST = re.compile(r"<\*>(?:[-:.,/_+#x~]{1,2}<\*>)+")
_KIND = re.compile(r"[A-Za-z]{2,}[_-](?=[^.]*\Z)")
"""What the name of a thing starts with where its number follows: `blk_`, `node-`, but not the names of a host."""
_DIGIT = re.compile(r"\d")
_DATES = {*calendar.day_name, *calendar.day_abbr, *calendar.month_name, *calendar.month_abbr, "AM", "PM", "UTC", "GMT"}
_TRUTH = {"true", "false", "True", "False", "TRUE", "FALSE"}
_UNITS = {f"{many}{unit}" for many in "kKMGT" for unit in ("B", "iB", "b", "bytes")}
"""What a size is counted in: the same message has 512 KB today and 3 MB tomorrow."""
_VALUES = _DATES | _TRUTH | _UNITS
_TIMES = ("ns", "us", "µs", "ms", "msec", "msecs", "s", "sec", "secs", "min", "mins", "hr", "hrs")
_LONG_TIMES = ("millisecond", "second", "minute", "hour", "day", "week")
_MEASURES = {
    *_UNITS,
    *_TIMES,
    *_LONG_TIMES,
    *(f"{each}s" for each in _LONG_TIMES),
    "B",
    "byte",
    "bytes",
    "%",
    "percent",
}
_ENDS = ("", ",", ".", ";", ":", ")", "),", ").", ");", "]", "],")
_MEASURE = {unit + end: end for unit in _MEASURES for end in _ENDS}
"""A word that is a unit, and what stands behind it there."""
_AMOUNT = re.compile(r"""([(\["'<~=+-]*(?:[A-Za-z]+=)?)([0-9]+(?:[.,][0-9]+)*)""")
"""A number that a unit may follow, and what stands before it."""


def split(message: str) -> list[str]:
    """The words of a message. A number and the unit behind it are one, with one space between."""
    words = message.split()
    for place in reversed(measures(words)):
        words[place - 1 : place + 1] = [f"{words[place - 1]} {words[place]}"]
    return words


def measures(words: Sequence[str]) -> list[int]:
    """The places of units that belong to the number before them."""
    if _MEASURE.keys().isdisjoint(words):
        return []
    return [place for place in range(1, len(words)) if words[place] in _MEASURE and _AMOUNT.fullmatch(words[place - 1])]


def mask(word: str) -> str:
    """`word` with each variable part as `<*>`: `rhost=192.0.2.1` is `rhost=<*>`. Linear in its length."""
    if amount := _amount(word):
        return f"{amount[0]}{VARIABLE}{amount[2]}"
    if found := _NUMBER.fullmatch(word):
        return f"{found[1]}{VARIABLE}{found[2]}"
    masked = _PIECE.sub(lambda found: _kind(found) + VARIABLE if _hidden(found) else found[0], word)
    return _LIST.sub(VARIABLE, masked) if masked.count(VARIABLE) > 1 else masked


def pieces(word: str) -> Iterator[tuple[str, bool]]:
    """`word` cut up into what is variable at sight and what is not, in order."""
    if amount := _amount(word):
        yield from zip(amount, (False, True, False), strict=True)
        return
    end = 0
    for found in filter(_hidden, _PIECE.finditer(word)):
        start = found.start() + len(_kind(found))
        yield word[end:start], False
        yield word[start : found.end()], True
        end = found.end()
    yield word[end:], False


def _amount(word: str) -> tuple[str, str, str] | None:
    """What stands before an amount, the amount, and what stands behind it; None for a word without a unit."""
    if word.isalnum() or len(parts := word.split(maxsplit=1)) < 2:
        return None
    number, end = _AMOUNT.fullmatch(parts[0]), _MEASURE.get(parts[1])
    if number is None or end is None:
        return None
    return number[1], word[len(number[1]) : len(word) - len(end)], end


def _hidden(found: re.Match[str]) -> bool:
    """Whether a piece is variable. A name of a host or a file is; a class (java.io.IOException) says what happened."""
    run = found["run"]
    if run is None or run in _VALUES or _DIGIT.search(run):
        return True
    return "." in run and (run.islower() or run.isupper())


def _kind(found: re.Match[str]) -> str:
    kind = _KIND.match(found["run"] or "")
    return kind[0] if kind else ""


class Masked(dict[str, str]):
    """Word -> its mask, worked out once. Forgets everything when it is full."""

    def __missing__(self, word: str) -> str:
        masked = mask(word)
        if len(word) <= LONGEST:
            if len(self) >= MOST:
                self.clear()
            self[word] = masked
        return masked
