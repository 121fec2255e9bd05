"""`fields` of an attack rule -> the regular expression of a JSON object that has them, in any order.

    remoteAddr: '<ADDR>'                 {"level":2,"remoteAddr":"203.0.113.9","message":"Login failed: alice"}
    message: 'Login failed: .*'
    request.remote_ip: '<ADDR>'          a path: {"request":{"remote_ip":"203.0.113.9"}}

Owns: that what a pattern matches stays within its value: JSON writes no quotation mark of a stranger's as it is, and so
nobody but the daemon ends a value or begins a key. Other members may hold anything, objects within objects to a depth
of DEPTH; a line that is no such object matches nothing.
Fails: with RuleError for what cannot be written so.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping

from ..errors import RuleError

DEPTH = 3
"""Objects within one another, in a member that no field asks for."""
MOST = 3
"""Fields in one object: each order of them is written out."""

_TEXT = r'([^"\\]|\\.)*'
_STRING = f'"{_TEXT}"'
_PLACEHOLDERS = {"<USER>": _TEXT, "<TEXT>": _TEXT, "<WORD>": r'[^[:space:]"\\]+', "<PATH>": r'/[^[:space:]"\\]*'}
_TOKENS = re.compile(r'\\\\"|\\.|\[\^?\]?(\[:[a-z]+:\]|[^]])*\]|<[A-Z]+>|\.|[^\\]', re.DOTALL)
_BARE = re.compile(r"[0-9a-z?|()\[\]-]+")
"""A pattern of numbers, or of true, false and null."""
_SPECIAL, _ESCAPED = re.compile(r"([][\\.*+?^${}()|])"), r"\\\1"


def regex(fields: Mapping[str, str]) -> str:
    """An ERE for the whole message. `fields` maps paths, dots between their keys, to patterns of whole values."""
    return rf"(@cee: ?)?{_object(_tree(fields))} *"


def _tree(fields: Mapping[str, str]) -> dict[str, object]:
    """The fields by their first key, and so on."""
    tree: dict[str, object] = {}
    for path, pattern in fields.items():
        *keys, last = path.split(".")
        at = tree
        for key in keys:
            found = at.setdefault(key, {})
            if not isinstance(found, dict):
                raise RuleError(f"fields: {path} lies within another one of them")
            at = found
        if last in at:
            raise RuleError(f"fields: another one of them lies within {path}")
        at[last] = pattern
    return tree


def _object(tree: Mapping[str, object]) -> str:
    if len(tree) > MOST:
        raise RuleError(f"fields: {MOST} in one object are the most")
    members = [rf'"{_SPECIAL.sub(_ESCAPED, key)}" *: *{_value(given)} *' for key, given in tree.items()]
    orders = (rf",{_OTHERS}".join(order) for order in itertools.permutations(members))
    return rf"\{{{_OTHERS}({'|'.join(orders)})(,{_OTHERS})?\}}"


def _value(given: object) -> str:
    if isinstance(given, dict):
        return _object(given)
    text = within(str(given))
    return rf'("?({text})"?)' if _BARE.fullmatch(str(given)) else rf'"({text})"'


def within(pattern: str) -> str:
    """An ERE for what such a value holds between its quotation marks. Raises RuleError."""
    return "".join(_within(pattern))


def _within(pattern: str) -> Iterator[str]:
    """The pattern with each part that could go beyond the end of a string held back."""
    for found in _TOKENS.finditer(pattern):
        part = found[0]
        if part == ".":
            yield r'([^"\\]|\\.)'
        elif part == '"':
            raise RuleError(r'fields: a quotation mark in a value is written \\" (JSON escapes it)')
        elif part.startswith("[^"):
            closing = "]" * part.startswith("[^]")  # which has to stand first
            others = rf'[^{closing}"\{part[2 + len(closing) :]}'
            yield others if "\\" in part else rf"({others}|\\.)"
        elif part[0] in "[\\" and _goes_beyond(part):
            raise RuleError(
                f"fields: {part} may be a quotation mark or a backslash, and so go beyond the end of a value"
            )
        else:
            yield _PLACEHOLDERS.get(part, part)


def _goes_beyond(part: str) -> bool:
    """Whether a set, or what is short for one, holds a mark that ends a string, or one that keeps it from doing so."""
    from .. import ere  # as of most rules none is parsed again
    from ..ere.nodes import Set, mask, walk

    nodes = walk(ere.parse(part.encode(), ere.Dialect.ATTACK))
    return any(isinstance(node, Set) and node.bits & mask(b'"\\') for node in nodes)


def _nested(depth: int) -> str:
    inner = rf"|{_nested(depth - 1)}" if depth > 1 else ""
    return rf'\{{({_STRING}|[^"{{}}]{inner})*\}}'


_OTHERS = rf'({_STRING}|[^"{{}}]|{_nested(DEPTH)})*'
"""Members that no field asks for. A string behind which a colon stands is a key, and no string is in two."""
