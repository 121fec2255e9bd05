r"""Which rules with backreferences mean to both engines what they mean to grep.

Owns: the answer, with its reason, and the search for a second way to match a group.
Never: knows how a rule is written (`parser`) or what an engine calls things (`emission`).

A rule that needs glibc's engine is only as good as that. It follows all ways to match at once and mixes them up where
a group can be matched in several: ^(a|b){,3}-\1 is not in "a-a". `regex` remembers where it failed before, but not
what a group held then: ^a{,2}(aa+)(-\1b-)?b is not in "aaaa-aaab-b". And where a word ends behind a backreference,
grep's answer depends on the lines before: (.)a\1\> is in "-a-" only behind a line "bab". So a backreference is taken
where no line leaves a choice: all ways from one start that lead to it at one place have matched its group alike.
"""

from __future__ import annotations

from .nodes import (
    ANY,
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
    can_match_empty,
    numbers,
    size,
    walk,
)

LOST = "a repeated anchor, or a repeated group that may be empty, in a rule with backreferences"
WORDS = r"\<, \>, \b or \B in a rule with backreferences"
UNSETTLED = "a backreference to a group that is repeated, may be empty, or can be matched in several ways"
"""Why a rule is refused that grep takes."""

MOST_POSITIONS = 1_000
MOST_STEPS = 200_000
"""Bytes and places of a rule with backreferences, repetitions written out; steps of the search, some 0.2 s. A rule that
needs more counts as one that has a second way."""


def why_lost(node: Node) -> str | None:
    """Why an engine may lose track of `node`, which sends grep to glibc's engine; None: none does."""
    if _repeats_a_place(node):
        return LOST
    referenced = numbers(node, Backref)
    if referenced and any(map(_bounds_a_word, walk(node))):
        return WORDS
    if any(not _settled(node, number) for number in referenced):
        return UNSETTLED
    return None


def _repeats_a_place(node: Node, *, repeated: bool = False) -> bool:
    """Whether an anchor or its like stands in what may be repeated, or a group is repeated that may be empty."""
    match node:
        case Assertion():
            return repeated
        case Cat(parts) | Alt(parts):
            return any(_repeats_a_place(part, repeated=repeated) for part in parts)
        case Repeat(inner, _, high):
            return _repeats_a_place(inner, repeated=repeated or high is None or high > 1)
        case Group(_, inner) | Capture(_, inner):
            return (repeated and can_match_empty(inner)) or _repeats_a_place(inner, repeated=repeated)
    return False


def _bounds_a_word(node: Node) -> bool:
    return isinstance(node, Assertion) and node.at not in {At.LINE_START, At.LINE_END}


def _settled(node: Node, number: int) -> bool:
    """Whether all ways from one start to a backreference at one place have matched group `number` alike."""
    if size(node) > MOST_POSITIONS:
        return False
    ways = _Ways(number)
    first, _, _ = ways.part(node)
    return ways.group_is_plain and not ways.differ(first)


_Part = tuple[frozenset[int], frozenset[int], bool]
"""Where a part may begin, where it may end, and whether it may be empty."""
_NOTHING: _Part = (frozenset(), frozenset(), True)


class _Ways:
    """Glushkov's automaton of a rule: each byte of it is a position, which knows those that may follow. A backreference
    is one that takes any text, and an anchor is none: there are rather more ways than fewer."""

    def __init__(self, number: int) -> None:
        """`number`: of the group that is looked at."""
        self.number = number
        self.group = range(0)
        self.group_is_plain = True
        self.references: set[int] = set()
        self.sets: list[int] = []
        self.follow: list[set[int]] = []

    def part(self, node: Node) -> _Part:
        match node:
            case Literal(text):
                return self.cat([self.position(1 << byte) for byte in text])
            case Set(bits):
                return self.position(bits)
            case Cat(parts):
                return self.cat([self.part(part) for part in parts])
            case Alt(branches):
                firsts, lasts, empty = zip(*map(self.part, branches), strict=True)
                return frozenset().union(*firsts), frozenset().union(*lasts), any(empty)
            case Repeat(inner, low, high):
                return self.repeat(inner, low, high)
            case Backref(number):
                return self.backref(number)
            case Group(number, inner):
                start = len(self.sets)
                part = self.part(inner)
                if number == self.number:
                    self.group = range(start, len(self.sets))
                    self.group_is_plain &= not can_match_empty(inner)
                return part
            case Capture(_, inner):
                return self.part(inner)
        return _NOTHING

    def position(self, bits: int) -> _Part:
        self.sets.append(bits)
        self.follow.append(set())
        here = frozenset({len(self.sets) - 1})
        return here, here, False

    def backref(self, number: int) -> _Part:
        """Any text: its first byte, by which ways come to it, and the others."""
        first, last, _ = self.cat([self.position(ANY), (*self.loop(self.position(ANY))[:2], True)])
        if number == self.number:
            self.references |= first
        return first, last, False

    def repeat(self, inner: Node, low: int, high: int | None) -> _Part:
        if high is None or high > 1:
            self.group_is_plain &= self.number not in numbers(inner, Group)
        copies = [self.part(inner) for _ in range(max(1, low) if high is None else high)]
        if high is None:
            copies[-1] = self.loop(copies[-1])
        part = _NOTHING
        for index in reversed(range(len(copies))):
            first, last, empty = self.cat([copies[index], part])
            part = first, last, empty or index >= low
        return part

    def loop(self, part: _Part) -> _Part:
        first, last, _ = part
        for position in last:
            self.follow[position] |= first
        return part

    def cat(self, parts: list[_Part]) -> _Part:
        first, last, empty = _NOTHING
        for next_first, next_last, next_empty in parts:
            for position in last:
                self.follow[position] |= next_first
            first |= next_first if empty else frozenset()
            last = next_last | last if next_empty else next_last
            empty &= next_empty
        return first, last, empty

    def differ(self, first: frozenset[int]) -> bool:
        """Whether two ways that begin in `first` and read the same differ in what is the group's, and then come to the
        same backreference to it; or nobody knows after MOST_STEPS."""
        useful = self.before_references()
        follow = [frozenset(each) for each in self.follow]
        steps = 0
        seen: set[tuple[int, int, bool]] = set()
        left = [(first, first, False)]
        while left:
            ones, others, apart = left.pop()
            if apart and not self.references.isdisjoint(ones & others):
                return True
            for one in ones & useful:
                for other in others & useful:
                    steps += 1
                    if steps > MOST_STEPS:
                        return True
                    pair = min(one, other), max(one, other), apart or self.side(one) != self.side(other)
                    if self.sets[one] & self.sets[other] and pair not in seen:
                        seen.add(pair)
                        left.append((follow[one], follow[other], pair[2]))
        return False

    def before_references(self) -> frozenset[int]:
        """The positions from which a way leads to a backreference."""
        before: list[set[int]] = [set() for _ in self.sets]
        for position, following in enumerate(self.follow):
            for each in following:
                before[each].add(position)
        found, left = set(self.references), list(self.references)
        while left:
            new = before[left.pop()] - found
            found |= new
            left += new
        return frozenset(found)

    def side(self, position: int) -> int:
        """Whether a position stands before the group, in it, or behind it."""
        return (position >= self.group.start) + (position >= self.group.stop)
