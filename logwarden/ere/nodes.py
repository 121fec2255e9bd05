"""The syntax tree of a rule: frozen nodes over bytes.

Owns: what a rule can consist of, and what can be said of a tree without an engine (its size, whether it matches
the empty line). A newline is in no node, so that nothing here can match across lines.
Never: knows how a rule is written (`parser`) or what an engine calls things (`emission`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

NEWLINE = 1 << 0x0A
ANY = (1 << 256) - 1 & ~NEWLINE
"""The mask of every byte but newline: what '.' means."""


def mask(members: bytes) -> int:
    """The set of these bytes as an integer whose bit N says that byte N is in it; never with newline."""
    bits = 0
    for byte in members:
        bits |= 1 << byte
    return bits & ~NEWLINE


_DIGIT, _LOWER, _UPPER = b"0123456789", bytes(range(0x61, 0x7B)), bytes(range(0x41, 0x5B))
_PRINT = bytes(range(0x20, 0x7F))

CLASSES = {
    name: mask(members)
    for name, members in {
        b"alnum": _DIGIT + _LOWER + _UPPER,
        b"alpha": _LOWER + _UPPER,
        b"blank": b" \t",
        b"cntrl": bytes(range(0x20)) + b"\x7f",
        b"digit": _DIGIT,
        b"graph": _PRINT[1:],
        b"lower": _LOWER,
        b"print": _PRINT,
        b"punct": bytes(byte for byte in _PRINT[1:] if byte not in _DIGIT + _LOWER + _UPPER),
        b"space": b" \t\n\v\f\r",
        b"upper": _UPPER,
        b"xdigit": _DIGIT + b"abcdefABCDEF",
    }.items()
}
"""POSIX character classes in the C locale."""

WORD = CLASSES[b"alnum"] | mask(b"_")


class At(enum.Enum):
    """A place in a line, as GNU grep sees it; `\\`` and `\\'` are the line's ends too."""

    LINE_START = "^"
    LINE_END = "$"
    WORD_START = "\\<"
    WORD_END = "\\>"
    BOUNDARY = "\\b"
    NO_BOUNDARY = "\\B"


@dataclass(frozen=True, slots=True)
class Literal:
    """These bytes, one after the other; at least one."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Set:
    """One byte of a set; `mask(...)` explains `bits`. The empty set matches nothing."""

    bits: int


@dataclass(frozen=True, slots=True)
class Cat:
    """One after the other. Without parts: the empty text."""

    parts: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Alt:
    """Any one of them."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`node`, `low` to `high` times; `high` None: any number."""

    node: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """A parenthesis, 1-based, as a backreference counts them."""

    number: int
    node: Node


@dataclass(frozen=True, slots=True)
class Backref:
    """What group `number` matched last."""

    number: int


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place, no text."""

    at: At


@dataclass(frozen=True, slots=True)
class Capture:
    """A placeholder whose text the matcher wants to have: <ADDR> and <HOST> of an attack rule."""

    name: str
    node: Node


Node: TypeAlias = Literal | Set | Cat | Alt | Repeat | Group | Backref | Assertion | Capture

EMPTY = Cat()


def can_match_empty(node: Node) -> bool:
    """Whether the rule matches a line without a byte (and so, searched for in a line, may match every line)."""
    match node:
        case Literal() | Set():
            return False
        case Cat(parts):
            return all(map(can_match_empty, parts))
        case Alt(branches):
            return any(map(can_match_empty, branches))
        case Repeat(inner, low, _):
            return low == 0 or can_match_empty(inner)
        case Group(_, inner) | Capture(_, inner):
            return can_match_empty(inner)
        case Backref():
            return True  # if its group can, and where that one cannot, the rule is not empty anyway
        case Assertion(at):
            return at in {At.LINE_START, At.LINE_END, At.NO_BOUNDARY}


def size(node: Node) -> int:
    """How many bytes and places an automaton has to tell apart, repetitions written out."""
    match node:
        case Literal(text):
            return len(text)
        case Cat(items) | Alt(items):
            return sum(map(size, items))
        case Repeat(inner, low, high):
            return max(1, size(inner)) * max(1, low if high is None else high)
        case Group(_, inner) | Capture(_, inner):
            return size(inner)
        case _:
            return 1


def repetitions(node: Node) -> int:
    """How many repetitions a tree holds."""
    return sum(isinstance(each, Repeat) for each in walk(node))


def nesting(node: Node) -> int:
    """How many repetitions stand within one another."""
    match node:
        case Cat(items) | Alt(items):
            return max(map(nesting, items), default=0)
        case Repeat(inner, _, _):
            return 1 + nesting(inner)
        case Group(_, inner) | Capture(_, inner):
            return nesting(inner)
    return 0


def height(node: Node) -> int:
    """How many nodes stand within one another. The one walk that does not recurse: it says whether others may."""
    level, below = [node], 0
    while level:
        below += 1
        level = [child for each in level for child in _children(each)]
    return below


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Cat(items) | Alt(items):
            return items
        case Repeat(inner, _, _) | Group(_, inner) | Capture(_, inner):
            return (inner,)
    return ()


def walk(node: Node) -> Iterator[Node]:
    """All nodes of a tree, in no order."""
    left = [node]
    while left:
        each = left.pop()
        left += _children(each)
        yield each


def numbers(node: Node, kind: type[Group] | type[Backref]) -> frozenset[int]:
    """The numbers of all groups, or of all backreferences, in a tree."""
    return frozenset(each.number for each in walk(node) if isinstance(each, Group | Backref) and isinstance(each, kind))


def required_text(node: Node) -> bytes:
    """The longest text that stands, as it is, in every line that `node` matches; empty where there is none."""
    return max(required_texts(node), key=len, default=b"")


def required_texts(node: Node) -> Iterator[bytes]:
    """The texts that stand, as they are, in every line that `node` matches."""
    match node:
        case Literal(text):
            yield text
        case Cat(parts):
            for part in parts:
                yield from required_texts(part)
        case Repeat(inner, low, _) if low:
            yield from required_texts(inner)
        case Group(_, inner) | Capture(_, inner):
            yield from required_texts(inner)


def always_consumes(node: Node) -> bool:
    """Whether every match of `node` holds at least one byte."""
    match node:
        case Literal() | Set():
            return True
        case Cat(parts):
            return any(map(always_consumes, parts))
        case Alt(branches):
            return all(map(always_consumes, branches))
        case Repeat(inner, low, _):
            return low > 0 and always_consumes(inner)
        case Group(_, inner) | Capture(_, inner):
            return always_consumes(inner)
    return False


def possible(node: Node, *, behind: bool = False, ahead: bool = False) -> Node | None:
    """`node` without what can never match, such as `a^b`; None where nothing is left.

    `behind`, `ahead`: whether bytes of the same line always stand before and after it, so that it cannot begin
    or end the line.
    """
    match node:
        case Assertion(at):
            return None if (behind and at is At.LINE_START) or (ahead and at is At.LINE_END) else node
        case Set(bits):
            return node if bits else None
        case Alt(branches):
            left = [found for each in branches if (found := possible(each, behind=behind, ahead=ahead)) is not None]
            return Alt(tuple(left)) if left else None
        case Cat(parts):
            return _possible_parts(parts, behind, ahead)
        case Repeat(inner, low, high):
            found = possible(inner, behind=behind, ahead=ahead)
            return Repeat(found, low, high) if found is not None else None if low else EMPTY
        case Group(number, inner):
            found = possible(inner, behind=behind, ahead=ahead)
            return None if found is None else Group(number, found)
        case Capture(name, inner):
            found = possible(inner, behind=behind, ahead=ahead)
            return None if found is None else Capture(name, found)
    return node


def _possible_parts(parts: tuple[Node, ...], behind: bool, ahead: bool) -> Node | None:
    consuming = [index for index, part in enumerate(parts) if always_consumes(part)] or [len(parts), -1]
    left: list[Node] = []
    for index, part in enumerate(parts):
        found = possible(part, behind=behind or index > consuming[0], ahead=ahead or index < consuming[-1])
        if found is None:
            return None
        left.append(found)
    return Cat(tuple(left))
