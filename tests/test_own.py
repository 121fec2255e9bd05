"""What we said ourselves is no news where it is read; what looks like it is."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from small import Small

from logwarden import matcher, systemd
from logwarden.model import Batch, Classified, Notice, NoticeKind, Outcome, RuleSet
from logwarden.own import KEPT, OWN, SAID, Own

NOW = 1_795_366_800.0
MATCHER = matcher.compile(RuleSet(), portable=True)


@pytest.fixture
def own() -> Own:
    return Own("host.example.org", "web1")


def say(own: Own, text: str) -> None:
    own.handle(logging.LogRecord("logwarden", logging.WARNING, __file__, 1, "%s", (text,), None))


def read(own: Own, *lines: str, host: str = "host") -> Classified:
    block = "".join(f"2026-11-24T12:00:00.000000+00:00 {host} {line}\n" for line in lines)
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


def test_what_we_said_of_a_name_that_is_no_utf_8_reaches_the_journal_and_is_known_again(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not logged, and a traceback in its place was mailed."""
    journal = pytest.importorskip("systemd.journal")
    sent: list[dict[str, object]] = []
    monkeypatch.setattr(journal, "send", lambda message, /, **fields: sent.append({"MESSAGE": message, **fields}))
    record = logging.LogRecord("logwarden", logging.WARNING, __file__, 1, "%s: gone", ("file:/x/\udcff",), None)
    record.LOGWARDEN_ABOUT = "file:/x/\udcff"
    systemd.handler(journal).handle(record)
    own.handle(record)
    ((message, about, identifier, priority),) = (
        [str(each[name]) for name in ("MESSAGE", "LOGWARDEN_ABOUT", "SYSLOG_IDENTIFIER", "PRIORITY")] for each in sent
    )
    assert (about, identifier, priority) == ("file:/x/\\udcff", "logwarden", "4")
    assert unexplained(read(own, f"logwarden[7]: {message}")) == []


def test_of_much_that_was_said_the_latest_is_known(own: Own) -> None:
    for number in range(SAID + 1):
        say(own, f"said {number}")
    assert unexplained(read(own, "logwarden: said 0", f"logwarden: said {SAID}")) == ["said 0"]


def test_what_another_host_s_logwarden_says_is_news_though_we_said_the_same(own: Own) -> None:
    say(own, "mail: localhost:25 refuses")
    line = "logwarden[7]: mail: localhost:25 refuses"
    for host, news in (("host", 0), ("HOST.example.org", 0), ("web1", 0), ("host2", 1), ("db.example.org", 1)):
        assert len(unexplained(read(own, line, host=host))) == news, host


def test_what_a_process_said_at_its_end_is_known_to_the_next(own: Own) -> None:
    for number in range(KEPT + 1):
        say(own, f"said {number}")
    following = Own("host")
    following.load(json.loads(json.dumps(own.dump())))
    found = read(following, "logwarden[7]: said 0", "logwarden[7]: said 1", f"logwarden[7]: said {KEPT}")
    assert unexplained(found) == ["said 0"]
    Own().load(None)


@pytest.mark.slow
def test_a_daemon_that_starts_anew_knows_what_the_last_one_said(tmp_path: Path) -> None:
    small = Small(tmp_path)
    with small.running() as daemon:
        daemon.note(Notice(NoticeKind.FIREWALL, "ipset", "it hangs", NOW))
    with small.running():
        small.write("ipset: it hangs", "ipset: it burns", tag="logwarden[7]")
        shown = small.preview().partition("UNEXPLAINED")[2]
        assert "it burns" in shown
        assert "it hangs" not in shown
