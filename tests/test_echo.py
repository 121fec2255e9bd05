"""The same message through the journal and through rsyslog's file is one event; what is said twice is said twice."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden import watch
from logwarden.address import Guard
from logwarden.config import load
from logwarden.echo import ECHO, WINDOW, Echoes
from logwarden.firewall import BACKENDS
from logwarden.matcher import compile as compile_rules
from logwarden.model import (
    AttackRule,
    Batch,
    Classified,
    Event,
    IgnoreRule,
    Location,
    Outcome,
    Policy,
    RuleSet,
    Verdict,
)
from logwarden.notices import Owed
from logwarden.pipeline import Pipeline
from logwarden.settings import FileConfig, JournalConfig, SourcesConfig
from logwarden.silence import Roll
from logwarden.state import State
from logwarden.tracker import Tracker

NOW = 1_795_366_800.0
JOURNAL, SYSLOG, MAIL = "journal", "file:/var/log/syslog", "file:/var/log/mail.log"
WHERE = Location("x", 1)
ATTACK = AttackRule(WHERE, "sshd.yaml", "failed", ("sshd",), "Failed password for <USER> from <ADDR>")
RULES = RuleSet((IgnoreRule(WHERE, "normal", ("*",)),), (ATTACK,))


def verdict(
    source: str,
    message: str = "odd",
    *,
    time: float | None = NOW,
    host: str = "web1",
    program: str = "app",
    pid: int | None = 1,
    outcome: Outcome = Outcome.UNEXPLAINED,
) -> Verdict:
    return Verdict(source, Event(time, host, program, pid, message, message), outcome)


def sift(echoes: Echoes, *verdicts: Verdict, ignored: int = 0) -> tuple[int, Classified]:
    """How many of these, all of one source, were new, and the account."""
    counts = Counter(each.outcome for each in verdicts) + Counter({Outcome.IGNORED: ignored})
    classified, _ = echoes.sift(verdicts[0].source, Classified(counts, {}, verdicts))
    assert sum(classified.counts.values()) == counts.total(), "read is still what was read"
    return len(classified.verdicts), classified


def test_a_message_through_a_second_source_is_ignored_and_counted_as_an_echo() -> None:
    echoes = Echoes()
    assert sift(echoes, verdict(JOURNAL), ignored=3)[0] == 1
    new, classified = sift(echoes, verdict(SYSLOG), ignored=3)
    assert new == 0
    assert {outcome: count for outcome, count in classified.counts.items() if count} == {Outcome.IGNORED: 4}
    assert classified.hits == {ECHO: 1}


def test_it_does_not_matter_which_source_comes_first_nor_how_many_there_are() -> None:
    for sources in ((JOURNAL, SYSLOG, MAIL), (MAIL, JOURNAL, SYSLOG)):
        echoes = Echoes()
        assert [sift(echoes, verdict(source))[0] for source in sources] == [1, 0, 0]


def test_what_one_source_says_twice_is_two_messages_and_both_have_their_echo() -> None:
    echoes = Echoes()
    assert sift(echoes, verdict(JOURNAL), verdict(JOURNAL))[0] == 2
    assert sift(echoes, verdict(SYSLOG), verdict(SYSLOG), verdict(SYSLOG))[0] == 1, "the third was only in the file"
    assert sift(echoes, verdict(JOURNAL))[0] == 0, "and here is its echo"


@pytest.mark.parametrize(
    ("other", "new"),
    [
        ({"message": "even"}, 1),
        ({"program": "other"}, 1),
        ({"host": "web2"}, 1),
        ({"host": "WEB1.example.com"}, 0),
        ({"pid": 2}, 1),
        ({"pid": None}, 0),
        ({"time": NOW - 0.9}, 0),
        ({"time": NOW + WINDOW + 1}, 1),
        ({"time": NOW - WINDOW - 1}, 1),
        ({"time": None}, 1),
        ({"outcome": Outcome.ATTACK}, 1),
        ({"message": " odd"}, 0),
    ],
)
def test_one_message_has_one_host_program_pid_time_and_text(other: dict[str, object], new: int) -> None:
    echoes = Echoes()
    sift(echoes, verdict(JOURNAL))
    assert sift(echoes, verdict(SYSLOG, **other))[0] == new  # type: ignore[arg-type]


def test_hosts_that_are_addresses_are_compared_whole() -> None:
    echoes = Echoes()
    sift(echoes, verdict(JOURNAL, host="192.0.2.1"))
    assert sift(echoes, verdict(SYSLOG, host="192.0.2.2"))[0] == 1


def test_what_rsyslog_escapes_or_cuts_is_known_all_the_same() -> None:
    echoes = Echoes()
    sift(echoes, verdict(JOURNAL, "a\tb\x1b[0m"), verdict(JOURNAL, "x" * 20_000))
    assert sift(echoes, verdict(SYSLOG, "a#011b#033[0m"), verdict(SYSLOG, "x" * 8_000))[0] == 0


def test_equal_messages_of_several_processes_find_their_own_echo_in_any_order() -> None:
    echoes = Echoes()
    sift(echoes, *(verdict(JOURNAL, pid=pid) for pid in (1, 2, 3)))
    assert sift(echoes, *(verdict(SYSLOG, pid=pid) for pid in (3, 1, 2, 4)))[0] == 1


def test_a_flood_of_equal_messages_takes_time_in_proportion_and_memory_within_bounds() -> None:
    echoes = Echoes(capacity=1000)
    flood = [verdict(JOURNAL)] * 5000
    assert sift(echoes, *flood)[0] == 5000
    assert sift(echoes, *[verdict(SYSLOG)] * 1000)[0] == 0
    assert len(echoes._latest) <= 1000


def test_what_was_forgotten_is_reported_again_rather_than_lost() -> None:
    echoes = Echoes(capacity=2)
    sift(echoes, *(verdict(JOURNAL, message) for message in ("one", "two", "three")))
    assert sift(echoes, *(verdict(SYSLOG, message) for message in ("two", "three", "one")))[0] == 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from((JOURNAL, SYSLOG))), max_size=60), st.integers())
def test_however_two_sources_interleave_each_message_is_new_once(said: list[tuple[str, str]], seed: int) -> None:
    """`said`: a text, and the source that shows it first; the other one shows it later, in the same order."""
    echoes, chance = Echoes(), random.Random(seed)
    streams = {JOURNAL: [text for text, _ in said], SYSLOG: [text for text, _ in said]}
    new: Counter[str] = Counter()
    while any(streams.values()):
        source = chance.choice([source for source, left in streams.items() if left])
        text = streams[source].pop(0)
        new[text] += sift(echoes, verdict(source, text))[0]
    assert new == Counter(text for text, _ in said)


# --- in the pipeline, over a restart --------------------------------------------------------------------------------


def pipeline(state: State) -> Pipeline:
    tracker = Tracker(Policy(3, 600.0, 3600.0), {}, Guard(permit_documentation=True))
    echoes = Echoes(state.sightings())
    return Pipeline(
        compile_rules(RULES, portable=True), tracker, state, BACKENDS["dry-run"](None), Roll(NOW), Owed(), echoes
    )


def batch(source: str, *texts: str) -> Batch:
    block = "".join(f"2026-11-22T17:00:00+00:00 web1 {text}\n" for text in texts).encode()
    return Batch(source, block, len(texts), "1")


def failed(pid: int) -> str:
    return f"sshd[{pid}]: Failed password for root from 203.0.113.9"


def test_an_attack_seen_twice_counts_once_and_a_restart_between_the_two_changes_nothing(tmp_path: Path) -> None:
    state = State(str(tmp_path))
    pipeline(state).process([batch(JOURNAL, failed(1), failed(2), "app: odd", "app: normal")], NOW)
    pipeline(state).process([batch(SYSLOG, failed(1), "app: odd", "app: odd", "app: normal")], NOW)
    third = pipeline(state)
    third.process([batch(SYSLOG, failed(2)), batch(JOURNAL, "app: odd")], NOW)
    assert state.bans(NOW) == []
    assert len(list(state.entries(state.period()[0]))) == 4, "two attacks, and what was odd twice"  # type: ignore[index]
    tallies = state.tallies()
    assert sum(tallies[JOURNAL].values()) == sum(tallies[SYSLOG].values()) == 5
    assert tallies[SYSLOG] == {**dict.fromkeys(Outcome, 0), Outcome.IGNORED: 4, Outcome.UNEXPLAINED: 1}
    assert state.rule_totals()[ECHO][0] == 4
    assert state.rule_totals()["sshd.yaml#failed"][0] == 2
    state.close()


# --- when it is at work, and advice ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("journal", "files", "at_work", "advised"),
    [
        (True, (), False, False),
        (False, ("/var/log/syslog",), False, False),
        (False, ("/var/log/syslog", "/var/log/mail.log"), True, False),
        (False, ("/var/log/hosts/*.log",), True, False),
        (True, ("/srv/app.log",), True, False),
        (True, ("/var/log/syslog",), True, True),
        (True, ("/var/log/*",), True, True),
    ],
)
def test_echoes_are_listened_for_where_there_can_be_any(
    journal: bool, files: tuple[str, ...], at_work: bool, advised: bool, tmp_path: Path
) -> None:

    sources = SourcesConfig(JournalConfig() if journal else None, tuple(map(FileConfig, files)))
    config = load_nothing(tmp_path)._replace(sources=sources)
    state = State(str(tmp_path))
    assert (watch.echoes(config, ()) is not None) == at_work
    assert bool(watch.read_twice(config)) == advised
    state.close()


def load_nothing(place: Path):  # type: ignore[no-untyped-def]
    (place / "logwarden.yaml").write_text("{}\n")
    return load(str(place / "logwarden.yaml"))
