"""Whether a rule lets through, before the address that it captures, text that a stranger may have written.

Owns: what counts as such: any number of bytes of a set that holds most bytes, as `.*`, `<USER>` and `[^"]*`. What a
rule spells more narrowly (`[[:alnum:]._-]+`) a daemon has made. In JSON no stranger's word can look like its end.
"""

from __future__ import annotations

import functools

from ..ere import Node
from ..ere.nodes import Alt, Capture, Cat, Group, Literal, Repeat, Set, walk
from ..errors import RuleError
from ..model import AttackRule
from .patterns import Text, analysis, text_of

MOST = 128


def comes_first(rule: AttackRule) -> bool:
    """Whether such text may stand before the address; not where the rule captures none."""
    return bool(rule.programs) and _comes_first(text_of(rule))


@functools.lru_cache(maxsize=1024)
def _comes_first(text: Text) -> bool:
    try:
        tree = analysis(text).tree
    except RuleError:  # and so it matches nothing
        return False
    return not _is_json(tree) and _before_capture(tree) is True


def _is_json(node: Node) -> bool:
    match node:
        case Cat((first, *_)) | Group(_, first):
            return _is_json(first)
        case Literal(text):
            return text.startswith(b"{")
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
    repeats = (each for each in walk(node) if isinstance(each, Repeat) and each.high is None)
    sets = (each for repeat in repeats for each in walk(repeat.node) if isinstance(each, Set))
    return any(each.bits.bit_count() >= MOST for each in sets)
