r"""A tree as each engine writes it. Both are compiled with their MULTILINE flag and no other that changes meaning:
'^' and '$' are the ends of a line, and nothing emitted matches a newline.

- 'hyperscan': no captures. `\<` and `\>` exist only where a neighbour settles what they mean; that, and
  backreferences, are UnsupportedError: such a rule goes to the other engine. What is emitted may still be more than
  Hyperscan compiles (anchors behind what may be empty, huge repetitions).
- 'regex': bytes patterns of the `regex` package. Placeholders of an attack rule are captured as `addr` or `user`;
  groups that a backreference names are called `g1`, `g2`, ... Everything else does not capture. Where free text stands
  beside it, a captured address must be a whole one, so that `.*<ADDR>` cannot take 2.0.2.1 for 192.0.2.1: there
  Hyperscan, which cannot look around, proposes a match and this engine decides.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Literal as OneOf
from typing import TypeAlias

from ..errors import RuleError
from .nodes import (
    ANY,
    CLASSES,
    NEWLINE,
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
    mask,
    numbers,
    possible,
)

Engine: TypeAlias = OneOf["hyperscan", "regex", "capture", "naming"]
"""`capture` and `users` are for the `regex` package as well: where a rule matches, which address or whom it names."""


class UnsupportedError(RuleError):
    """This engine cannot take the rule; another one may."""


MOST_COPIES = 100_000
"""Nodes that `regex` may make of a rule: 0.3 s and 60 MB. Twenty-five `(a` and as many `)+` would be 33 million."""

_PLAIN = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_ \"%',/:;<=>@!`~")
_SYNTAX = frozenset(b"\\.[](){}*+?^$|-&#")
_NEVER = "(?!)"
_IN_ADDRESS = CLASSES[b"xdigit"] | mask(b".:")
# Behind a colon the rest of an IPv6 address may stand: there only an IPv4 address begins that is no tail of one, or
# what has no address before its colon.
_NOT_IN_ADDRESS = r"(?<![0-9A-Za-z._])(?:(?<!:)|(?<!:[0-9A-Fa-f]{0,4}:)(?=[0-9]{1,3}\.)|(?<![0-9A-Fa-f:]:))"
_ADDRESS_ENDS = r"(?!\.?[0-9A-Za-z])"

_REGEX_PLACES = {
    At.LINE_START: "^",
    At.LINE_END: "$",
    At.WORD_START: r"\m",
    At.WORD_END: r"\M",
    At.BOUNDARY: r"\b",
    At.NO_BOUNDARY: r"\B",
}
_HYPERSCAN_PLACES = {At.LINE_START: "^", At.LINE_END: "$", At.BOUNDARY: r"\b", At.NO_BOUNDARY: r"\B"}


def emit(node: Node, engine: Engine) -> bytes:
    """The pattern of `node` for an engine. Raises UnsupportedError where that engine has no equivalent."""
    if engine != "hyperscan":
        bounded(node)
        referenced = numbers(node, Backref)
        return _WRITERS[engine](referenced and referenced & numbers(node, Group)).write(node).encode("ascii")
    if (left := possible(node)) is None:
        raise UnsupportedError("can never match")
    return _Hyperscan().write(left).encode("ascii")


def bounded(node: Node) -> Node:
    """`node` itself, where `regex` can be given it. Raises RuleError where it would be written out for ever."""
    if _copied(node) > MOST_COPIES:
        raise RuleError(f"larger than {MOST_COPIES} when its repetitions are written out")
    return node


def _copied(node: Node) -> int:
    """How many nodes `regex` makes of it: of what is there n times at least, and more than a byte, n + 1 copies."""
    match node:
        case Cat(items) | Alt(items):
            return sum(map(_copied, items))
        case Repeat(inner, low, high):
            copied = _copied(inner) + _is_range(low, high)
            return copied * (low + 1) if copied > 1 or _compound(inner) or isinstance(inner, Alt) else 1
        case Group(_, inner) | Capture(_, inner):
            return _copied(inner)
        case _:
            return 1


_CHUNK = 100
"""Bytes of a literal text that are written as one. Before its first search for a text, `regex` looks for where it
repeats itself, without an eye on the clock: 0.3 s for a thousand times an `a`, minutes for ten thousand. So it gets it
in pieces, each of them atomic, or it would join them."""


class _Writer:
    """What both engines write alike."""

    def literal(self, chunks: Iterable[str]) -> str:
        """A text, which comes in chunks."""
        return "".join(chunks)

    def write(self, node: Node) -> str:
        match node:
            case Literal(text):
                return self.literal(
                    "".join(map(_character, text[at : at + _CHUNK])) for at in range(0, len(text), _CHUNK)
                )
            case Set(bits):
                return _set(bits)
            case Cat(parts):
                return self.cat(parts)
            case Alt(branches):
                return f"(?:{'|'.join(map(self.write, branches))})"
            case Repeat(inner, low, high):
                return self.repeat(inner, low, high)
            case Group(number, inner):
                return self.group(number, inner)
            case Backref(number):
                return self.backref(number)
            case Assertion(at):
                return self.place(at)
            case Capture(_, inner):
                return self.capture(inner)

    def cat(self, parts: tuple[Node, ...]) -> str:
        before: tuple[Node | None, ...] = (None, *parts)
        after: tuple[Node | None, ...] = (*parts[1:], None)
        return "".join(map(self.part, parts, before, after)) or "(?:)"

    def part(self, node: Node, before: Node | None, after: Node | None) -> str:  # noqa: ARG002 - neighbours are for engines
        return self.write(node)

    def repeat(self, inner: Node, low: int, high: int | None) -> str:
        text = f"(?:{self.write(inner)})" if _compound(inner) else self.write(inner)
        return f"{text}{_quantifier(low, high)}"

    def group(self, number: int, inner: Node) -> str:  # noqa: ARG002 - the other engine needs the number
        return self.write(inner) if isinstance(inner, Alt) else f"(?:{self.write(inner)})"

    def capture(self, inner: Node) -> str:
        return f"(?:{self.write(inner)})"

    def backref(self, number: int) -> str:
        raise NotImplementedError

    def place(self, at: At) -> str:
        raise NotImplementedError


class _Regex(_Writer):
    def __init__(self, referenced: frozenset[int]) -> None:
        """`referenced`: the groups that are there and that a backreference names."""
        self.referenced = referenced

    def literal(self, chunks: Iterable[str]) -> str:
        first, *others = chunks
        return first + "".join(f"(?>{each})" for each in others)

    def repeat(self, inner: Node, low: int, high: int | None) -> str:
        if _is_range(low, high):
            return f"(?:{self.write(inner)}|{_NEVER}){_quantifier(low, high)}"
        return super().repeat(inner, low, high)

    def group(self, number: int, inner: Node) -> str:
        return f"(?P<g{number}>{self.write(inner)})" if number in self.referenced else super().group(number, inner)

    def backref(self, number: int) -> str:
        return f"(?P=g{number})" if number in self.referenced else _NEVER  # its group was repeated {0} times

    def place(self, at: At) -> str:
        return _REGEX_PLACES[at]


class _Capturing(_Regex):
    """What stands where an address may is one only if it is no part of a longer word."""

    def part(self, node: Node, before: Node | None, after: Node | None) -> str:
        if not isinstance(node, Capture):
            return self.write(node)
        left = "" if ends_outside_address(before) else _NOT_IN_ADDRESS
        right = "" if isinstance(after, Literal) else _ADDRESS_ENDS
        return f"{left}(?P<addr>{self.write(node.node)}){right}"

    def capture(self, inner: Node) -> str:
        return f"{_NOT_IN_ADDRESS}(?P<addr>{self.write(inner)}){_ADDRESS_ENDS}"


class _Naming(_Regex):
    """Whom a rule of Dialect.USERS names, or which session one of Dialect.SESSION, in each place where it does."""

    def capture(self, inner: Node) -> str:
        return f"(?P<name>{self.write(inner)})"


_WRITERS = {"regex": _Regex, "capture": _Capturing, "naming": _Naming}


class _Hyperscan(_Writer):
    def part(self, node: Node, before: Node | None, after: Node | None) -> str:
        """`\\<` before what is a word's character can only be a boundary, and so is `\\>` behind one."""
        if node == Assertion(At.WORD_START) and _is_word(after, first=True):
            return r"\b"
        if node == Assertion(At.WORD_END) and _is_word(before, first=False):
            return r"\b"
        return self.write(node)

    def backref(self, number: int) -> str:
        raise UnsupportedError(f"a backreference, \\{number}")

    def place(self, at: At) -> str:
        if at not in _HYPERSCAN_PLACES:
            raise UnsupportedError(f"{at.value} beside what may be no word")
        return _HYPERSCAN_PLACES[at]


def ends_outside_address(node: Node | None) -> bool:
    """Whether what stands before a placeholder cannot be the beginning of an address."""
    match node:
        case Literal(text):
            return any(_IN_ADDRESS >> byte & 1 == 0 for byte in text)
        case Set(bits):
            return not bits & _IN_ADDRESS
        case Assertion(at):
            return at is At.LINE_START
    return False


def _compound(node: Node) -> bool:
    """Whether a quantifier behind its text would apply to a part of it only."""
    return not (isinstance(node, Set | Alt) or (isinstance(node, Literal) and len(node.text) == 1))


def _is_word(node: Node | None, *, first: bool) -> bool:
    """Whether the first (last) byte that `node` matches is a word's, whatever it matches."""
    match node:
        case Literal(text):
            return bool(WORD >> text[0 if first else -1] & 1)
        case Set(bits):
            return not bits & ~WORD
        case Group(_, inner):
            return _is_word(inner, first=first)
        case Repeat(inner, low, _):
            return low > 0 and _is_word(inner, first=first)
        case Cat(parts):
            return bool(parts) and _is_word(parts[0 if first else -1], first=first)
        case Alt(branches):
            return all(_is_word(branch, first=first) for branch in branches)
    return False


def _is_range(low: int, high: int | None) -> bool:
    """Whether `regex` may forget a try: it takes one byte that is repeated `low` to `high` times, before a text of two
    bytes or more, for tried at all places up to where a shorter beginning led it: ^(a|aa).{1,3}cd is in "aabbbcd". Of
    an alternative it does not."""
    return high is not None and high > max(low, 1)


def _quantifier(low: int, high: int | None) -> str:
    match low, high:
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case 0, 1:
            return "?"
    return f"{{{low}}}" if low == high else f"{{{low},{'' if high is None else high}}}"


def _character(byte: int) -> str:
    if byte in _PLAIN:
        return chr(byte)
    return f"\\{chr(byte)}" if byte in _SYNTAX else f"\\x{byte:02x}"


@functools.lru_cache(maxsize=1024)
def _set(bits: int) -> str:
    """A set by its members, or by what it leaves out (newline always), whichever is shorter."""
    if bits == ANY:
        return r"[^\n]"
    if not bits:
        return _NEVER
    members, others = _ranges(bits), _ranges(~bits & (ANY | NEWLINE))
    if len(members) <= len(others):
        return f"[{members}]"
    return f"[^{others}]"


def _ranges(bits: int) -> str:
    """The inside of a bracket: all but letters and digits as \\xHH, so that no engine reads more into it."""
    text = ""
    byte = 0
    while byte < 256:
        end = byte
        while end < 256 and bits >> end & 1:
            end += 1
        match end - byte:
            case 0:
                end += 1
            case 1:
                text += _member(byte)
            case 2:
                text += _member(byte) + _member(byte + 1)
            case _:
                text += f"{_member(byte)}-{_member(end - 1)}"
        byte = end
    return text


def _member(byte: int) -> str:
    return chr(byte) if chr(byte).isalnum() and byte < 0x80 else f"\\x{byte:02x}"
