"""What the rules that match a line make of it.

An attack outweighs an ignore rule; a rule of logcheck's *.ignore.d exempts the line from the attack rules of its files,
and hides it where none of them is left. Where time ran out before all is known the line is quarantined, unless it was
for an ignore rule and another one hides the line. Rules of Severity.CONTEXT decide nothing: they are handed on beside.

Owns: these decisions, and the addresses that attack rules capture. A decision depends on nothing but which rules
matched, and of those sets there are few: each is decided once. Addresses are captured for many lines at a time, for
it is the call that costs.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import address
from ..model import AttackRule, Context, IgnoreRule, Outcome, Severity
from .engine import Patience
from .patterns import TIMEOUT, Pattern

if TYPE_CHECKING:
    from .sole import Shortcut

_MOST_DECISIONS = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """The part of a Verdict that the rules decide, and the rules that count as having matched. Of an attack, `culprits`
    are the rules that may name its address, the first that does being the one that decides."""

    outcome: Outcome
    matched: Sequence[Pattern] = ()
    ignored_by: IgnoreRule | None = None
    attack_by: AttackRule | None = None
    quarantined_for: str | None = None
    culprits: Sequence[tuple[Pattern, AttackRule]] = ()
    contexts: Sequence[tuple[Pattern, AttackRule]] = ()


Source = tuple[AttackRule, str] | None
"""The rule that names the address of an attack, and the address, normalised."""
Named = tuple[Source, tuple[Context, ...]]
"""What is known of a line by what its rules capture."""
UNNAMED: Named = (None, ())


class Judge:
    """For one thread at a time."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._decisions: dict[tuple[Pattern, ...], Decision] = {}

    def decide(self, found: Sequence[Pattern], late: Sequence[Pattern]) -> Decision:
        """What becomes of a line. `found` are the rules that match, `late` those that ran out of time."""
        if late:
            return _decide(_in_order(found), late)
        key = tuple(found)
        if (known := self._decisions.get(key)) is not None:
            return known
        if len(self._decisions) >= _MOST_DECISIONS:
            self._decisions.clear()
        return self._decisions.setdefault(key, _decide(_in_order(found), ()))

    def named(self, lines: Sequence[tuple[Decision, bytes]]) -> list[Named]:
        """Who did it, and the contexts, for each decision on a line with this message."""
        found = [UNNAMED] * len(lines)
        alike: defaultdict[Decision, list[int]] = defaultdict(list)
        for index, (decision, _) in enumerate(lines):
            alike[decision].append(index)
        for decision, indices in alike.items():
            messages = [lines[index][1] for index in indices]
            sources, contexts = self._sources(decision, messages), self._contexts(decision, messages)
            for index, source, context in zip(indices, sources, contexts, strict=True):
                found[index] = (source, context)
        return found

    def _sources(self, decision: Decision, messages: Sequence[bytes]) -> Sequence[Source]:
        found: list[Source] = [None] * len(messages)
        left: Sequence[int] = range(len(messages))
        for pattern, rule in decision.culprits:
            captured = self._captured(pattern, [messages[index] for index in left])
            for index, text in zip(left, captured, strict=True):
                if text and (source := _normalised(text)):
                    found[index] = (rule, source)
            left = [index for index in left if found[index] is None]
            if not left:
                break
        return found

    def _contexts(self, decision: Decision, messages: Sequence[bytes]) -> Sequence[tuple[Context, ...]]:
        found: list[tuple[Context, ...]] = [()] * len(messages)
        for pattern, rule in decision.contexts:
            captured = self._captured(pattern, messages) if pattern.captures else [None] * len(messages)
            for index, text in enumerate(captured):
                found[index] += (Context(rule, _normalised(text) if text else None),)
        return found

    def _captured(self, pattern: Pattern, messages: Sequence[bytes]) -> Sequence[bytes | None]:
        """What a pattern says is the source, for each message."""
        captured: Sequence[bytes | None] = [None] * len(messages)
        ways: list[Shortcut] = [*pattern.shortcuts, functools.partial(self._read, pattern)]
        for read in ways:
            captured = _completed(captured, read, messages)
            if all(captured):
                break
        return captured

    def _read(self, pattern: Pattern, messages: Sequence[bytes]) -> Sequence[bytes | None]:
        """The same, by the pattern's regex; one by one where all at once take too long, to know which of them does."""
        found = self._read_at_once(pattern, messages) if len(messages) > 1 else None
        return [self._capture(pattern, message) for message in messages] if found is None else found

    def _read_at_once(self, pattern: Pattern, messages: Sequence[bytes]) -> Sequence[bytes | None] | None:
        if not self._patience.allows(pattern, max(map(len, messages))) or not pattern.can_capture(many=True):
            return None
        started = self._patience.timer()
        try:
            return pattern.capture_all(messages)
        except TimeoutError:
            return None
        finally:
            self._patience.spend(pattern, started, messages)

    def _capture(self, pattern: Pattern, message: bytes) -> bytes | None:
        if not self._patience.allows(pattern, len(message)) or not pattern.can_capture(many=False):
            return None
        started = self._patience.timer()
        try:
            return pattern.capture(message)
        except TimeoutError:
            self._patience.lose(pattern, len(message))
            return None
        finally:
            self._patience.spend(pattern, started, [message])


def _completed(known: Sequence[bytes | None], read: Shortcut, messages: Sequence[bytes]) -> Sequence[bytes | None]:
    """`known`, and what is read of those messages of which nothing is."""
    if not any(known):
        return read(messages)
    unknown = [index for index, text in enumerate(known) if text is None]
    found = dict(zip(unknown, read([messages[index] for index in unknown]), strict=True))
    return [found.get(index, text) for index, text in enumerate(known)]


def _in_order(found: Sequence[Pattern]) -> list[Pattern]:
    """As the rule set has them, none twice."""
    return sorted(set(found), key=lambda pattern: pattern.rank)


def _decide(found: Sequence[Pattern], late: Sequence[Pattern]) -> Decision:
    if contexts := _session_rules(found):
        others = [each for each in found if each not in dict(contexts)]
        return replace(_decide(others, late), contexts=contexts)
    if not found and not late:
        return Decision(Outcome.UNEXPLAINED)
    ignores = [pattern.rule for pattern in found if isinstance(pattern.rule, IgnoreRule)]
    attacks, exempt = _attacks(found, ignores)
    hiding = next((rule for rule in ignores if not rule.exempts), None)
    matched = [pattern for pattern in found if pattern not in exempt]
    if attacks:
        worst = _of(Severity.ATTACK, attacks) or _of(Severity.ALERT, attacks) or attacks
        culprits = [each for each in worst if each[0].captures]
        first = worst[0][1]
        return Decision(Outcome.ATTACK, matched, _hiding_attack(first, ignores), first, culprits=culprits)
    if exempt and not hiding:
        hiding = next(rule for rule in ignores if rule.exempts)
    if hiding and not any(pattern.is_attack for pattern in late):
        return Decision(Outcome.IGNORED, matched, hiding)
    if late:
        why = f"{late[0].name} took longer than {TIMEOUT * 1000:g} ms"
        return Decision(Outcome.QUARANTINED, matched, hiding, quarantined_for=why)
    return Decision(Outcome.UNEXPLAINED, matched)


def _of(severity: Severity, attacks: Sequence[tuple[Pattern, AttackRule]]) -> list[tuple[Pattern, AttackRule]]:
    return [each for each in attacks if each[1].severity is severity]


def _session_rules(found: Sequence[Pattern]) -> list[tuple[Pattern, AttackRule]]:
    return [
        (each, each.rule)
        for each in found
        if isinstance(each.rule, AttackRule) and each.rule.severity is Severity.CONTEXT
    ]


def _attacks(
    found: Sequence[Pattern], ignores: Sequence[IgnoreRule]
) -> tuple[list[tuple[Pattern, AttackRule]], list[Pattern]]:
    """The attack rules that count, and those that a rule of logcheck's *.ignore.d exempts."""
    exempted = {file for rule in ignores for file in rule.exempts}
    attacks: list[tuple[Pattern, AttackRule]] = []
    exempt: list[Pattern] = []
    for pattern in found:
        if isinstance(pattern.rule, AttackRule):
            if pattern.rule.file in exempted:
                exempt.append(pattern)
            else:
                attacks.append((pattern, pattern.rule))
    return attacks, exempt


def _hiding_attack(attack: AttackRule, ignores: Sequence[IgnoreRule]) -> IgnoreRule | None:
    """The ignore rule that hides a line of this attack. What logcheck's rules raise, its ignore.d does not hide."""
    return next((rule for rule in ignores if not rule.exempts and (attack.programs or rule.programs)), None)


@functools.lru_cache(maxsize=4096)
def _normalised(text: bytes) -> str | None:
    """An address; None where the text is none."""
    try:
        return address.normalised(text.decode("ascii", "backslashreplace"))
    except ValueError:
        return None
