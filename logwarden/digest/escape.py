"""Text from a log, made fit to be read: nothing in it can move a cursor, reorder a line or end one.

Owns: what counts as printable, how the rest is shown, and how wide text is on a screen.
Never: escapes for HTML (the template engine does) or for mail headers (the email package does).
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len

COMBINING = 4
"""Combining marks in a row that are shown as they are: Vietnamese and polytonic Greek need two or three."""


def visible(text: str, limit: int | None = None) -> str:
    """`text` with all that is not printable as an escape: `\\x1b`, `\\u202e`; cut to `limit` characters, and saying so.

    Printable is what Unicode calls letters, marks, numbers, punctuation and symbols, and the space (str.isprintable):
    no control or format characters (bidi overrides, zero-width), no surrogates, no line separators, no other spaces.
    """
    more = "" if limit is None or len(text) <= limit else f" [{len(text) - limit:,} more characters]"
    text = text[:limit] if more else text
    if not text.isascii() or not text.isprintable():
        text = "".join(_letters(text))
    return text + more


def _letters(text: str) -> Iterator[str]:
    marks = 0
    for letter in text:
        marks = marks + 1 if cell_len(letter) == 0 else 0
        yield letter if letter.isprintable() and marks <= COMBINING else escape(letter)


def escape(letter: str) -> str:
    """One character in ASCII, as Python would write it in a string."""
    return letter.encode("unicode_escape").decode("ascii")


def clip(text: str, width: int) -> str:
    """`text` if it is at most `width` cells wide, else its head and an ellipsis."""
    return text if cell_len(text) <= width else text[: _fitting(text, width - 1)] + "…"


def wrap(text: str, width: int) -> list[str]:
    """Cut `text` into lines of at most `width` cells, at a space where one is near, which is left out."""
    lines = []
    while cell_len(text) > width:
        cut = _fitting(text, width)
        space = text.rfind(" ", cut // 2, cut + 1)
        lines.append(text[:space] if space > 0 else text[:cut])
        text = text[space + 1 :] if space > 0 else text[cut:]
    return [*lines, text]


def pad(text: str, width: int) -> str:
    """`text` with spaces behind it up to `width` cells."""
    return text + " " * (width - cell_len(text))


def _fitting(text: str, width: int) -> int:
    """How many characters of `text` fit in `width` cells; at least one."""
    used = 0
    for count, letter in enumerate(text[: 8 * width]):
        used += cell_len(letter)
        if used > width:
            return max(count, 1)
    return min(len(text), 8 * width)
