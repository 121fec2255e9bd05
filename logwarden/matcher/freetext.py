"""Whether a rule lets through, before the address that it captures, text that a stranger may have written.

Owns: what counts as such: any number of bytes of a set that holds most that can be printed, as `.*`, `<USER>`,
`[^"]*` and `[[:print:]]{1,64}`. What a rule spells more narrowly (`[[:alnum:]._-]+`) a daemon has made.
In JSON no stranger's word can look like the end of its string, and the fields of an object are those of a whole one.
"""

from __future__ import annotations

import functools

from ..ere import Node
from ..ere.nodes import CLASSES, Alt, Capture, Cat, Group, Literal, Repeat, Set, mask, size, walk
from ..errors import RuleError
from ..model import AttackRule
from .patterns import Text, analysis, text_of

MOST = 80
"""Of 95: letters, digits and a mark here and there are 70 at most."""
LONG = 20
"""What may be so many bytes may as well be any number of them."""


def comes_first(rule: AttackRule) -> bool:
    """Whether such text may stand before the address; not where the rule captures none."""
    return bool(rule.programs) and not rule.fields and _comes_first(text_of(rule))


@functools.lru_cache(maxsize=1024)
def _comes_first(text: Text) -> bool:
    try:
        tree = analysis(text).tree
    except RuleError:  # and so it matches nothing
        return False
    return not _is_json(tree) and _before_capture(tree) is True


def _is_json(node: Node) -> bool:
    """Whether it is for an object of which a quotation mark is there behind the capture: no string ends at a cut."""
    match node:
        case Cat((Literal(text), *_) as parts) if text.startswith(b"{"):
            captures = [index for index, part in enumerate(parts) if any(isinstance(n, Capture) for n in walk(part))]
            behind = parts[max(captures, default=0) + 1 :]
            spelt = b"".join(part.text if isinstance(part, Literal) else b" " for part in behind)
            return b'"' in spelt.replace(rb"\"", b"")
        case Group(_, inner):
            return _is_json(inner)
    return False


def _before_capture(node: Node) -> bool | None:
    """Whether free text may stand before a capture in `node`; None where it captures nothing."""
    match node:
        case Capture():
            return False
        case Cat(parts):
            free = False
            for part in parts:
                if (inside := _before_capture(part)) is not None:
                    return free or inside
                free = free or _is_free(part)
        case Alt(branches):
            found = [inside for branch in branches if (inside := _before_capture(branch)) is not None]
            return any(found) if found else None
        case Repeat(inner, _, _) | Group(_, inner):
            return _before_capture(inner)
    return None


def _is_free(node: Node) -> bool:
    """Whether it holds any number of bytes of a large set."""
    repeats = (each for each in walk(node) if isinstance(each, Repeat))
    return any(_is_large(each.node) for each in repeats if each.high is None or size(each) >= LONG)


def _is_large(node: Node) -> bool:
    """Whether its bytes, taken together, are a large set."""
    bits = 0
    for each in walk(node):
        match each:
            case Set(members):
                bits |= members
            case Literal(text):
                bits |= mask(text)
    return (bits & CLASSES[b"print"]).bit_count() >= MOST
