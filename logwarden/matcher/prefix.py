r"""The header at the start of a logcheck rule, and the rest of the rule, which is what it has to say.

The database and its readers spell the header in many ways: `\w{3} [ :[:digit:]]{11}`, `[[:alpha:]]{3} [ :0-9]{11}`,
with `[0-9T:.+-]{32}` beside it or without, a host as `[._[:alnum:]-]+` or `[^ ]+`. So it is known by what it matches:
the start of a rule is a header if it matches headers of any time and host, and nothing that goes on.
"""

from __future__ import annotations

import functools

import regex

from .. import ere
from ..ere import Node
from ..ere.nodes import Assertion, At, Backref, Cat, Group, Literal, numbers

_HOSTS = (b"a", b"host2")
_STAMPS = (
    (b"Jan  1 00:00:00", b"Nov 22 17:45:59", b"Feb  3 09:18:27"),
    (b"2026-11-22T17:45:59.123456+01:00", b"1999-01-02T03:04:05.678901-11:30"),
)
_LONGEST = 12
"""Parts of a rule, on its top level, among which its header has to end."""


def rest(rule: Node) -> Node | None:
    """What follows the standard header at the start of `rule`; None where it starts with something else, or where what
    follows looks back at a part of the header."""
    parts = rule.parts if isinstance(rule, Cat) else ()
    if parts[:1] != (Assertion(At.LINE_START),):
        return None
    for index, part in enumerate(parts[1:_LONGEST], start=1):
        if not (isinstance(part, Literal) and part.text.startswith(b" ")):
            continue
        if _is_header(ere.emit(Cat((*parts[1:index], Literal(b" "))), "regex")):
            left = (Literal(part.text[1:]),) if len(part.text) > 1 else ()
            after = Cat((*left, *parts[index + 1 :]))
            looks_back = numbers(after, Backref) & numbers(Cat(parts[:index]), Group)
            return None if looks_back else after
    return None


@functools.lru_cache(maxsize=256)
def _is_header(text: bytes) -> bool:
    """Whether a regex matches all headers of one of the formats, and none with something behind it."""
    try:
        pattern = regex.compile(text, regex.MULTILINE)
        return any(all(_matches_header(pattern, stamp) for stamp in stamps) for stamps in _STAMPS)
    except (regex.error, TimeoutError):
        return False


def _matches_header(pattern: regex.Pattern[bytes], stamp: bytes) -> bool:
    headers = [b"%s %s " % (stamp, host) for host in _HOSTS]
    return all(pattern.fullmatch(header, timeout=0.1) for header in headers) and not any(
        pattern.fullmatch(header + more, timeout=0.1) for header in headers for more in (b"a ", b"a[1]: ", b" ")
    )
