"""The address that an attack's message names, where no regex has to be asked which of several it is.

Most messages hold one IPv4 address. If the rule that matched lets nothing that belongs to an address stand beside its
<ADDR>, then what it captures is a whole address of the message: the only one.

Never: guesses. A message with two addresses, or one that might hold an IPv6 address, is the regex's to read; so is any
of a rule that captures a host's name, captures in more than one place, or has free text beside the placeholder.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Iterable, Sequence

import regex

from ..ere import Node
from ..ere.nodes import CLASSES, Alt, Assertion, Capture, Cat, Group, Literal, Repeat, Set, mask, walk

_IPV4 = re.compile(rb"\.".join([rb"[0-9]{1,3}"] * 4))  # in a third less time than with a group three times
_IPV4_IN_MANY = regex.compile(_IPV4.pattern)  # in half of re's time, in one message in twice of it
_OF_ADDRESS = CLASSES[b"alnum"] | mask(b"._%-")
_COLON = mask(b":")
_COLONS = 6
"""An IPv6 address has so many, or two together."""


def is_whole(tree: Node) -> bool:
    """Whether `tree` captures in one place, an <ADDR>, beside which nothing stands that may belong to an address; but
    for a colon behind it, as no IPv4 address goes on with that."""
    parts = tree.parts if isinstance(tree, Cat) else (tree,)
    places = [index for index, part in enumerate(parts) if _captures(part)]
    if len(places) != 1 or not _is_address(parts[places[0]]):
        return False
    before, _ = _edge(parts[: places[0]], -1)
    behind, _ = _edge(parts[places[0] + 1 :], 0)
    return not before & (_OF_ADDRESS | _COLON) and not behind & _OF_ADDRESS


def sole(message: bytes) -> bytes | None:
    """The one IPv4 address in a message; None where there are others too, or might be one of IPv6."""
    if b"::" in message or message.count(b":") >= _COLONS:
        return None
    found = _IPV4.findall(message)
    return found[0] if len(found) == 1 or (found and found.count(found[0]) == len(found)) else None


def soles(messages: Sequence[bytes]) -> list[bytes | None]:
    """`sole` of each of them, at a third of its price where each holds one."""
    if len(messages) == 1:
        return [sole(messages[0])]
    text = b"\n".join(messages)
    found: list[bytes] = _IPV4_IN_MANY.findall(text)
    is_one_each = len(found) == len(messages) and all(map(operator.contains, messages, found)) and b"::" not in text
    if is_one_each and all(message.count(b":") < _COLONS for message in messages):
        return list(found)
    return [sole(message) for message in messages]


def _is_address(node: Node) -> bool:
    return isinstance(node, Capture) and node.name == "ADDR"


def _captures(node: Node) -> bool:
    return any(isinstance(each, Capture) for each in walk(node))


def _edge(parts: Sequence[Node], end: int) -> tuple[int, bool]:
    """The bytes that a match of these parts may begin with (`end` 0) or end with (-1), and whether it may be empty."""
    bits = 0
    for part in parts if end == 0 else reversed(parts):
        members, may_be_empty = _edge_of(part, end)
        bits |= members
        if not may_be_empty:
            return bits, False
    return bits, True


def _edge_of(node: Node, end: int) -> tuple[int, bool]:
    match node:
        case Literal(text):
            return mask(text[end:][:1]), False
        case Set(bits):
            return bits, False
        case Cat(parts):
            return _edge(parts, end)
        case Alt(branches):
            edges = [_edge_of(branch, end) for branch in branches]
            return _united(bits for bits, _ in edges), any(may_be_empty for _, may_be_empty in edges)
        case Repeat(inner, low, _):
            bits, may_be_empty = _edge_of(inner, end)
            return bits, may_be_empty or low == 0
        case Group(_, inner) | Capture(_, inner):
            return _edge_of(inner, end)
        case Assertion():
            return 0, True
    return ~0, True


def _united(sets: Iterable[int]) -> int:
    return functools.reduce(int.__or__, sets, 0)
