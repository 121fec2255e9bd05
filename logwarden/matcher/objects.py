r"""The source that a JSON object names in a member, for a rule that asks for its fields: to read the object takes a
hundredth of what the rule's regex takes, which goes through all of it again and again. Who sends a thousand headers,
each a member of what his web server logs, would have the rule suspended.

Never: guesses. An object with two members of one name is the regex's to read, and so is a member that is no text or
that the field's own pattern does not match in time. That sees the value as it is written, escapes and all, as the regex
does: `1\u0030.0.2.1` is no address.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import regex

from .. import ere
from ..errors import RuleError
from ..rules import fields

Fields = tuple[tuple[str, str], ...]

TIMEOUT = 0.005
"""Seconds that the field's pattern may take, as it takes to read a large object; longer than that is for the rule's own
regex, which is suspended where it is slow."""

_BACKSLASH, _QUOTE = "\u0100\u0101"
"""What stands for them while an object is read, as no byte does: so there is no escape in it for JSON to undo, and each
string ends where it did."""


def sources(asked: Fields, messages: Sequence[bytes]) -> Sequence[bytes | None]:
    """`source` of each."""
    return [source(asked, message) for message in messages]


def source(asked: Fields, message: bytes) -> bytes | None:
    """What stands in a message, which a rule with these fields matches, where one of them has its <ADDR> or <HOST>."""
    path, pattern = _capturing(asked)
    if pattern is None:
        return None
    try:
        found = json.loads(_without_escapes(message[message.index(b"{") :]), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, str):
        return None
    try:
        matched = pattern.fullmatch(_as_written(found), timeout=TIMEOUT, concurrent=False)
    except TimeoutError:
        return None
    return matched["addr"] if matched else None


def _without_escapes(written: bytes) -> str:
    text = written.decode("latin-1")  # a character for each byte, be it UTF-8 or not
    text = text.replace(r"\\", _BACKSLASH * 2).replace(r"\"", _BACKSLASH + _QUOTE)
    return text.replace("\\", _BACKSLASH)


def _as_written(text: str) -> bytes:
    return text.replace(_QUOTE, '"').replace(_BACKSLASH, "\\").encode("latin-1")


def _once(members: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
    """Raises ValueError where a name stands twice."""
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("two members of one name")
    return found


@functools.lru_cache(maxsize=256)
def _capturing(asked: Fields) -> tuple[Sequence[str], regex.Pattern[bytes] | None]:
    """The path of the field that names a source, and what finds it in its value; None where not just one does."""
    found = [(path, pattern) for path, pattern in asked if "<ADDR>" in pattern or "<HOST>" in pattern]
    if len(found) != 1:
        return (), None
    ((path, pattern),) = found
    try:
        tree = ere.parse(fields.within(pattern).encode(), ere.Dialect.ATTACK)
        compiled = regex.compile(ere.emit(tree, "capture"), regex.MULTILINE)
    except (RuleError, regex.error):
        return (), None
    return path.encode().decode("latin-1").split("."), compiled if "addr" in compiled.groupindex else None
