"""The address that an attack's message names, where no regex has to be asked which of several it is.

Most messages hold one IPv4 address. If the rule that matched lets nothing that belongs to an address stand beside its
<ADDR>, then what it captures is a whole address of the message: the only one (`sole`). And most rules have a text
before their <ADDR> or <HOST>, `rhost=` or ` from `. Where that stands once in a message, what is captured stands behind
it (`Behind`).

Never: guesses. A message with two addresses, or one that might hold an IPv6 address, and the text twice, is the regex's
to read; so is any of a rule that has free text beside the placeholder, or that need not capture anything.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import regex

from ..ere import Node, ends_outside_address
from ..ere.nodes import CLASSES, Alt, Assertion, Capture, Cat, Group, Literal, Repeat, Set, mask, walk

Shortcut: TypeAlias = Callable[[Sequence[bytes]], Sequence[bytes | None]]
"""What a rule captures in messages that it matches; None where the regex has to say it."""

_IPV4 = re.compile(rb"\.".join([rb"[0-9]{1,3}"] * 4))  # in a third less time than with a group three times
_IPV4_IN_MANY = regex.compile(_IPV4.pattern)  # in half of re's time, in one message in twice of it
_WHOLE_IPV4 = re.compile(_IPV4.pattern + rb"(?![._0-9A-Za-z%-])")
_IPV6 = re.compile(rb"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]++:){6}")
_NAME = re.compile(rb"[._0-9A-Za-z:%-]+")
_OF_ADDRESS = CLASSES[b"alnum"] | mask(b"._%-")
_COLON = mask(b":")
_COLONS = 6
"""An IPv6 address has so many, or two together."""


def shortcuts(tree: Node) -> Iterator[Shortcut]:
    """The ways to do without the regex of `tree`, the fastest first: the next is for those messages of which the one
    before does not know."""
    if is_whole(tree):
        yield soles
    if behind := behind_text(tree):
        yield behind.all


# --- a message that holds one address ---------------------------------------------------------------------------------


def is_whole(tree: Node) -> bool:
    """Whether `tree` captures an <ADDR> whatever it matches, beside which nothing stands that may belong to an address;
    but for a colon behind it, as no IPv4 address goes on with that."""
    return _captures_always(tree) and all(
        capture.name == "ADDR" and not before & (_OF_ADDRESS | _COLON) and not behind & _OF_ADDRESS
        for capture, before, behind in _captures(tree, 0, 0)
    )


def sole(message: bytes) -> bytes | None:
    """The one IPv4 address in a message; None where there are others too, or might be one of IPv6."""
    if b"::" in message or _holds_ipv6(message):
        return None
    found = _IPV4.findall(message)
    return found[0] if len(found) == 1 or (found and found.count(found[0]) == len(found)) else None


def soles(messages: Sequence[bytes]) -> Sequence[bytes | None]:
    """`sole` of each of them, at a third of its price where each holds one."""
    if len(messages) == 1:
        return [sole(messages[0])]
    text = b"\n".join(messages)
    found: list[bytes] = _IPV4_IN_MANY.findall(text)
    is_one_each = len(found) == len(messages) and all(map(operator.contains, messages, found)) and b"::" not in text
    if is_one_each and not any(map(_holds_ipv6, messages)):
        return found
    return [sole(message) for message in messages]


def _holds_ipv6(message: bytes) -> bool:
    """Whether it might hold such an address in full."""
    return message.count(b":") >= _COLONS and _IPV6.search(message) is not None


# --- a message that holds a text once ---------------------------------------------------------------------------------


class Behind(NamedTuple):
    """Reads what stands behind a text, and is `what`."""

    text: bytes
    what: re.Pattern[bytes]

    def read(self, message: bytes) -> bytes | None:
        """It; None where the text does not stand in the message once."""
        at = message.find(self.text)
        if at < 0 or message.find(self.text, at + 1) >= 0:
            return None
        found = self.what.match(message, at + len(self.text))
        return found[0] if found else None

    def all(self, messages: Sequence[bytes]) -> Sequence[bytes | None]:
        """The same of each."""
        return [self.read(message) for message in messages]


def behind_text(tree: Node) -> Behind | None:
    """What reads the one <ADDR> or <HOST> of `tree` behind what always stands before it; None where nothing does, or
    where what stands beside it may belong to it too: it may be the tail of one, or not all that stands there."""
    parts = tree.parts if isinstance(tree, Cat) else (tree,)
    places = _places(parts)
    if len(places) != 1 or not isinstance(parts[places[0]], Capture):
        return None
    before = parts[places[0] - 1] if places[0] else None
    behind, _ = _edge(parts[places[0] + 1 :], 0)
    if not isinstance(before, Literal) or not ends_outside_address(before) or behind & _OF_ADDRESS:
        return None
    if not behind & _COLON:
        return Behind(before.text, _NAME)
    return Behind(before.text, _WHOLE_IPV4) if _is_address(parts[places[0]]) else None


def _is_address(node: Node) -> bool:
    return isinstance(node, Capture) and node.name == "ADDR"


# --- what a rule has beside its captures ------------------------------------------------------------------------------


def _captures_always(node: Node) -> bool:
    """Whether nothing matches it without a capture."""
    match node:
        case Capture():
            return True
        case Cat(parts):
            return any(map(_captures_always, parts))
        case Alt(branches):
            return all(map(_captures_always, branches))
        case Group(_, inner):
            return _captures_always(inner)
        case Repeat(inner, low, _):
            return low > 0 and _captures_always(inner)
    return False


def _captures(node: Node, before: int, behind: int) -> Iterator[tuple[Capture, int, int]]:
    """Each capture in `node`, and the bytes that may stand right before and behind it, where these may be so before and
    behind `node`."""
    match node:
        case Capture():
            yield node, before, behind
        case Cat(parts):
            for index in _places(parts):
                left, is_first = _edge(parts[:index], -1)
                right, is_last = _edge(parts[index + 1 :], 0)
                yield from _captures(parts[index], left | before * is_first, right | behind * is_last)
        case Alt(branches):
            for branch in branches:
                yield from _captures(branch, before, behind)
        case Group(_, inner):
            yield from _captures(inner, before, behind)
        case Repeat(inner, _, high):
            again = before if high == 1 else ~0  # what stands beside it may be itself
            yield from _captures(inner, again, behind if high == 1 else ~0)


def _places(parts: Sequence[Node]) -> list[int]:
    """Which of these parts capture: of a large rule, few."""
    return [index for index, part in enumerate(parts) if any(isinstance(each, Capture) for each in walk(part))]


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
