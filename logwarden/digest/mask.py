"""Words of a message with their obviously variable parts masked: numbers, addresses, paths, names of hosts, dates,
truth values, units of size.

Owns: what is variable at sight, whatever the program. What only experience can tell (a user's name) is for `shapes`.
Never: looks at more than one word, or takes more than linear time.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator

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


def mask(word: str) -> str:
    """`word` with each variable part as `<*>`: `rhost=192.0.2.1` is `rhost=<*>`. Linear in its length."""
    if found := _NUMBER.fullmatch(word):
        return f"{found[1]}{VARIABLE}{found[2]}"
    masked = _PIECE.sub(lambda found: _kind(found) + VARIABLE if _hidden(found) else found[0], word)
    return _LIST.sub(VARIABLE, masked) if masked.count(VARIABLE) > 1 else masked


def pieces(word: str) -> Iterator[tuple[str, bool]]:
    """`word` cut up into what is variable at sight and what is not, in order."""
    end = 0
    for found in filter(_hidden, _PIECE.finditer(word)):
        start = found.start() + len(_kind(found))
        yield word[end:start], False
        yield word[start : found.end()], True
        end = found.end()
    yield word[end:], False


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
