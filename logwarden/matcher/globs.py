"""Program names and globs (`postfix/*`, `php[78]*-fpm`) as trees over the bytes that a tag can hold.

Source: Python's `fnmatch`, with which case counts; '?' is one byte of UTF-8. A '[' without its ']' is a character.
"""

from __future__ import annotations

import functools
import re

from .. import ere, header
from ..ere.nodes import Alt, Cat, Literal, Node, Repeat, Set
from ..errors import RuleError

TAG = sum(1 << byte for byte in range(256) if re.fullmatch(header.PROGRAM, bytes([byte])))
"""The bytes of a program's name, as a mask of `ere`."""

_TOKEN = re.compile(rb"(?s)(\*+)|(\?)|\[(!?)(\]?[^\]]*)\]|(.)")
_RANGE = re.compile(rb"(?s)(.)-(.)|(.)")


def is_glob(name: str) -> bool:
    """Whether `name` may mean other programs than the one called so."""
    return any(character in name for character in "*?[")


@functools.lru_cache(maxsize=1024)
def fragment(globs: tuple[str, ...]) -> bytes:
    """A regex, for any engine, of the programs that these names and globs mean. Raises RuleError if there are none."""
    return ere.emit(Alt(tuple(_trees(globs))), "hyperscan")


@functools.lru_cache(maxsize=1024)
def linear(globs: tuple[str, ...]) -> bytes:
    """The same for Python's `re`, which has no timeout: it takes time in proportion to the program's length, for what
    stands between two stars is looked for once, and taken where it is first. Raises RuleError if there are none."""
    return b"|".join(_linear(tree) for tree in _trees(globs))


def _linear(tree: Cat) -> bytes:
    pieces: list[list[Node]] = [[]]
    for part in tree.parts:
        if isinstance(part, Repeat):
            pieces.append([])
        else:
            pieces[-1].append(part)
    star = ere.emit(Set(TAG), "hyperscan") + b"*"
    first, *others = [ere.emit(Cat(tuple(piece)), "hyperscan") for piece in pieces]
    middle = [b"(?>%s?%s)" % (star, piece) for piece in others[:-1]]
    last = [star + piece for piece in others[-1:]]
    return b"".join((first, *middle, *last))


def _trees(globs: tuple[str, ...]) -> list[Cat]:
    trees = [tree for glob in globs if (tree := _tree(glob.encode("utf-8", "surrogateescape"))) is not None]
    if not trees:
        raise RuleError(f"no program can be called {', '.join(globs)}")
    return trees


def _tree(glob: bytes) -> Cat | None:
    """None where no tag can be meant."""
    parts: list[Node] = []
    for star, question, inverted, members, character in _TOKEN.findall(glob):
        if star:
            parts.append(Repeat(Set(TAG), 0, None))
        elif question:
            parts.append(Set(TAG))
        elif character:
            parts.append(Literal(character))
        else:
            bits = _members(members)
            parts.append(Set((TAG & ~bits) if inverted else (TAG & bits)))
    impossible = any(part == Set(0) or (isinstance(part, Literal) and not TAG >> part.text[0] & 1) for part in parts)
    return None if impossible or not parts else Cat(tuple(parts))


def _members(text: bytes) -> int:
    bits = 0
    for low, high, single in _RANGE.findall(text):
        bits |= 1 << single[0] if single else (1 << high[0] + 1) - (1 << low[0]) if low <= high else 0
    return bits
