r"""GNU grep's extended regular expressions, plus our placeholders, to a tree.

Owns: the syntax of GNU grep 3.8, `grep -E`, in the C locale (bytes), including what POSIX leaves open:

- `{` that opens no valid interval is a literal, but `a{}`, `a{2,1}` and `a{1,2,3}` are errors;
- `*`, `+`, `?`, `{1}` with nothing before them repeat the empty text; so does `*` after `^`, and `^*` is free;
- `)` without its `(` is a literal; a backslash before any other character means that character;
- `\1` is an error before its group is closed.

grep has two parsers, one for its automaton, which gives the answer, and glibc's, which sees backreferences and
collating elements through and must accept every rule. They differ where a repetition has nothing to repeat: such a
rule is read in both ways. Where it also needs glibc's engine, so that the two readings mix, it is refused; and so is a
rule that needs it and of which it loses track (`backreferences`).

Fails with a RuleError, in grep's words where grep has them. Bounded: a rule deeper than MAX_DEPTH or MAX_HEIGHT,
longer than MAX_LENGTH, or larger than MAX_SIZE when its repetitions are written out is refused.
"""

from __future__ import annotations

import functools
import re

from ..errors import RuleError
from ..model import Dialect
from . import bracket, placeholders
from .backreferences import why_lost
from .nodes import (
    ANY,
    CLASSES,
    EMPTY,
    WORD,
    Alt,
    Assertion,
    At,
    Backref,
    Capture,
    Cat,
    Group,
    Literal,
    Node,
    Repeat,
    Set,
    height,
    size,
)

RE_DUP_MAX = 32767
MAX_LENGTH = 65_536
MAX_DEPTH = 50
MAX_HEIGHT = 200
MAX_SIZE = 100_000
"""glibc's RE_DUP_MAX; bytes of a rule; parentheses in one another; nodes in one another, which what walks a tree by
recursion has to bear; positions of an automaton (`nodes.size`)."""

_RUN = {
    **dict.fromkeys(Dialect, re.compile(rb"[^\\\[(){.*+?^$|<]+")),
    Dialect.GREP: re.compile(rb"[^\\\[(){.*+?^$|]+"),
}
_INTERVAL = re.compile(rb"\{([0-9]*)(,?)([0-9]*)\}")
_LIKE_INTERVAL = re.compile(rb"\{(?:\}|((?:[0-9]|\\0)*)\\?,((?:[0-9]|\\0)*)(\\?,|\}))")
_PLACEHOLDER = re.compile(rb"<([A-Z]+)>")
_REPEAT = {b"*": (0, None), b"+": (1, None), b"?": (0, 1)}
_PLACES = {
    b"^": At.LINE_START,
    b"$": At.LINE_END,
    b"\\`": At.LINE_START,
    b"\\'": At.LINE_END,
    b"\\<": At.WORD_START,
    b"\\>": At.WORD_END,
    b"\\b": At.BOUNDARY,
    b"\\B": At.NO_BOUNDARY,
}
_SETS = {
    b"w": WORD,
    b"W": ANY & ~WORD,
    b"s": CLASSES[b"space"],
    b"S": ANY & ~CLASSES[b"space"],
}
_BIG = "regular expression too big"
MIXED = "a repetition with nothing to repeat in a rule with backreferences"


def parse(pattern: bytes, dialect: Dialect = Dialect.GREP) -> Node:
    """The tree of a rule. Raises RuleError with the reason alone: the caller knows the file and the line."""
    if len(pattern) > MAX_LENGTH:
        raise RuleError(f"longer than {MAX_LENGTH} bytes")
    if b"\n" in pattern:
        raise RuleError("a newline in a rule")
    automaton = _Parser(pattern, dialect)
    node = _bounded(automaton.alternation())
    if automaton.repeats_nothing:
        glibc = _Parser(pattern, dialect, glibc=True)
        if _bounded(glibc.alternation()) != node and automaton.needs_glibc:
            raise RuleError(MIXED)
    if size(node) > MAX_SIZE:
        raise RuleError(_BIG)
    if automaton.needs_glibc and dialect is Dialect.GREP and (why := why_lost(node)):
        raise RuleError(why)
    return node


def _bounded(node: Node) -> Node:
    if height(node) > MAX_HEIGHT:
        raise RuleError(f"nested deeper than {MAX_HEIGHT}")
    return node


class _Parser:
    """One reading of one rule, by recursive descent. `glibc`: as regcomp() does, not as the automaton."""

    def __init__(self, pattern: bytes, dialect: Dialect, *, glibc: bool = False) -> None:
        self.pattern = pattern
        self.dialect = dialect
        self.glibc = glibc
        self.at = 0
        self.depth = 0
        self.opened = 0
        self.closed: frozenset[int] = frozenset()
        self.literal_brace = -1  # where a '{' behind an expression stands for itself
        self.repeats_nothing = False
        self.needs_glibc = False

    def peek(self) -> bytes:
        return self.pattern[self.at : self.at + 1]

    def speaks_for_glibc(self) -> bool:
        """Whether what glibc alone refuses is to be refused here: the two readings have not parted so far."""
        return self.glibc or not self.repeats_nothing

    def alternation(self) -> Node:
        before, closed = self.closed, self.closed
        branches = []
        while True:
            self.closed = before  # a group of one branch is none of the next one's
            branches.append(self.branch())
            closed |= self.closed
            if self.peek() != b"|":
                break
            self.at += 1
        self.closed = closed
        return branches[0] if len(branches) == 1 else Alt(tuple(branches))

    def branch(self) -> Node:
        parts: list[Node] = []
        while (character := self.peek()) and character != b"|" and not (character == b")" and self.depth):
            part = self.expression()
            if part is not EMPTY:
                parts.append(part)
        return parts[0] if len(parts) == 1 else Cat(tuple(parts))

    # --- an atom and its repetitions ------------------------------------------------------------------------

    def expression(self) -> Node:
        node = self.repetition_of_nothing() if self.at_repetition() else self.atom()
        bare = node is EMPTY or isinstance(node, Assertion)
        if self.glibc and isinstance(node, Assertion):
            return node
        while self.peek() in (b"*", b"+", b"?", b"{"):
            self.repeats_nothing |= bare
            bounds = self.bounds()
            if bounds is None:
                self.literal_brace = self.at
                break
            node = node if node is EMPTY else _repeat(node, *bounds)
        return node

    def at_repetition(self) -> bool:
        """Whether a repetition stands where an expression begins."""
        character = self.peek()
        if character == b"{":
            if self.at == self.literal_brace:
                return False
            self.repeats_nothing = True
            return self.glibc or self.interval() is not None
        return character in (b"*", b"+", b"?")

    def repetition_of_nothing(self) -> Node:
        """The automaton repeats the empty text; regcomp() skips the operator and takes what follows as it is."""
        self.repeats_nothing = True
        if not self.glibc:
            return EMPTY
        while self.peek() in (b"*", b"+", b"?", b"{"):
            self.at += 1
        return EMPTY if self.peek() in (b"", b"|") else self.expression()

    def bounds(self) -> tuple[int, int | None] | None:
        """Step over the repetition that stands here; None where it is a '{' that stands for itself."""
        operator = self.peek()
        if operator in _REPEAT:
            self.at += 1
            return _REPEAT[operator]
        if self.speaks_for_glibc():
            self.refuse_interval()
        found = self.interval()
        if found is None:
            return None
        low, high, self.at = found
        return low, high

    def interval(self) -> tuple[int, int | None, int] | None:
        """The bounds of a valid interval that opens here and where it ends; None: '{' is a literal."""
        found = _INTERVAL.match(self.pattern, self.at)
        if not found or (not found[1] and not found[2]):
            return None
        low = _count(found[1])
        high = (_count(found[3]) if found[3] else None) if found[2] else low
        if found[3] and not found[2]:
            return None
        if high is not None and low > high:
            return None
        if max(low, high or 0) > RE_DUP_MAX:
            raise RuleError(_BIG)
        return low, high, found.end()

    def refuse_interval(self) -> None:
        """Raise for what opens like an interval and is none, where regcomp() does; a literal '{' passes."""
        if not (found := _LIKE_INTERVAL.match(self.pattern, self.at)):
            return
        falling = found[2] and _count(found[2]) < _count(found[1])
        if found[0] == b"{}" or found[3] != b"}" or falling:
            raise RuleError("invalid content of {}")

    # --- atoms ----------------------------------------------------------------------------------------------

    def atom(self) -> Node:
        if run := _RUN[self.dialect].match(self.pattern, self.at):
            return self.literal(run[0], run.end())
        character = self.peek()
        match character:
            case b"^" | b"$":
                self.at += 1
                return Assertion(_PLACES[character])
            case b".":
                self.at += 1
                return Set(ANY)
            case b"[":
                bits, self.at, named = bracket.read(self.pattern, self.at)
                self.needs_glibc |= named
                return Set(bits)
            case b"(":
                return self.group()
            case b"\\":
                return self.escape()
            case b"<":
                return self.placeholder()
        self.at += 1
        return Literal(character)

    def literal(self, run: bytes, end: int) -> Node:
        """A run of plain characters; a repetition behind it repeats the last one alone."""
        if len(run) > 1 and self.pattern[end : end + 1] in (b"*", b"+", b"?", b"{"):
            run, end = run[:-1], end - 1
        self.at = end
        return Literal(run)

    def group(self) -> Node:
        if self.depth == MAX_DEPTH:
            raise RuleError(f"parentheses nested deeper than {MAX_DEPTH}")
        self.at += 1
        self.depth += 1
        self.opened += 1
        number = self.opened
        node = self.alternation()
        if self.peek() != b")":
            raise RuleError("unmatched (")
        self.at += 1
        self.depth -= 1
        self.closed |= {number}
        return Group(number, node)

    def escape(self) -> Node:
        pair = self.pattern[self.at : self.at + 2]
        if len(pair) == 1:
            raise RuleError("trailing backslash")
        self.at += 2
        if pair in _PLACES:
            return Assertion(_PLACES[pair])
        character = pair[1:]
        if character in _SETS:
            return Set(_SETS[character])
        if character == b"d" and self.dialect is not Dialect.GREP:
            return Set(CLASSES[b"digit"])
        if character in b"123456789":
            return self.backreference(int(character))
        return Literal(character)

    def backreference(self, number: int) -> Node:
        if number not in self.closed and self.speaks_for_glibc():
            raise RuleError(f"invalid back reference \\{number}")
        self.needs_glibc = True
        return Backref(number)

    def placeholder(self) -> Node:
        found = _PLACEHOLDER.match(self.pattern, self.at)
        if not found:
            self.at += 1
            return Literal(b"<")
        name = found[1]
        if name not in placeholders.TEXT:
            known = " ".join(f"<{each.decode()}>" for each in placeholders.TEXT)
            raise RuleError(f"unknown placeholder {found[0].decode()}: write [<] for a literal one; known: {known}")
        self.at = found.end()
        return _placeholder(name, self.dialect)


@functools.cache
def _placeholder(name: bytes, dialect: Dialect) -> Node:
    text = placeholders.TEXT[name]
    if dialect in placeholders.CAPTURED:
        text = placeholders.FILLED_BY_A_STRANGER.get(name, text)
    node = _ungrouped(parse(text.encode()))
    return Capture(name.decode(), node) if name in placeholders.CAPTURED.get(dialect, ()) else node


def _ungrouped(node: Node) -> Node:
    """Without group numbers: a placeholder's own parentheses are none of the rule's."""
    match node:
        case Group(_, inner):
            return _ungrouped(inner)
        case Cat(parts):
            return Cat(tuple(map(_ungrouped, parts)))
        case Alt(branches):
            return Alt(tuple(map(_ungrouped, branches)))
        case Repeat(inner, low, high):
            return Repeat(_ungrouped(inner), low, high)
    return node


def _count(digits: bytes) -> int:
    """The number that a field of an interval holds, or RE_DUP_MAX + 1 for all that are larger; 0 where it is empty."""
    significant = digits.replace(b"\\", b"").lstrip(b"0")
    return RE_DUP_MAX + 1 if len(significant) > 5 else min(int(significant or b"0"), RE_DUP_MAX + 1)


def _repeat(node: Node, low: int, high: int | None) -> Node:
    """`node` repeated; of `*`, `+` and `?` behind one another one is left."""
    simple = {(0, None), (1, None), (0, 1)}
    if isinstance(node, Repeat) and {(low, high), (node.low, node.high)} <= simple:
        return Repeat(node.node, low * node.low, 1 if high == node.high == 1 else None)
    return EMPTY if high == 0 else Repeat(node, low, high)
