"""One rule file, judged by itself, as its writer wants to know before it is put in force.

Owns: which parser a file's name asks for. Never: compares with the rules of other files: `logwarden check` does.
Fails: with RuleError where the file cannot be read or is no rule file.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import RuleError
from ..memory import Memory
from ..model import AttackRule, IgnoreRule, Refusal
from . import attack, audit, directory, ignore


@dataclass(frozen=True, slots=True)
class Trial:
    """The rules of a file that may be in force, and why the others may not."""

    good: tuple[AttackRule | IgnoreRule, ...]
    refused: tuple[Refusal, ...]


def try_file(path: str) -> Trial:
    """Judge the rules of `path`: NAME.yaml holds attack rules, NAME.rules ignore rules."""
    content, memory = directory.read(path), Memory()
    if path.endswith(".yaml"):
        attacks, refused = attack.parse(content, path, memory)
        kept, bad = audit.attacks(attacks, memory)
        return Trial(tuple(kept), (*refused, *bad))
    if path.endswith(".rules"):
        ignores, refused = ignore.parse(content, path)
        hiding, bad = audit.ignores(ignores, (), memory)
        return Trial(tuple(hiding), (*refused, *bad))
    raise RuleError(f"{path}: its name ends neither in .yaml (attack rules) nor in .rules (ignore rules)")
