"""Rules as Hyperscan takes them: one pattern each, for lines of a block, whose every match ends where its line does.

Owns: what Hyperscan is asked to take, in which form, and what it refuses. The end of a match names its line; none
spans two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .. import ere, header
from ..ere import UnsupportedError
from ..ere.nodes import nesting, repetitions, size
from ..errors import RuleError
from . import _hyperscan_compiler, trees
from .analysis import Analysis
from .patterns import Scope

LARGEST = 1_000
"""Size of a tree (`ere.nodes.size`) that Hyperscan is asked to take as it is: a{1,500} takes it 0.05 s, a{1,2000}
takes it 1 s, a{1,9000} more than a minute."""
LARGEST_LOOSE, MOST_REPETITIONS = 3_000, 200
"""The same once it is loosened, and how many repetitions it may hold: ten thousand letters take it 12 s, `(ab)?` three
hundred times 4 s, nine hundred times minutes. What is larger is for the `regex` engine alone."""

DEEPEST = 16
"""Repetitions within one another. Each doubles what it takes: ten `(a|b(` and as many `)*d)+` 0.1 s, twelve 1.7 s."""


class Expression(NamedTuple):
    """A pattern for Hyperscan. `loose`: it matches more than its rule, so that each match has to be confirmed."""

    text: bytes
    loose: bool


def forms(analysis: Analysis) -> Iterator[Expression]:
    """The forms in which Hyperscan may take a rule, the best first."""
    for loose in (False, True):
        try:
            if loose:
                analysis.regex()  # which has to confirm it
            yield Expression(_text(analysis, loose=loose), loose)
        except RuleError:
            continue


def _text(analysis: Analysis, *, loose: bool) -> bytes:
    tree = trees.loosened(analysis.tree) if loose else analysis.tree
    largest = LARGEST_LOOSE if loose else LARGEST
    if size(tree) > largest:
        raise UnsupportedError(f"larger than {largest} when its repetitions are written out")
    if repetitions(tree) > MOST_REPETITIONS:
        raise UnsupportedError(f"more than {MOST_REPETITIONS} repetitions")
    if nesting(tree) > DEEPEST:
        raise UnsupportedError(f"more than {DEEPEST} repetitions within one another")
    match analysis.scope:
        case Scope.LINE:
            return ere.emit(trees.to_line_end(tree), "hyperscan")
        case Scope.REST:
            rest = trees.to_line_end(trees.without_start(tree, at_start=False))
            return b"^%s(?:%s)" % (header.HEADER, ere.emit(rest, "hyperscan"))
        case Scope.MESSAGE:
            message = ere.emit(trees.without_start(tree, at_start=True), "hyperscan")
            return b"^%s(?:%s)(?:%s)?: (?:%s)$" % (header.HEADER, analysis.fragment, header.PID, message)


def serialised(texts: Sequence[bytes]) -> bytes | None:
    """A database whose ids number the patterns, as it can be stored; empty without any. None where Hyperscan refuses
    one of them."""
    try:
        return _hyperscan_compiler.compiled(texts) if texts else b""
    except (ValueError, MemoryError):
        return None


def compiles(expression: Expression) -> bool:
    """Whether Hyperscan takes one expression. Takes milliseconds."""
    return serialised([expression.text]) is not None
