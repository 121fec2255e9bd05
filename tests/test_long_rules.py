"""A rule of ten thousand characters is in force, or is refused by its place, and holds nobody up: neither who compiles
it nor who matches lines."""

from __future__ import annotations

import resource

import pytest

from logwarden import matcher, process
from logwarden.model import AttackRule, Batch, Classified, Dialect, IgnoreRule, Location, RuleSet

pytestmark = pytest.mark.slow

BOTH = pytest.mark.parametrize("portable", [False, True], ids=["hyperscan", "regex"])
HEAD = "Nov 22 17:00:00 mail su: "
GREP_HEAD = r"^\w{3} [ :[:digit:]]{11} [._[:alnum:]-]+ cron: "

LONG = {
    "letters": ("a" * 10_000, "a" * 10_000),
    "a period": ("ab" * 5_000, "ab" * 5_000),
    "alternatives": ("(a|b)" * 2_000, "ab" * 1_000),
    "optional": ("a" + "(ab)?" * 2_000, "aabab"),
    "stars": ("b" + "a*" * 4_999, "baaa"),
    "gaps": (".*a" * 3_333, "a" * 3_333),
    "classes": ("[[:alpha:]]" * 900, "a" * 900),
    "bracket": (f"[{'a-z' * 3_330}]+", "quick"),
    "words": ("|".join(f"word{number}" for number in range(1_200)), "word1199"),
    "intervals": ("[0-9]{1,3}\\." * 900, "10." * 900),
    "groups": ("(a|b(" * 3 + "c" * 9_970 + ")*d)+" * 3, "aaa"),
    "stars in stars": ("(a|b(" * 24 + "c" * 9_700 + ")*d)*" * 23 + ")*d)+", "aaa"),
    "classes in stars": ("(x" * 40 + "[ab]" * 2_400 + ")*" * 40, "x"),
    "edges of words": ("\\b" * 4_990 + "a", "a"),
    "maybe nothing": ("((((a?){32}){32}){30}){1,2}b" + "x?" * 4_900, "ab"),
    "an address": ("x" * 9_000 + " from <ADDR>" + "y" * 980, "x" * 9_000 + " from 192.0.2.1" + "y" * 980),
}
"""Rules, and a message that each matches."""


def cpu_seconds() -> float:
    """What this process has used, and the children that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def classify(made: matcher.Matcher, *lines: str) -> Classified:
    block = "".join(f"{line}\n" for line in lines).encode()
    return made.classify(Batch("test", block, len(lines), ""), 1e9, every=True)


def forms(name: str) -> tuple[list[IgnoreRule], AttackRule | None, list[str]]:
    """A long rule as a native one, behind logcheck's header, anywhere in a line, and of an attack; lines of each."""
    rule, message = LONG[name]
    native = IgnoreRule(Location("native.rules", 1), rule, ("su",))
    if name == "an address":
        return [native], None, [HEAD + message]
    after = IgnoreRule(Location("logcheck", 1), f"{GREP_HEAD}({rule})$", (), Dialect.GREP)
    within = IgnoreRule(Location("logcheck", 2), f"login: ({rule})$", (), Dialect.GREP)
    attack = AttackRule(Location("x.yaml", 1), "x.yaml", "r", ("ftpd",), f"({rule}) by <ADDR>")
    lines = [HEAD + message, f"Nov 22 17:00:00 mail cron: {message}", f"a login: {message}"]
    return [native, after, within], attack, [*lines, f"Nov 22 17:00:00 mail ftpd: {message} by 192.0.2.7"]


@BOTH
@pytest.mark.parametrize("name", LONG)
def test_a_rule_of_ten_thousand_characters_is_in_force_at_once(name: str, portable: bool) -> None:
    ignores, attack, lines = forms(name)
    beside = IgnoreRule(Location("native.rules", 2), "Quiet[.]", ("su",))
    attacks = (attack,) if attack else ()
    before = cpu_seconds()
    made = matcher.compile(RuleSet((*ignores, beside), attacks), run=process.run, portable=portable)
    assert made.refused == ()
    found = classify(made, *lines, f"{HEAD}Quiet.")
    assert cpu_seconds() - before < 20
    if name != "gaps":  # over a line that it matches this one runs out of time, and is suspended
        assert found.notices == ()
        assert set(found.hits) == {*(str(each.where) for each in (*ignores, beside)), *map(str, attacks)}
        assert [each.address for each in found.verdicts if each.address] == ["192.0.2.7"] * len(attacks)
    hostile = [f"{line}{more}?" for line in lines for more in ("", "a" * 20_000)]
    before = cpu_seconds()
    missed = classify(made, *hostile, f"{HEAD}Quiet.")
    assert cpu_seconds() - before < 3
    assert missed.verdicts[-1].ignored_by is beside
    assert not any(each.ignored_by or each.attack_by for each in missed.verdicts[:-1])
