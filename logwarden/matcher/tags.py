"""What the tree of a logcheck rule says of the tag at its start: `sshd[42]: ` and what may be written for it.

Owns: the little automaton of `header`'s PROGRAM PID? ': ', run over a tree instead of a text.
Never: guesses. Where a tree does not settle the question, the answer is the one that costs time, not the one that errs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .. import header
from ..ere import Node
from ..ere.nodes import ANY, Alt, Assertion, Backref, Capture, Cat, Group, Literal, Repeat, Set
from .openings import openings, spelled_out


def _mask(fragment: bytes) -> int:
    return sum(1 << byte for byte in range(256) if re.fullmatch(fragment, bytes([byte])))


_PROGRAM = _mask(header.PROGRAM)
_PID = _mask(rb"[^\x00-\x20\x7f\[\]]")
_OPEN, _CLOSE, _COLON, _SPACE = (1 << ord(character) for character in "[]: ")

_START, _NAME, _IN_PID, _AFTER_PID, _AFTER_COLON, _MESSAGE, _NO_TAG = range(7)
_STEPS: dict[int, tuple[tuple[int, int], ...]] = {
    _START: ((_PROGRAM, _NAME),),
    _NAME: ((_PROGRAM, _NAME), (_OPEN, _IN_PID), (_COLON, _AFTER_COLON)),
    _IN_PID: ((_PID, _IN_PID), (_CLOSE, _AFTER_PID)),
    _AFTER_PID: ((_COLON, _AFTER_COLON),),
    _AFTER_COLON: ((_SPACE, _MESSAGE),),
    _MESSAGE: ((ANY, _MESSAGE),),
    _NO_TAG: (),
}
"""State -> (bytes, next state); bytes in none of its rows lead to _NO_TAG."""

States = frozenset[int]
_ALL: States = frozenset(_STEPS)


def implies_tag(rest: Node) -> bool:
    """Whether every text that `rest` matches the start of begins with a tag, so that its line is a traditional one."""
    return _advance(rest, frozenset({_START})) == {_MESSAGE}


class Tagged(NamedTuple):
    """A rule that only lines of these programs can match, and what it says of their message."""

    programs: frozenset[bytes]
    message: Node


def split(rest: Node) -> Tagged | None:
    """`rest` divided as `header` divides the texts that it matches; None where that cannot be said in few words."""
    states = frozenset({_START})
    named = None
    nodes = list(_bytewise(rest))
    for index, node in enumerate(nodes):
        if named is None and states == {_NAME} and _leaves_name(node):
            named = index
        elif named is not None and _NAME in states and node not in _LEAVES_NAME:  # was there a pid, or more of a name?
            return None
        if named is not None and states == {_AFTER_COLON} and node == Literal(b" "):
            programs = spelled_out(Cat(tuple(nodes[:named])))
            return None if programs is None else Tagged(programs, Cat(tuple(_joined(nodes[index + 1 :]))))
        states = _advance(node, states)
    return None


_LEAVES_NAME = (Literal(b"["), Literal(b":"))


def _leaves_name(node: Node) -> bool:
    """Whether `node` begins what follows a name: a pid or a colon, or perhaps a pid."""
    if isinstance(node, Repeat) and node.high == 1:
        brackets = all(text.startswith(b"[") for text in openings(node.node))
        return brackets and _advance(node.node, frozenset({_NAME})) == {_AFTER_PID}
    return node in _LEAVES_NAME


def _bytewise(node: Node) -> Iterator[Node]:
    """The parts of `node`, with literals byte by byte."""
    for part in node.parts if isinstance(node, Cat) else (node,):
        if isinstance(part, Literal):
            yield from (Literal(bytes([byte])) for byte in part.text)
        else:
            yield part


def _joined(nodes: Sequence[Node]) -> Iterator[Node]:
    """The reverse of `_bytewise`."""
    for is_literal, run in itertools.groupby(nodes, lambda node: isinstance(node, Literal)):
        if is_literal:
            yield Literal(b"".join(each.text for each in run if isinstance(each, Literal)))
        else:
            yield from run


def _advance(node: Node, states: States) -> States:
    """The states that the automaton can be in behind any text of `node`, from any of `states`."""
    return _walk(node, states, {})


_Known = dict[tuple[int, States], States]
"""What a repetition, by its identity, makes of states: of one within others it would be asked for ever."""


def _walk(node: Node, states: States, known: _Known) -> States:
    match node:
        case Literal(text):
            for byte in text:
                states = _step(states, 1 << byte)
            return states
        case Set(bits):
            return _step(states, bits)
        case Cat(parts):
            for part in parts:
                states = _walk(part, states, known)
            return states
        case Alt(branches):
            return frozenset().union(*(_walk(branch, states, known) for branch in branches))
        case Repeat(inner, low, high):
            key = id(node), states
            if key not in known:
                known[key] = _repeat(lambda reached: _walk(inner, reached, known), states, low, high)
            return known[key]
        case Group(_, inner) | Capture(_, inner):
            return _walk(inner, states, known)
        case Backref():
            return _ALL
        case Assertion():
            return states


def _repeat(advance: Callable[[States], States], states: States, low: int, high: int | None) -> States:
    for _ in range(min(low, len(_STEPS))):  # states only go forward or stay, so that nothing changes after that
        states = advance(states)
    reached = states
    for _ in range(len(_STEPS) if high is None else min(high - low, len(_STEPS))):
        states = advance(states)
        reached |= states
    return reached


def _step(states: States, bits: int) -> States:
    return frozenset(target for state in states for target in _targets(state, bits))


def _targets(state: int, bits: int) -> list[int]:
    rows = _STEPS[state]
    found = [target for allowed, target in rows if bits & allowed]
    left = bits
    for allowed, _ in rows:
        left &= ~allowed
    return [*found, _NO_TAG] if left else found
