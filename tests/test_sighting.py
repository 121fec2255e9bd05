"""What sources have shown is remembered in little memory, as a plain list would tell it, and over a restart."""

from __future__ import annotations

import random
import sqlite3
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden import sighting
from logwarden.echo import Echoes
from logwarden.errors import StateError
from logwarden.sighting import CAPACITY, KEY, Sighting, Sightings
from logwarden.state import State

KEYS = [bytes([letter]) * KEY for letter in b"abcdef"]
SOURCES = ("journal", "file:/var/log/syslog", "file:/var/log/mail.log")
WINDOW = 5.0


class PlainList:
    """The same, as simple as can be."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._all: list[Sighting] = []

    def take(self, key: bytes, source: str, pid: int | None, time: float) -> Sighting:
        for index, each in enumerate(self._all):
            one = each.key == key and (pid is None or each.pid in (pid, None)) and abs(each.time - time) <= WINDOW
            if one and source not in each.sources:
                self._all[index] = each._replace(sources=(*each.sources, source))
                return self._all[index]
        number = self._all[-1].number + 1 if self._all else 1
        self._all = [*self._all, Sighting(number, key, pid, time, (source,))][-self._capacity :]
        return self._all[-1]


def take(packed: Sightings, key: bytes, source: str, pid: int | None, time: float) -> Sighting:
    again = packed.again(key, source, pid, time - WINDOW, time + WINDOW)
    return again or Sighting(packed.add(key, pid, time, (source,)), key, pid, time, (source,))


messages = st.tuples(
    st.sampled_from(KEYS), st.sampled_from(SOURCES), st.sampled_from((None, 0, 7)), st.sampled_from((0.0, 0.5, 5.0))
)


@given(st.sampled_from((1, 2, 5, 24)), st.integers(1, len(KEYS)), st.lists(messages, max_size=120))
def test_whatever_comes_it_is_found_as_in_a_plain_list(
    capacity: int, keys: int, said: list[tuple[bytes, str, int | None, float]]
) -> None:
    packed, plain = Sightings(capacity), PlainList(capacity)
    for key, source, pid, time in said:
        key = KEYS[KEYS.index(key) % keys]
        assert take(packed, key, source, pid, time) == plain.take(key, source, pid, time)
    assert len(packed) <= capacity


def test_a_message_takes_few_bytes() -> None:
    chance, number = random.Random(1), 4_096
    tracemalloc.start()
    packed = Sightings(number)
    for pid in range(2 * number):
        take(packed, chance.randbytes(KEY), SOURCES[0], pid, float(pid))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(packed) == number
    assert taken < 70 * number


def test_sources_that_come_and_go_are_forgotten_with_their_last_message() -> None:
    packed = Sightings(10)
    for number in range(5_000):
        take(packed, KEYS[number % 6], f"file:/var/log/app-{number}.log", 1, 100.0 * number)
    assert len(packed._sets) == len(packed._places) < 2_000
    again = packed.again(KEYS[4999 % 6], SOURCES[0], 1, 499_900.0, 499_900.0)
    assert again is not None
    assert again.sources == ("file:/var/log/app-4999.log", SOURCES[0])


def test_floods_of_many_messages_at_once_leave_a_bounded_number_of_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sighting, "_STARTS", 100)
    packed = Sightings(4_096)
    for number in range(3_000):
        take(packed, (number % 150).to_bytes(KEY, "big"), SOURCES[0], 1, 0.0)
    assert len(packed._starts) == 100


# --- over a restart -------------------------------------------------------------------------------------------------


def test_the_database_forgets_what_memory_forgets(tmp_path: Path) -> None:
    state = State(str(tmp_path))
    rows = [Sighting(number, KEYS[0], None, 0.0, SOURCES[:1]) for number in (1, 2, CAPACITY + 1)]
    for row in rows:
        with state.transaction() as tx:
            tx.add_sightings([row])
    assert list(state.sightings()) == rows[1:]
    state.close()


@pytest.mark.parametrize("first", [1, 70_001])
def test_what_is_restored_is_known_again_and_numbered_on(first: int) -> None:
    known = [Sighting(first + index, key, None, 0.0, SOURCES[:1]) for index, key in enumerate(KEYS)]
    shown_since = known[1]._replace(sources=SOURCES[:2])
    latest = Echoes([*known, shown_since], capacity=4)._latest
    assert latest.next == first + 6
    assert latest.again(KEYS[1], SOURCES[1], None, 0.0, 0.0) is None, "it is forgotten"
    assert latest.again(KEYS[2], SOURCES[1], None, 0.0, 0.0) == known[2]._replace(sources=SOURCES[:2])
    assert latest.again(KEYS[2], SOURCES[1], None, 0.0, 0.0) is None, "it has shown it now"


def test_what_the_uncommitted_show_of_a_message_comes_before_what_the_database_has() -> None:
    known = [Sighting(number, KEYS[number], None, 0.0, SOURCES[:1]) for number in (1, 2, 3)]
    latest = Echoes([*known, known[1]._replace(sources=SOURCES[:2])])._latest
    assert latest.again(KEYS[2], SOURCES[1], None, 0.0, 0.0) is None


def test_after_a_gap_only_what_follows_it_is_known() -> None:
    known = [Sighting(number, KEYS[0], None, 0.0, SOURCES[:1]) for number in (1, 2, 9)]
    latest = Echoes(known)._latest
    assert (len(latest), latest.next) == (1, 10)


@pytest.mark.parametrize("row", [(1, b"short", 1, 0.0), (1, "x" * KEY, 1, 0.0), (1, KEYS[0], "pid", 0.0)])
def test_a_row_that_was_never_written_so_is_damage(row: tuple[object, ...], tmp_path: Path) -> None:
    State(str(tmp_path)).close()
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute("INSERT INTO sighting VALUES (?,?,?,?,'journal')", row)
    state = State(str(tmp_path))
    with pytest.raises(StateError):
        Echoes(state.sightings())
    assert state.damaged
    state.close()
