"""The C around Hyperscan: what it makes of a block and of matches, and that nothing it is given makes it err."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("logwarden.matcher._hyperscan", reason="logwarden was built without Hyperscan")
from logwarden import header
from logwarden.errors import RuleError
from logwarden.matcher._hyperscan import Database, count, mark, select
from logwarden.matcher._hyperscan_compiler import compiled
from logwarden.matcher.engine import Patience
from logwarden.matcher.hyperscan_engine import HyperscanEngine

DATABASE = compiled([b"^a.*$", b"^[^\n]*b$", b"^no$"])
BLOCK = b"ab\nac\ncb\ndd\n"


def matches(*pairs: tuple[int, int]) -> bytes:
    """(id, end) as a scan returns them."""
    return b"".join(struct.pack("=II", *pair) for pair in pairs)


def test_a_scan_finds_each_match_by_the_end_of_its_line() -> None:
    found = Database(DATABASE).scan(BLOCK)
    assert set(struct.iter_unpack("=II", found)) == {(0, 2), (1, 2), (0, 5), (1, 8)}
    assert Database(DATABASE).scan(BLOCK, False) == b""
    assert Database(DATABASE).scan(b"") == b""


lines = st.lists(st.sampled_from([b"ab", b"cb", b"no", b"a", b"", b"gate", b"agateb", b"gate no", b"gab gateb"]))


@given(lines, st.sampled_from([[b"gate"], [b"gate", b"a", b"no"], [b"no", b"ga", b"ate", b"b$"], [b"xyzzy"]]))
def test_behind_a_gate_those_lines_are_seen_in_which_it_finds_something(given: list[bytes], texts: list[bytes]) -> None:
    block = b"".join(line + b"\n" for line in given)
    gate = compiled(texts)
    let_through = {block.index(b"\n", end) for _, end in struct.iter_unpack("=II", Database(gate).scan(block))}
    every = set(struct.iter_unpack("=II", Database(DATABASE).scan(block)))
    found = list(struct.iter_unpack("=II", Database(DATABASE, gate).scan(block)))
    assert sorted(found) == sorted((id_, end) for id_, end in every if end in let_through)


def test_behind_a_gate_many_lines_are_one_after_the_other() -> None:
    database = Database(DATABASE, compiled([b"x", b"y"]))
    block = b"ayx\nnothing\nxb\n" * 10_000
    found = list(struct.iter_unpack("=II", database.scan(block)))
    assert found == [(id_, at + end) for at in range(0, len(block), 15) for id_, end in ((0, 3), (1, 14))]
    assert (database.scan(b"ab"), database.scan(b"x"), database.scan(b"\nx"), database.scan(b"")) == (b"",) * 4
    assert database.scan(block, False) == b""


def test_more_matches_than_there_was_room_for_are_found_too() -> None:
    found = Database(DATABASE).scan(b"ab\n" * 10_000)
    assert len(found) == 20_000 * 8


def test_marks_are_set_where_chosen_patterns_end() -> None:
    marks = bytearray(BLOCK)
    mark(matches((0, 2), (1, 8), (2, 5)), bytes([1, 0, 1]), 0, marks)
    assert marks == b"ab\0ac\0cb\ndd\n"


def test_of_a_block_only_lines_with_a_usual_header_are_marked() -> None:
    block = b"Nov 22 17:00:00 m sshd[7]: x\nno header\n2026-11-22T17:00:00Z m cron: y\n"
    ends = [at for at, byte in enumerate(block) if byte == 10]
    marks = bytearray(block)
    mark(matches(*((0, end) for end in ends)), bytes([1]), 0, marks, block)
    assert [marks[end] for end in ends] == [0, 10, 0]


@given(
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 64), max_size=8),
    st.lists(st.sampled_from([b"Nov 22 17:00:00 m a: ", b"x", b"\n", b" ", b"2026-11-22T17:00:00"])).map(b"".join),
    st.integers(0, 64),
)
def test_where_a_block_is_shorter_than_what_is_marked_nothing_outside_of_it_is_read(
    ends: list[int], block: bytes, more: int
) -> None:
    marks = bytearray(block + b"\n" * more)
    mark(matches(*((0, end) for end in ends)), bytes([1]), 0, marks, block)
    for end in range(len(marks)):
        assert marks[end] != 0 or header.is_traditional(block, end)


def test_matches_are_counted_by_name_where_they_end_at_a_mark() -> None:
    found = matches((0, 2), (1, 2), (0, 5), (2, 11))
    assert count(found, bytearray(b"ab\0ac\0cb\ndd\n"), 0, ["x", "y", "z"]) == {"x": 2, "y": 1}


def test_patterns_of_one_name_are_counted_together() -> None:
    found = matches((0, 2), (1, 2), (2, 2), (1, 5))
    assert count(found, bytearray(b"ab\0ac\0"), 0, ["x", "y", "x"]) == {"x": 2, "y": 2}


def test_matches_are_selected_where_they_end_at_a_mark() -> None:
    assert select(matches((0, 2), (1, 5)), b"ab\nac\0", 10) == [(2, 0)]


@pytest.mark.parametrize("broken", [b"", b"x", DATABASE[:-1], b"\0" * 4096, b"x" + DATABASE[1:]])
def test_what_is_no_database_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"no database|another"):
        Database(broken)
    with pytest.raises(RuleError, match="a compiled database that Hyperscan does not take"):
        HyperscanEngine(broken, b"", [], [], Patience())
    if broken:
        with pytest.raises(ValueError, match=r"no database|another"):
            Database(DATABASE, broken)


@pytest.mark.parametrize("expressions", [[b"("], [b"a", b"a{1,0}"], [b"a\0b"], []])
def test_what_hyperscan_does_not_compile_is_refused(expressions: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"."):
        compiled(expressions)


def test_what_is_no_sequence_of_bytes_is_refused() -> None:
    for wrong in ([1], ["text"], 7):
        with pytest.raises(TypeError):
            compiled(wrong)  # type: ignore[arg-type]


@given(st.binary(max_size=64), st.binary(max_size=8), st.binary(max_size=16))
def test_bytes_that_are_no_matches_of_these_patterns_are_refused(found: bytes, which: bytes, block: bytes) -> None:
    pairs = list(struct.iter_unpack("=II", found)) if len(found) % 8 == 0 else None
    if pairs is not None and all(id_ < len(which) for id_, _ in pairs):
        mark(found, which, 0, bytearray(block))
        assert sum(count(found, bytearray(block), 0, [str(id_) for id_ in range(len(which))]).values()) <= len(pairs)
    else:
        with pytest.raises(ValueError, match="no matches of these patterns"):
            mark(found, which, 0, bytearray(block))
        with pytest.raises(ValueError, match="no matches of these patterns"):
            count(found, bytearray(block), 0, [""] * len(which))


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2**32 - 1)), max_size=8), st.binary(max_size=16))
def test_matches_that_end_outside_of_the_block_are_passed_over(pairs: list[tuple[int, int]], block: bytes) -> None:
    selected = select(matches(*pairs), block, 10)
    assert selected == [(end, id_) for id_, end in pairs if end < len(block) and block[end] == 10]


def test_two_threads_that_share_a_database_do_not_scan_at_once() -> None:
    database = Database(DATABASE)
    block, results = b"ab\n" * 100_000, list[object]()

    def scan() -> None:
        try:
            results.append(len(database.scan(block)))
        except ValueError as error:
            results.append(str(error))

    threads = [threading.Thread(target=scan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {result for result in results if isinstance(result, int)} == {200_000 * 8}
    assert all("in use by another thread" in result for result in results if isinstance(result, str))


def test_where_there_is_no_hyperscan_the_regex_engine_serves() -> None:
    script = """
import sys
sys.modules["logwarden.matcher._hyperscan"] = sys.modules["logwarden.matcher._hyperscan_compiler"] = None
from logwarden import matcher
from logwarden.model import Batch, IgnoreRule, Location, RuleSet
made = matcher.compile(RuleSet((IgnoreRule(Location("local.rules", 1), "hello", ("*",)),)))
found = made.classify(Batch("test", b"Nov 22 17:00:00 m a: hello\\nNov 22 17:00:00 m a: well\\n", 2, ""), 0.0)
print(sorted((outcome.value, lines) for outcome, lines in found.counts.items() if lines))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[('ignored', 1), ('unexplained', 1)]\n"
