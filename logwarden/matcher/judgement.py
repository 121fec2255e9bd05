"""What the rules that match a line make of it.

Owns: which decides: an attack before an ignore rule, ATTACK before a violation, among equals the first of the rule set;
what an exempting rule of logcheck takes away; the address; what becomes of a line that a rule had no time for.
Never: raises for a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .. import address
from ..errors import RuleError
from ..model import AttackRule, IgnoreRule, Outcome, Severity
from .engine import Patience
from .patterns import TIMEOUT, Pattern


class Judgement(NamedTuple):
    """The part of a Verdict that the rules decide, and the rules that count as having matched."""

    outcome: Outcome
    matched: Sequence[Pattern] = ()
    ignored_by: IgnoreRule | None = None
    attack_by: AttackRule | None = None
    address: str | None = None
    quarantined_for: str | None = None


def judge(found: Sequence[Pattern], late: Sequence[Pattern], message: bytes, patience: Patience) -> Judgement:
    """What becomes of a line with this message. `found` are the rules that match, in the order of the rule set; `late`
    those that ran out of time."""
    if not found and not late:
        return Judgement(Outcome.UNEXPLAINED)
    ignores = [pattern.rule for pattern in found if isinstance(pattern.rule, IgnoreRule)]
    attacks, exempt = _attacks(found, ignores)
    hiding = next((rule for rule in ignores if not rule.exempts), None)
    matched = [pattern for pattern in found if pattern not in exempt]
    if attacks:
        attack, source = _culprit(attacks, message, patience)
        return Judgement(Outcome.ATTACK, matched, _hiding_attack(attack, ignores), attack, source)
    if exempt and not hiding:
        hiding = next(rule for rule in ignores if rule.exempts)
    if hiding and not any(pattern.is_attack for pattern in late):
        return Judgement(Outcome.IGNORED, matched, hiding)
    if late:
        why = f"{late[0].name} took longer than {TIMEOUT * 1000:g} ms"
        return Judgement(Outcome.QUARANTINED, matched, hiding, quarantined_for=why)
    return Judgement(Outcome.UNEXPLAINED, matched)


def _hiding_attack(attack: AttackRule, ignores: Sequence[IgnoreRule]) -> IgnoreRule | None:
    """The ignore rule that hides a line of this attack. What logcheck's rules raise, its ignore.d does not hide."""
    return next((rule for rule in ignores if not rule.exempts and (attack.programs or rule.programs)), None)


def _attacks(found: Sequence[Pattern], ignores: Sequence[IgnoreRule]) -> tuple[list[Pattern], list[Pattern]]:
    """The attack rules that count, and those that a rule of logcheck's *.ignore.d exempts."""
    exempted = {file for rule in ignores for file in rule.exempts}
    attacks: list[Pattern] = []
    exempt: list[Pattern] = []
    for pattern in found:
        if isinstance(pattern.rule, AttackRule):
            (exempt if pattern.rule.file in exempted else attacks).append(pattern)
    return attacks, exempt


def _culprit(attacks: list[Pattern], message: bytes, patience: Patience) -> tuple[AttackRule, str | None]:
    """The rule that decides, and the address: that of the first rule that gives one, of those that count most."""
    rules = [(pattern, pattern.rule) for pattern in attacks if isinstance(pattern.rule, AttackRule)]
    worst = [each for each in rules if each[1].severity is Severity.ATTACK] or rules
    for pattern, rule in worst:
        if source := _address(pattern, message, patience):
            return rule, source
    return worst[0][1], None


def _address(pattern: Pattern, message: bytes, patience: Patience) -> str | None:
    if not patience.allows(pattern, len(message)):
        return None
    started = patience.timer()
    try:
        source = pattern.capture(message)
        return None if source is None else str(address.parse(source.decode("ascii", "backslashreplace")))
    except TimeoutError:
        patience.lose(pattern, len(message))
    except (ValueError, RuleError):  # no address; or a rule for Hyperscan alone
        pass
    finally:
        patience.spend(pattern, started)
    return None
