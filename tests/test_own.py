"""What we said ourselves is no news where it is read; what looks like it is."""

from __future__ import annotations

import logging

import pytest

from logwarden import matcher
from logwarden.model import Batch, Classified, Outcome, RuleSet
from logwarden.own import OWN, SAID, Own

NOW = 1_795_366_800.0
MATCHER = matcher.compile(RuleSet(), portable=True)


@pytest.fixture
def own() -> Own:
    return Own()


def say(own: Own, text: str) -> None:
    own.handle(logging.LogRecord("logwarden", logging.WARNING, __file__, 1, "%s", (text,), None))


def read(own: Own, *lines: str) -> Classified:
    block = "".join(f"2026-11-24T12:00:00.000000+00:00 host {line}\n" for line in lines)
    return own.hush(MATCHER.classify(Batch("journal", block.encode(), len(lines), ""), NOW))


def unexplained(found: Classified) -> list[str]:
    return [each.event.message for each in found.verdicts if each.outcome is Outcome.UNEXPLAINED]


def test_what_we_said_is_ignored_with_or_without_its_level_and_counted(own: Own) -> None:
    say(own, "mail: localhost:25 refuses")
    found = read(own, "logwarden[7]: mail: localhost:25 refuses", "logwarden[7]: WARNING: mail: localhost:25 refuses")
    assert unexplained(found) == []
    assert (found.counts[Outcome.IGNORED], found.counts[Outcome.UNEXPLAINED]) == (2, 0)
    assert found.hits == {OWN: 2}


def test_words_of_several_lines_are_known_whole_and_in_pieces(own: Own) -> None:
    say(own, "the database refuses:\n\tdisk full")
    found = read(own, "logwarden: ERROR: the database refuses:#012#011disk full", "logwarden: #011disk full")
    assert unexplained(found) == []


def test_what_we_did_not_say_and_what_others_say_is_news(own: Own) -> None:
    say(own, "mail: localhost:25 refuses")
    lines = ("logwarden[7]: Traceback (most recent call last):", "sshd[7]: mail: localhost:25 refuses")
    assert len(unexplained(read(own, *lines))) == 2


def test_of_much_that_was_said_the_latest_is_known(own: Own) -> None:
    for number in range(SAID + 1):
        say(own, f"said {number}")
    assert unexplained(read(own, "logwarden: said 0", f"logwarden: said {SAID}")) == ["said 0"]
