"""Lines of one group -> the ignore rule that would hide them, for a person to read before it is put in force.

Owns: which places vary, and the narrowest placeholder for what stands there. Never: writes a rule anywhere.
Fails: returns None where no rule of this kind matches every line it was made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import regex

from .. import ere
from ..model import Dialect
from .mask import pieces

ENOUGH = 5
"""Lines after which a number that is always the same is part of the message."""
TIMEOUT = 0.1
"""Seconds that a suggested rule may take for one line."""
NARROW = ("NUM", "UUID", "ADDR", "HEX", "PATH", "WORD")
"""Placeholders that are tried for what varies, the narrowest first."""

_SPECIAL = re.compile(r"[\\^$.|?*+()\[{]")
_SPACE = re.compile(r"(\s+)")


def suggest(program: str, messages: Sequence[str]) -> str | None:
    """`programs: regex` for these messages of a program, which are of one group."""
    rows = [_SPACE.split(message.strip(" ")) for message in dict.fromkeys(messages)]
    if not rows or len({len(row) for row in rows}) != 1:
        return None
    columns = list(zip(*rows, strict=True))
    for place in (_narrow, _wide):
        text = "".join(place(column, len(messages)) for column in columns)
        if all(map(matcher(text), messages)):
            return f"{program or '*'}: {text}"
    return None


def matcher(text: str) -> Callable[[str], bool]:
    """What says whether the regex of an ignore rule matches a whole message."""
    tree = ere.parse(text.encode(), Dialect.IGNORE)
    pattern = regex.compile(rb"(?:%s)" % ere.emit(tree, "regex"), regex.VERSION1 | regex.MULTILINE)

    def matches(message: str) -> bool:
        try:
            return pattern.fullmatch(message.encode("utf-8", "surrogatepass"), timeout=TIMEOUT) is not None
        except TimeoutError:
            return False

    return matches


def _narrow(column: Sequence[str], lines: int) -> str:
    """A word, or the space between two, as a rule writes it: of its variable pieces each by itself."""
    if column[0].isspace():
        return _wide(column, lines)
    if len(set(column)) == 1 and lines >= ENOUGH:
        return _literal(column[0])
    cut = [list(pieces(word)) for word in column]
    frames = {tuple("" if variable else text for text, variable in each) for each in cut}
    if len(frames) != 1:
        return "<WORD>"
    parts = zip(*cut, strict=True)
    return "".join(_placeholder([text for text, _ in part]) if part[0][1] else _literal(part[0][0]) for part in parts)


def _wide(column: Sequence[str], lines: int) -> str:  # noqa: ARG001 - as _narrow
    if all(text.isspace() for text in column):
        return _literal(column[0]) if len(set(column)) == 1 and column[0].strip(" ") == "" else "[[:space:]]+"
    return _literal(column[0]) if len(set(column)) == 1 else "<WORD>"


def _placeholder(texts: Sequence[str]) -> str:
    return next(f"<{name}>" for name in NARROW if name == "WORD" or all(map(matcher(f"<{name}>"), texts)))


def _literal(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text).replace("<", "[<]")  # \\< would be the start of a word
