"""Rule files -> one RuleSet of what is in force, with a Refusal, `file:line: why`, for everything that is not.

Owns: the reading of ignore.d, attack.d and logcheck's directories, and the judgement which rules may be in force.
Never: raises for what a file holds. Whatever is wrong is a Refusal, and everything else stays in force.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..memory import Memory
from ..model import AttackRule, IgnoreRule, Preset, Refusal, RuleSet
from . import attack as attack_file
from . import audit, directory
from . import ignore as ignore_file
from . import logcheck as logcheck_tree

LEVELS = ("paranoid", "server", "workstation")
"""logcheck's levels, each hiding what those before it hide and more."""


def load(
    ignore: Sequence[str] = (),
    attack: Sequence[str] = (),
    level: str = "server",
    *,
    aggressive: bool = False,
    logcheck: str | None = None,
    logcheck_level: str = "server",
    cache: str | None = None,
    fill: Callable[[], object] | None = None,
) -> RuleSet:
    """All rules of these directories.

    A file of a later directory replaces the file of the same name, relative to its directory, in an earlier one; an
    empty one disables it. Of ignore directories count the files in the directory itself, those in `level`/ and
    those in the levels below it; of attack directories the files in the directory itself. Attack rules marked
    aggressive are left out unless `aggressive`. A directory that does not exist is refused, but for the default ones.
    `cache` names a file that makes the next load of much the same rules quick. Where it is not there, or of another
    version, `fill` may see to it, before anything is loaded.
    `logcheck` names logcheck's own directory of rules, /etc/logcheck, to be read in place at `logcheck_level`.
    """
    memory = Memory(cache)
    if memory.is_empty and fill is not None:
        fill()
        memory = Memory(cache)
    attack_rules, presets, refused = _attack_rules(attack, memory)
    ignore_rules, refused_ignore = _ignore_rules(ignore, level)
    if logcheck is not None:
        found_ignore, found_attack, bad = logcheck_tree.load(logcheck, _levels(logcheck_level))
        ignore_rules += found_ignore
        attack_rules += found_attack
        refused += bad
    kept_attack, bad_attack = audit.attacks(
        (rule for rule in attack_rules if aggressive or not rule.aggressive), memory
    )
    kept_ignore, bad_ignore = audit.ignores(ignore_rules, kept_attack, memory)
    memory.save()
    at_work = {rule.file for rule in kept_attack}
    presets = [preset for preset in presets if preset.file in at_work]
    problems = (*refused, *refused_ignore, *bad_attack, *bad_ignore)
    return RuleSet(tuple(kept_ignore), tuple(kept_attack), tuple(sorted(problems, key=_place)), tuple(presets))


def _place(refusal: Refusal) -> tuple[str, int]:
    return refusal.where.file, refusal.where.line


def _levels(level: str) -> tuple[str, ...]:
    return LEVELS[: LEVELS.index(level) + 1]


def _ignore_rules(directories: Sequence[str], level: str) -> tuple[list[IgnoreRule], list[Refusal]]:
    files, refused = directory.survey(directories, ".rules", _levels(level), LEVELS)
    rules: list[IgnoreRule] = []
    for file in files:
        found, bad = ignore_file.parse(file.content, file.path)
        rules += found
        refused += bad
    return rules, refused


def _attack_rules(directories: Sequence[str], memory: Memory) -> tuple[list[AttackRule], list[Preset], list[Refusal]]:
    files, refused = directory.survey(directories, ".yaml")
    rules: list[AttackRule] = []
    presets: list[Preset] = []
    for file in files:
        found, bad = attack_file.parse(file.content, file.path, memory)
        rules += found
        refused += bad
        presets += attack_file.presets(file.content, file.path, memory)
    return rules, presets, refused
