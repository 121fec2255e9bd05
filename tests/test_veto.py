"""No rule hides what the journal calls an error, unless it says so: counted, reported, and paid for by errors alone."""

from __future__ import annotations

from logwarden import matcher, veto
from logwarden.matcher import Matcher
from logwarden.model import Batch, Classified, Outcome, Provenance, RuleSet
from logwarden.rules import ignore

NOW = 1_795_366_800.0
RULES = b"cups: job <NUM> is (done|lost)\npriority: err\ncups: printer <NUM> is out of paper\n"


def made(rules: bytes = RULES) -> Matcher:
    found, refused = ignore.parse(rules, "x.rules")
    assert refused == []
    return matcher.compile(RuleSet(ignore=tuple(found)), portable=True)


def classified(*lines: tuple[str, int | None], rules: bytes = RULES) -> Classified:
    """What becomes of messages of cups, each with its priority."""
    block = "".join(f"2026-11-24T12:00:00.000000+00:00 host cups[42]: {message}\n" for message, _ in lines)
    known = tuple(Provenance(priority=priority) for _, priority in lines)
    return veto.classify(made(rules), Batch("journal", block.encode(), len(lines), "", provenance=known), NOW)


def shown(found: Classified) -> list[str]:
    return [verdict.event.message for verdict in found.verdicts if verdict.reported]


def test_an_error_is_reported_though_a_rule_hides_its_text() -> None:
    found = classified(("job 1 is done", 6), ("job 2 is lost", 3), ("job 3 is done", 4))
    assert shown(found) == ["job 2 is lost"]
    assert found.counts[Outcome.IGNORED] == 2
    assert found.counts[Outcome.UNEXPLAINED] == 1


def test_what_is_worse_than_an_error_is_reported_too() -> None:
    assert shown(classified(*((f"job {priority} is lost", priority) for priority in range(4)))) == [
        f"job {priority} is lost" for priority in range(4)
    ]


def test_a_rule_that_says_so_hides_an_error_and_nothing_worse() -> None:
    found = classified(("printer 1 is out of paper", 3), ("printer 2 is out of paper", 2))
    assert shown(found) == ["printer 2 is out of paper"]


def test_a_rule_may_say_that_it_hides_worse() -> None:
    found = classified(("on fire", 0), ("on fire", 3), rules=b"priority: emerg\ncups: on fire\n")
    assert shown(found) == []


def test_a_rule_that_was_overruled_has_not_matched() -> None:
    assert classified(("job 1 is done", 6), ("job 2 is lost", 3)).hits == {"x.rules:1": 1}
    assert classified(("job 2 is lost", 3)).hits == {}


def test_every_line_is_accounted_for_once() -> None:
    found = classified(*((f"job {number} is done", number % 8) for number in range(80)), ("unknown", 3), ("unknown", 6))
    assert sum(found.counts.values()) == 82
    assert found.counts[Outcome.UNEXPLAINED] == 42 == len(found.verdicts)


def test_a_line_without_a_priority_is_hidden_as_ever() -> None:
    assert shown(classified(("job 1 is lost", None))) == []


def test_a_batch_without_errors_is_looked_at_once() -> None:
    class Counting:
        looks = 0
        inner = made()

        def classify(self, batch: Batch, now: float, every: bool = False) -> Classified:
            self.looks += 1
            return self.inner.classify(batch, now, every)

    counting = Counting()
    block = b"2026-11-24T12:00:00.000000+00:00 host cups[42]: job 1 is done\n"
    veto.classify(counting, Batch("journal", block, 1, "", provenance=(Provenance(priority=6),)), NOW)  # type: ignore[arg-type]
    assert counting.looks == 1


# --- how a rule says it ---------------------------------------------------------------------------------------------


def test_priority_is_for_the_one_rule_that_follows() -> None:
    found, refused = ignore.parse(b"a: x\npriority: err\n# why\n\na: y\na: z\n", "x.rules")
    assert [rule.worst for rule in found] == [4, 3, 4]
    assert refused == []


def test_a_priority_that_is_none_is_refused_and_the_rule_stays_as_it_is() -> None:
    found, refused = ignore.parse(b"priority: error\na: y\n", "x.rules")
    assert [str(each) for each in refused] == ["x.rules:1: priority is one of err, crit, alert, emerg, not error"]
    assert [rule.worst for rule in found] == [4]


def test_a_priority_with_no_rule_behind_it_is_said() -> None:
    _, refused = ignore.parse(b"priority: err\npriority: crit\na: y\npriority: err\n", "x.rules")
    assert [each.where.line for each in refused] == [1, 4]
