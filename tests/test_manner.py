"""What a source says of all its lines: that they are read for their attacks alone, or are JSON that says when."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from logwarden import manner, matcher
from logwarden.correlation import Correlation
from logwarden.manner import ALONE
from logwarden.matcher import Matcher
from logwarden.model import AttackRule, Batch, Classified, IgnoreRule, Location, Manner, Outcome, RuleSet, Severity

NOW = 1_790_000_000.0
WHERE = Location("x.yaml", 1)
ATTEMPT = r'\{"ip":"<ADDR>".*'


def rule(name: str, regex: str, severity: Severity = Severity.ATTACK, requires: tuple[str, ...] = ()) -> AttackRule:
    return AttackRule(WHERE, "x.yaml", name, ("app",), regex, severity=severity, requires=requires)


MADE: Matcher = matcher.compile(
    RuleSet(
        (IgnoreRule(WHERE, "normal", ("app",)),),
        (
            rule("attempt", ATTEMPT),
            rule("violation", "su: wrong", Severity.VIOLATION),
            rule("accept", "accepted <SESSION> from <ADDR>", Severity.CONTEXT),
            rule("refused", "refused <SESSION>", Severity.CONTEXT, ("accept",)),
        ),
    ),
    portable=True,
)


def judged(*lines: str, alone: bool = True, time: str | None = None) -> Classified:
    said = Manner(alone, time)
    block = "".join(f"{line}\n" for line in lines).encode()
    batch = Batch("file:/x", block, len(lines), "", "app", manner=said)
    found = manner.dated(MADE.classify(batch, NOW), said, NOW)
    return manner.attacks_alone(Correlation().join(found, NOW), said)


def test_what_no_attack_rule_takes_is_ignored_and_counted_as_such() -> None:
    found = judged("normal", "unheard of", "unheard of", '{"ip":"203.0.113.9"}', "x" * 70_000)
    assert found.counts == {Outcome.IGNORED: 3, Outcome.ATTACK: 1, Outcome.QUARANTINED: 1}
    assert found.hits[ALONE] == 2
    assert [each.outcome for each in found.verdicts] == [Outcome.ATTACK, Outcome.QUARANTINED]


def test_a_violation_is_reported_all_the_same() -> None:
    found = judged("su: wrong", "unheard of")
    assert [each.event.message for each in found.verdicts if each.reported] == ["su: wrong"]


def test_two_lines_of_one_session_are_still_an_attack() -> None:
    found = judged("accepted 7 from 203.0.113.9", "refused 7", "refused 8")
    assert [(each.outcome, each.address) for each in found.verdicts] == [(Outcome.ATTACK, "203.0.113.9")]
    assert found.counts[Outcome.IGNORED] == 2


def test_a_source_that_does_not_say_so_is_as_ever() -> None:
    found = judged("unheard of", "normal", alone=False)
    assert found.counts[Outcome.UNEXPLAINED] == 1
    assert ALONE not in found.hits


@pytest.mark.parametrize(
    ("member", "path", "seconds"),
    [
        ({"time": "2026-09-21T14:13:20Z"}, "time", NOW),
        ({"time": "2026-09-21T14:13:20.5+00:00"}, "time", NOW + 0.5),
        ({"time": "2026-09-21T16:13:20+0200"}, "time", NOW),
        ({"time": "2026-09-21 14:13:20+00:00"}, "time", NOW),
        ({"ts": 1_790_000_000.25}, "ts", NOW + 0.25),
        ({"ts": 1_790_000_000_250}, "ts", NOW + 0.25),
        ({"t": {"$date": "2026-09-21T14:13:20.000+00:00"}}, "t.$date", NOW),
    ],
)
def test_a_json_line_says_when(member: dict[str, object], path: str, seconds: float) -> None:
    (found,) = judged(json.dumps({"ip": "203.0.113.9", **member}, separators=(",", ":")), time=path).verdicts
    assert found.event.time == seconds
    assert datetime.fromtimestamp(seconds, UTC).year == 2026


@pytest.mark.parametrize(
    "rest",
    [
        '"time":null',
        '"time":true',
        '"time":"yesterday"',
        '"time":{"time":1790000000}',
        '"time":-1',
        '"time":1e999',
        f'"time":1{"0" * 400}',
        '"time":NaN',
        '"other":1',
        '"time":1790000000',
    ],
)
def test_a_json_line_that_says_no_time_has_none(rest: str) -> None:
    (found,) = judged(f'{{"ip":"203.0.113.9",{rest}}}', time="time.deeper").verdicts
    assert found.event.time is None
    (found,) = judged(f'{{"ip":"203.0.113.9",{rest}}}', time="time").verdicts
    assert found.event.time == (NOW if rest.endswith("1790000000") else None)


def test_an_attack_of_a_backlog_that_says_no_time_is_as_old_as_it_may_be() -> None:
    lines = '{"ip":"203.0.113.9"}\naccepted 7 from 203.0.113.9\n2026-09-21T14:13:20Z app: {"ip":"203.0.113.9"}\nother\n'
    batch = Batch("file:/x", lines.encode(), 4, "", "app", written=NOW - 7200)
    found = manner.dated(MADE.classify(batch, NOW), batch.manner, NOW, batch.written)
    assert [each.event.time for each in found.verdicts] == [NOW - 7200, NOW - 7200, NOW, None]


@pytest.mark.parametrize("rest", ['"time":', "[" * 60_000, '"a":"\\ud800"'])
def test_a_line_that_is_no_json_is_judged_without_its_time(rest: str) -> None:
    (found,) = judged(f'{{"ip":"203.0.113.9",{rest}', time="time").verdicts
    assert (found.address, found.event.time) == ("203.0.113.9", None)


def test_a_line_that_nobody_sees_is_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(manner.json, "loads", lambda text: looked.append(text) or {})
    judged('{"user":"alice"}', '{"ip":"203.0.113.9"}', time="time")
    assert looked == ['{"ip":"203.0.113.9"}']
