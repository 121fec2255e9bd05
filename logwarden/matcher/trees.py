"""A rule's tree, changed so that it can stand inside a pattern for whole lines in a block.

Owns: what becomes of '^' and '$' in a rule that is no longer a pattern by itself, and the loosening of what Hyperscan
cannot take. Fails with UnsupportedError where a tree has no such equivalent.
"""

from __future__ import annotations

from ..ere import Node, UnsupportedError, can_match_empty
from ..ere.nodes import ANY, EMPTY, Alt, Assertion, At, Backref, Capture, Cat, Group, Literal, Repeat, Set, size, walk

NEVER = Set(0)
_START, _END = Assertion(At.LINE_START), Assertion(At.LINE_END)
_REST_OF_LINE = Cat((Repeat(Set(ANY), 0, None), _END))


def without_start(node: Node, *, at_start: bool) -> Node:
    """`node` where it does not stand at the start of a line any more. `at_start`: as if it did, so that a '^' there
    holds; else none does. Raises UnsupportedError where a '^' may or may not stand at the start."""
    match node:
        case Assertion(At.LINE_START):
            return EMPTY if at_start else NEVER
        case Cat(parts):
            return _cat(parts, at_start=at_start)
        case Alt(branches):
            left = tuple(each for branch in branches if (each := without_start(branch, at_start=at_start)) != NEVER)
            return Alt(left) if len(left) > 1 else left[0] if left else NEVER
        case Group(number, inner):
            inner = without_start(inner, at_start=at_start)
            return NEVER if inner == NEVER else Group(number, inner)
        case Capture(name, inner):
            return Capture(name, without_start(inner, at_start=at_start))
        case Repeat(inner, low, high):
            return _repeat(inner, low, high, at_start=at_start)
    return node


def _cat(parts: tuple[Node, ...], *, at_start: bool) -> Node:
    found: list[Node] = []
    may_be_start = at_start
    for part in parts:
        if may_be_start and not at_start and _has_start(part):
            raise UnsupportedError("a '^' that may or may not stand at the start")
        changed = without_start(part, at_start=at_start)
        if changed == NEVER:
            return NEVER
        found.append(changed)
        at_start = at_start and _takes_nothing(part)
        may_be_start = may_be_start and can_match_empty(part)
    return Cat(tuple(found))


def _repeat(inner: Node, low: int, high: int | None, *, at_start: bool) -> Node:
    if at_start and _has_start(inner) and not _takes_nothing(inner):
        raise UnsupportedError("a repeated '^'")
    changed = without_start(inner, at_start=at_start)
    if changed == NEVER:
        return EMPTY if low == 0 else NEVER
    return Repeat(changed, low, high)


def _has_start(node: Node) -> bool:
    return any(each == _START for each in walk(node))


def _takes_nothing(node: Node) -> bool:
    """Whether every text that `node` matches is empty."""
    match node:
        case Cat(items) | Alt(items):
            return all(map(_takes_nothing, items))
        case Repeat(inner, _, _) | Group(_, inner) | Capture(_, inner):
            return _takes_nothing(inner)
    return isinstance(node, Assertion)


def to_line_end(node: Node) -> Node:
    """`node` and whatever follows in the line, so that every match ends where the line does."""
    match node:
        case Cat(parts) if parts:
            return Cat((*parts[:-1], to_line_end(parts[-1])))
        case Alt(branches):
            return Alt(tuple(map(to_line_end, branches)))
        case Group(number, inner):
            return Group(number, to_line_end(inner))
        case Assertion(At.LINE_END):
            return node
    return Cat((node, _REST_OF_LINE))


_MANY = 64


def loosened(node: Node) -> Node:
    """A tree that matches all that `node` matches, and more: without assertions and backreferences, and without
    repetitions of more than _MANY bytes that count."""
    groups: dict[int, Node] = {}
    return _loosened(node, groups)


def _loosened(node: Node, groups: dict[int, Node]) -> Node:
    match node:
        case Assertion():
            return EMPTY
        case Backref(number):
            return groups.get(number, EMPTY)
        case Cat(parts):
            return Cat(tuple(_loosened(part, groups) for part in parts))
        case Alt(branches):
            return Alt(tuple(_loosened(branch, groups) for branch in branches))
        case Repeat(inner, low, high):
            if size(node) > _MANY:
                low, high = min(low, 1), None
            return Repeat(_loosened(inner, groups), low, high)
        case Group(number, inner):
            groups[number] = Group(number, _loosened(inner, groups))
            return groups[number]
        case Capture(_, inner):
            return _loosened(inner, groups)
        case Literal() | Set():
            return node
