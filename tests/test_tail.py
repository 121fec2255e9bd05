"""A tail reads each line of a log once, in order, whatever becomes of the file. No threads, no waiting."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from logwarden.errors import ConfigError
from logwarden.model import MAX_LINE, Batch, Notice, NoticeKind
from logwarden.sources import chain, logfile
from logwarden.sources.logfile import open_log
from logwarden.sources.patience import DOZE, GRACE, LINGER
from logwarden.sources.reading import HOLD
from logwarden.sources.rotation import members
from logwarden.sources.tail import Tail


class Reader:
    """Polls a tail and keeps what it gave; `restart` makes a new one of the last cursor, as a daemon killed would."""

    def __init__(self, path: Path, **options: object) -> None:
        self.path = path
        self.options = options
        self.cursor: str | None = None
        self.lines: list[bytes] = []
        self.notices: list[Notice] = []
        self.batches: list[Batch] = []
        self.now = 1_000_000_000.0
        self.tail = self._tail(None)

    def _tail(self, cursor: str | None) -> Tail:
        return Tail(str(self.path), cursor=cursor, **self.options)  # type: ignore[arg-type]

    def poll(self) -> list[bytes]:
        """Poll once; what is new."""
        before = len(self.lines)
        for item in self.tail.poll(self.now):
            if isinstance(item, Notice):
                self.notices.append(item)
                continue
            self.notices += item.notices
            lines = item.block.split(b"\n")[:-1]
            assert len(lines) == item.count
            assert item.source == f"file:{self.path}"
            self.cursor = item.cursor
            self.batches.append(item)
            self.lines += lines
        return self.lines[before:]

    def restart(self) -> None:
        self.tail.close()
        self.tail = self._tail(self.cursor)

    @property
    def gaps(self) -> list[str]:
        return [notice.text for notice in self.notices if notice.kind is NoticeKind.GAP]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def gives_up_root(test: Callable[[Path], None]) -> Callable[[Path], None]:
    """Only root can become somebody who may not read a file."""
    why = pytest.mark.skipif(os.geteuid() != 0, reason="gives up root for a moment")
    return pytest.mark.root(why(test))


def tick(*paths: Path) -> None:
    """Let these be modified one after the other, and before whatever comes later."""
    now = time.time_ns()
    for back, path in enumerate(reversed(paths), 1):
        os.utime(path, ns=(now - back * 20_000_000,) * 2)


def append(path: Path, *lines: str, end: str = "\n") -> None:
    with path.open("a") as file:
        file.write("".join(line + end for line in lines))


def rotate(path: Path, keep: int = 9) -> None:
    """Rename as logrotate does, oldest first; the new file is for the caller to make."""
    for number in range(keep, 0, -1):
        for ending in ("", ".gz", ".xz", ".zst", ".bz2"):
            old = path.with_name(f"{path.name}.{number}{ending}")
            if old.exists():
                old.rename(path.with_name(f"{path.name}.{number + 1}{ending}"))
    path.rename(path.with_name(f"{path.name}.1"))


def copytruncate(path: Path) -> None:
    for number in range(9, 0, -1):
        old = path.with_name(f"{path.name}.{number}")
        if old.exists():
            old.rename(path.with_name(f"{path.name}.{number + 1}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)


def compress(path: Path, ending: str) -> None:
    data = path.read_bytes()
    packed = path.with_name(path.name + ending)
    times = path.stat()
    if ending == ".zst":
        subprocess.run(["zstd", "-q", "--rm", str(path)], check=True)
    else:
        packed.write_bytes({".gz": gzip, ".xz": lzma, ".bz2": bz2}[ending].compress(data))
        path.unlink()
    os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))


def spoil(path: Path, ending: str = ".gz") -> None:
    """Compress a file into an archive that is damaged from its first byte of text on."""
    compress(path, ending)
    packed = path.with_name(path.name + ending)
    packed.write_bytes(packed.read_bytes()[:10] + b"\xff" * 30)


# --- beginnings ----------------------------------------------------------------------------------------------------


def test_a_file_that_appears_later_is_read_from_its_beginning(log: Path) -> None:
    reader = Reader(log, beginning=False)
    assert reader.poll() == []
    append(log, "one", "two")
    assert reader.poll() == [b"one", b"two"]
    append(log, "three")
    assert reader.poll() == [b"three"]


def test_a_first_start_begins_at_the_end_and_says_where_that_is(log: Path) -> None:
    append(log, "old")
    reader = Reader(log, beginning=False)
    assert reader.poll() == []
    assert [batch.count for batch in reader.batches] == [0]
    append(log, "written while down")
    reader.restart()
    assert reader.poll() == [b"written while down"]


def test_a_first_start_within_a_line_reads_the_whole_line_once_it_is_whole(log: Path) -> None:
    append(log, "old\nhalf", end="")
    reader = Reader(log, beginning=False)
    assert reader.poll() == []
    append(log, " and half")
    assert reader.poll() == [b"half and half"]


def test_a_directory_may_appear_later(tmp_path: Path) -> None:
    path = tmp_path / "later" / "app.log"
    reader = Reader(path)
    assert reader.poll() == []
    path.parent.mkdir()
    append(path, "one")
    assert reader.poll() == [b"one"]


def test_a_first_start_leaves_the_rotated_files_that_are_there_alone(log: Path) -> None:
    append(log.with_name("app.log.1"), "history")
    append(log, "old")
    reader = Reader(log)
    assert reader.poll() == [b"old"]


def test_what_was_rotated_since_a_log_was_not_there_is_read(log: Path) -> None:
    for number, text in ((3, "history"), (2, "one"), (1, "two")):
        append(log.with_name(f"app.log.{number}"), text)
        os.utime(log.with_name(f"app.log.{number}"), (1_000 - number, 1_000 - number))
    append(log, "three")
    reader = Reader(log, since=997.5)
    assert reader.poll() == [b"one", b"two", b"three"]
    reader.restart()
    assert reader.poll() == []


def test_the_program_of_the_config_travels_with_the_batch(log: Path) -> None:
    append(log, "one")
    reader = Reader(log, program="nginx")
    reader.poll()
    assert reader.batches[-1].program == "nginx"


# --- lines ---------------------------------------------------------------------------------------------------------


def test_a_line_written_in_three_writes_is_one_line(log: Path) -> None:
    reader = Reader(log)
    for part in ("a line ", "in three", " writes"):
        append(log, part, end="")
        assert reader.poll() == []
        reader.restart()
    append(log, "")
    assert reader.poll() == [b"a line in three writes"]


def test_a_carriage_return_and_invalid_utf8_stay_as_they_are(log: Path) -> None:
    log.write_bytes(b"dos\r\n\xff\xfe\x00mid\n")
    assert Reader(log).poll() == [b"dos\r", b"\xff\xfe\x00mid"]


def test_the_head_of_a_line_of_a_megabyte_is_kept_and_its_rest_skipped(log: Path) -> None:
    reader = Reader(log)
    log.write_bytes(b"before\n" + b"x" * 1_000_000)
    assert reader.poll() == [b"before", b"x" * (MAX_LINE + 1)]
    append(log, "y" * 500_000, end="")
    reader.restart()
    assert reader.poll() == []
    append(log, "the end", "after")
    reader.restart()
    assert reader.poll() == [b"after"]
    assert not reader.gaps


def test_nuls_that_a_crash_left_are_dropped_and_reported(log: Path) -> None:
    append(log, "before")
    reader = Reader(log)
    reader.poll()
    with log.open("ab") as file:
        file.write(b"\0" * 4096 + b"after\n")
    assert reader.poll() == [b"after"]
    assert "4096 NUL" in reader.gaps[0]


def test_a_hole_of_gigabytes_costs_nothing(log: Path) -> None:
    reader = Reader(log)
    append(log, "before")
    os.truncate(log, 8 << 30)
    assert reader.poll() == [b"before"]
    append(log, "after")
    assert reader.poll() == [b"after"]
    reader.restart()
    append(log, "still here")
    assert reader.poll() == [b"still here"]


def test_nuls_at_the_end_wait_for_what_may_be_written_over_them(log: Path) -> None:
    reader = Reader(log)
    log.write_bytes(b"one\n" + b"\0" * 400_000)
    assert reader.poll() == [b"one"]
    with log.open("r+b") as file:
        file.seek(4)
        file.write(b"two\n")
    assert reader.poll() == [b"two"]


# --- rotation ------------------------------------------------------------------------------------------------------


def test_rename_and_create_lose_nothing(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    append(log, "two")
    rotate(log)
    append(log, "three")
    assert reader.poll() == [b"two", b"three"]


def test_what_is_written_to_the_renamed_file_comes_before_what_is_written_to_the_new_one(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    rotate(log)
    log.touch()
    append(log.with_name("app.log.1"), "two")
    assert reader.poll() == [b"two"]
    append(log.with_name("app.log.1"), "three")
    append(log, "four")
    assert reader.poll() == [b"three", b"four"]


def test_a_slow_writer_may_go_on_writing_to_the_file_before(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    rotate(log)
    append(log, "two")
    reader.poll()
    append(log.with_name("app.log.1"), "late")
    assert reader.poll() == [b"late"]
    append(log.with_name("app.log.1"), "later")
    reader.restart()
    assert reader.poll() == [b"later"]


def test_a_line_split_by_rotation_is_one_line_while_the_writer_goes_on_with_it(log: Path) -> None:
    reader = Reader(log)
    append(log, "half", end="")
    reader.poll()
    rotate(log)
    log.touch()
    assert reader.poll() == []
    append(log.with_name("app.log.1"), " and half")
    append(log, "next")
    assert reader.poll() == [b"half and half", b"next"]


def test_at_rotation_a_last_line_without_newline_is_a_line(log: Path) -> None:
    reader = Reader(log)
    append(log, "no newline", end="")
    reader.poll()
    rotate(log)
    append(log, "next")
    assert reader.poll() == [b"no newline", b"next"]


def test_a_last_line_without_newline_does_not_wait_for_ever_for_a_successor(log: Path) -> None:
    reader = Reader(log)
    append(log, "no newline", end="")
    reader.poll()
    rotate(log)
    log.touch()
    assert reader.poll() == []
    due = reader.tail.due()
    assert due == reader.now + GRACE
    reader.now = due
    assert reader.poll() == [b"no newline"]
    assert reader.tail.due() is None


def test_a_last_line_without_newline_does_not_wait_for_a_clock_that_was_set_back(log: Path) -> None:
    reader = Reader(log)
    append(log, "unfinished", end="")
    reader.poll()
    rotate(log)
    log.touch()
    reader.poll()
    reader.now -= 366 * 86_400
    assert reader.poll() == []
    assert reader.tail.due() == reader.now + GRACE
    reader.now += GRACE
    assert reader.poll() == [b"unfinished"]


@pytest.mark.parametrize("ending", ["", ".gz", ".xz", ".bz2", ".zst"])
def test_rotations_while_down_are_caught_up_in_order(log: Path, ending: str) -> None:
    reader = Reader(log)
    append(log, "one", "two")
    reader.poll()
    append(log, "three")
    for number in range(3):
        rotate(log)
        if ending:
            compress(log.with_name("app.log.1"), ending)
        append(log, f"after {number}")
    reader.restart()
    assert reader.poll() == [b"three", b"after 0", b"after 1", b"after 2"]
    assert not reader.gaps
    reader.restart()
    assert reader.poll() == []


def test_two_rotations_between_two_polls_are_one_walk(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    for text in ("two", "three", "four"):
        rotate(log)
        append(log, text)
    assert reader.poll() == [b"two", b"three", b"four"]


@pytest.mark.parametrize(
    "name", ["app.log-20261121", "app.log-2026112117", "app-20261121.log", "app.log.old", "app.log-1795305600"]
)
def test_rotated_files_are_known_by_any_of_the_usual_names(log: Path, name: str) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    append(log, "two")
    log.rename(log.with_name(name))
    append(log, "three")
    reader.restart()
    assert reader.poll() == [b"two", b"three"]


def count_upwards(log: Path, number: int) -> None:
    """Rotate as log4j does by default: the newest has the highest number."""
    log.rename(log.with_name(f"app.log.{number}"))
    os.utime(log.with_name(f"app.log.{number}"), (number, number))


def test_rotated_files_that_count_upwards_are_not_read_again(log: Path) -> None:
    reader = Reader(log)
    for number in range(1, 6):
        append(log, f"{number}")
        reader.poll()
        reader.poll()
        append(log, f"{number} more")
        count_upwards(log, number)
    append(log, "last")
    reader.poll()
    assert reader.lines == [text for number in b"12345" for text in (b"%c" % number, b"%c more" % number)] + [b"last"]
    assert not reader.gaps


def test_rotated_files_that_count_upwards_are_caught_up_in_their_order(log: Path) -> None:
    reader = Reader(log)
    for number in range(1, 6):
        append(log, f"{number}")
        if number < 3:
            reader.poll()
        count_upwards(log, number)
    append(log, "last")
    reader.restart()
    reader.poll()
    assert reader.lines == [b"1", b"2", b"3", b"4", b"5", b"last"]
    assert not reader.gaps


def test_a_rotated_file_that_is_renamed_against_the_numbering_is_not_read_again(log: Path) -> None:
    reader = Reader(log)
    for text in ("one", "two", "three"):
        append(log, text)
        reader.poll()
        rotate(log)
    append(log, "four")
    reader.poll()
    reader.poll()
    log.with_name("app.log.1").rename(log.with_name("app.log.9"))
    reader.poll()
    rotate(log)
    append(log, "five")
    reader.poll()
    log.with_name("app.log.1").rename(log.with_name("app.log.20"))
    rotate(log)
    append(log, "six")
    reader.poll()
    assert reader.lines == [b"one", b"two", b"three", b"four", b"five", b"six"]
    assert not reader.gaps


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_restored_in_the_opposite_order_are_read_in_that_of_their_names(log: Path, ending: str) -> None:
    """A restore that keeps no times: only what the lines say of themselves tells that from log4j's counting."""
    hours = [f"2026-11-22T{hour:02}:00:00+00:00 web1 app[1]: started" for hour in range(6)]
    for hour in hours[:-1]:
        append(log, hour)
        rotate(log)
    append(log, hours[-1])
    reader = Reader(log, beginning=False)
    items = Tail(str(log.with_name("app.log.4"))).poll(reader.now)
    reader.cursor = next(item.cursor for item in items if isinstance(item, Batch) and item.count)
    for number in range(1, 6):
        path = log.with_name(f"app.log.{number}")
        if ending:
            compress(path, ending)
        os.utime(f"{path}{ending}", (number, number))
    reader.restart()
    reader.poll()
    assert reader.lines == [hour.encode() for hour in hours[2:]]
    assert not reader.gaps


def test_a_copy_made_before_all_was_read_is_no_old_file(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    items = reader.tail.poll(reader.now)
    next(items)
    copytruncate(log)
    append(log, "two")
    reader.lines += [line for item in items if isinstance(item, Batch) for line in item.block.splitlines()]
    copytruncate(log)
    append(log, "three")
    reader.poll()
    assert reader.lines == [b"one", b"two", b"three"]


def test_a_rotation_of_a_file_of_which_nothing_was_read_yet_loses_nothing(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    rotate(log)
    log.touch()
    reader.poll()
    append(log, "two")
    rotate(log)
    compress(log.with_name("app.log.1"), ".gz")
    append(log, "three")
    reader.restart()
    assert reader.poll() == [b"two", b"three"]


def test_a_backlog_is_resumed_in_the_middle_of_a_compressed_file(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    append(log, *(f"line {number:06}" for number in range(100_000)))
    rotate(log)
    compress(log.with_name("app.log.1"), ".gz")
    append(log, "last")
    reader.restart()
    items = reader.tail.poll(reader.now)
    first = next(items)
    assert isinstance(first, Batch)
    reader.cursor, reader.lines = first.cursor, first.block.split(b"\n")[:-1]
    reader.restart()
    reader.poll()
    assert reader.lines == [b"line %06d" % number for number in range(100_000)] + [b"last"]


# --- copytruncate --------------------------------------------------------------------------------------------------


def test_copytruncate_loses_nothing(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    copytruncate(log)
    append(log, "two")
    assert reader.poll() == [b"two"]


def test_what_was_copied_away_before_it_was_read_is_found_in_the_copy(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    append(log, "two")
    copytruncate(log)
    append(log, "three, and so much of it that the file is longer than before")
    assert reader.poll()[:1] == [b"two"]
    assert len(reader.lines) == 3
    assert not reader.gaps


def test_copytruncate_twice_while_down_and_compressed_loses_nothing(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    append(log, "two")
    copytruncate(log)
    append(log, "three")
    copytruncate(log)
    compress(log.with_name("app.log.2"), ".gz")
    append(log, "four")
    reader.restart()
    assert reader.poll() == [b"two", b"three", b"four"]


def test_compressed_copies_of_nothing_are_passed_by(log: Path) -> None:
    reader = Reader(log)
    append(log, "one", "two")
    reader.poll()
    for content in ("three", "", ""):
        append(log, content, end="\n" if content else "")
        for number in range(9, 0, -1):
            old = log.with_name(f"app.log.{number}.gz")
            if old.exists():
                old.rename(log.with_name(f"app.log.{number + 1}.gz"))
        copytruncate(log)
        compress(log.with_name("app.log.1"), ".gz")
    append(log, "four")
    reader.poll()
    append(log, "five")
    reader.poll()
    assert reader.lines == [b"one", b"two", b"three", b"four", b"five"]
    assert not reader.gaps


def test_a_copy_that_is_not_truncated_yet_is_not_read_twice(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    copy = log.with_name("app.log.1")
    shutil.copyfile(log, copy)
    assert reader.poll() == [b"one"]
    append(log, "two")
    assert reader.poll() == [b"two"]  # it is in no copy, and was read in time
    os.truncate(log, 0)
    assert reader.poll() == []
    append(log, "three")
    assert reader.poll() == [b"three"]
    assert not reader.gaps


def test_a_copy_that_is_still_empty_is_not_taken_for_a_rotated_file(log: Path) -> None:
    reader = Reader(log)
    log.touch()
    reader.poll()
    append(log, "one")
    log.with_name("app.log.1").touch()
    assert reader.poll() == [b"one"]
    shutil.copyfile(log, log.with_name("app.log.1"))
    assert reader.poll() == []
    os.truncate(log, 0)
    append(log, "two")
    assert reader.poll() == [b"two"]


def test_a_copytruncate_before_anything_was_read_loses_nothing(log: Path) -> None:
    reader = Reader(log)
    log.touch()
    reader.poll()
    append(log, "one")
    copytruncate(log)
    reader.poll()
    append(log, "two")
    reader.poll()
    assert reader.lines == [b"one", b"two"]


def test_half_a_line_that_was_seen_only_before_it_was_copied_away_is_read(log: Path) -> None:
    reader = Reader(log)
    log.touch()
    reader.poll()
    append(log, "half a line", end="")
    shutil.copyfile(log, log.with_name("app.log.1"))
    reader.poll()
    reader.poll()
    os.truncate(log, 0)
    append(log, "one")
    reader.poll()
    assert reader.lines == [b"half a line", b"one"]


def test_a_file_copytruncated_and_renamed_before_anything_of_it_was_read_loses_nothing(log: Path) -> None:
    reader = Reader(log)
    log.touch()
    reader.poll()
    append(log, "one")
    copytruncate(log)
    rotate(log)
    append(log, "two")
    assert reader.poll() == [b"one", b"two"]
    assert not reader.gaps


def test_an_empty_copy_that_got_the_inode_of_a_file_not_read_yet_is_not_taken_for_it(log: Path) -> None:
    """Another name for the empty file stands in for an inode that is free again and given to the next file made."""
    log.touch()
    reader = Reader(log, beginning=False)
    reader.poll()
    rotate(log)
    append(log, "one")
    rotate(log)
    log.with_name("app.log.2").rename(log.with_name("app.log.0"))
    append(log, "two")
    reader.restart()
    assert reader.poll() == [b"one", b"two"]
    assert not reader.gaps


def test_a_file_cut_back_to_lines_that_were_read_is_not_read_again(log: Path) -> None:
    reader = Reader(log)
    append(log, "one", "two", "three")
    reader.poll()
    os.truncate(log, len("one\ntwo\n"))
    assert reader.poll() == []
    append(log, "four")
    assert reader.poll() == [b"four"]


def test_a_file_emptied_by_hand_and_written_anew_is_read_from_its_beginning(log: Path) -> None:
    reader = Reader(log)
    append(log, "one", "two")
    reader.poll()
    log.write_text("a longer text than there was before\n")
    assert reader.poll() == [b"a longer text than there was before"]


# --- renamecopy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("behind", [False, True])
def test_renamecopy_loses_nothing_and_repeats_nothing_whenever_it_is_looked_at(
    log: Path, down: bool, behind: bool
) -> None:
    """It renames the log, tells the writer, copies, and deletes what it has copied."""
    temporary, copy = log.with_name("app.log.tmp"), log.with_name("app.log.1")
    append(log, "one")
    reader = Reader(log)
    reader.poll()
    look = (lambda: (reader.restart(), reader.poll())) if down else reader.poll
    for texts in (["two", "three"], ["four", "five"]):
        if not behind:
            append(log, texts[0])
            look()
        else:
            append(log, texts[0])
        log.rename(temporary)
        look()
        append(log, texts[1])
        look()
        if copy.exists():
            copy.rename(log.with_name("app.log.2"))
        for size in (0, 6, temporary.stat().st_size):
            copy.write_bytes(temporary.read_bytes()[:size])
            look()
        temporary.unlink()
        look()
    append(log, "six")
    look()
    assert reader.lines == [b"one", b"two", b"three", b"four", b"five", b"six"]
    assert not reader.gaps


def test_a_half_made_copy_is_not_read_before_the_file_that_is_being_copied(log: Path) -> None:
    append(log, "one")
    reader = Reader(log)
    reader.poll()
    rotate(log)
    append(log, "two", "three")
    log.rename(log.with_name("app.log.tmp"))
    log.with_name("app.log.1").rename(log.with_name("app.log.2"))
    log.with_name("app.log.1").write_text("two\n")
    append(log, "four")
    reader.restart()
    reader.poll()
    assert reader.lines == [b"one", b"two", b"three", b"four"]
    assert not reader.gaps


# --- olddir --------------------------------------------------------------------------------------------------------


def rotate_into(directory: Path, log: Path) -> None:
    """As logrotate's `olddir` does."""
    directory.mkdir(exist_ok=True)
    for number in range(9, 0, -1):
        if (old := directory / f"{log.name}.{number}").exists():
            old.rename(directory / f"{log.name}.{number + 1}")
    log.rename(directory / f"{log.name}.1")


def test_files_rotated_into_another_directory_are_found_where_the_first_of_them_went(log: Path) -> None:
    append(log, "one")
    reader = Reader(log)
    reader.poll()
    for text in ("two", "three", "four"):
        rotate_into(log.parent / "old", log)
        append(log, text)
    assert reader.poll() == [b"two", b"three", b"four"]
    assert not reader.gaps


def test_files_rotated_into_another_directory_while_down_are_found_once_it_is_known(log: Path) -> None:
    append(log, "one")
    reader = Reader(log)
    reader.poll()
    rotate_into(log.parent / "old", log)
    append(log, "two")
    reader.poll()
    for text in ("three", "four", "five"):
        append(log, f"before {text}")
        rotate_into(log.parent / "old", log)
        append(log, text)
        compress(log.parent / "old" / "app.log.1", ".gz") if text == "five" else None
    reader.restart()
    assert reader.poll() == [b"before three", b"three", b"before four", b"four", b"before five", b"five"]
    assert not reader.gaps


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_rotated_while_down_are_looked_for_in_the_directories_below(log: Path, ending: str) -> None:
    append(log, "one")
    reader = Reader(log)
    reader.poll()
    (log.parent / "another").mkdir()
    append(log, "two")
    for text in ("three", "four"):
        rotate_into(log.parent / "old", log)
        append(log, text)
    if ending:
        compress(log.parent / "old" / "app.log.2", ending)
    reader.restart()
    assert reader.poll() == [b"two", b"three", b"four"]
    assert not reader.gaps


@pytest.mark.parametrize("beginning", [True, False])
def test_an_empty_log_rotated_while_down_is_looked_for_in_the_directories_below(log: Path, beginning: bool) -> None:
    log.touch()
    reader = Reader(log, beginning=beginning)
    reader.poll()
    for text in ("one", "two", "three"):
        append(log, text)
        rotate_into(log.parent / "old", log)
    log.touch()
    reader.restart()
    assert reader.poll() == [b"one", b"two", b"three"]
    assert not reader.gaps


def test_what_was_copied_into_another_directory_before_it_was_read_is_found(log: Path) -> None:
    old = log.parent / "old"
    old.mkdir()
    append(log, "one")
    reader = Reader(log)
    reader.poll()
    for text, number in (("two", 2), ("three", 1)):
        append(log, text)
        shutil.copyfile(log, old / f"app.log.{number}")
        os.truncate(log, 0)
    append(log, "four")
    assert reader.poll() == [b"two", b"three", b"four"]
    assert not reader.gaps


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives a directory away")
def test_nobody_else_s_directory_is_searched(log: Path) -> None:
    append(log, "one")
    reader = Reader(log)
    reader.poll()
    append(log, "two")
    rotate_into(log.parent / "theirs", log)
    os.chown(log.parent / "theirs", 65534, 65534)
    append(log, "three")
    reader.restart()
    assert reader.poll() == [b"three"]
    assert len(reader.gaps) == 1


def test_a_file_moved_elsewhere_under_its_own_name_tells_nothing_of_older_ones(log: Path) -> None:
    away = log.parent / "away"
    away.mkdir()
    append(away / "app.log.1", "another's")
    append(log, "one")
    reader = Reader(log)
    reader.poll()
    log.rename(away / "app.log")
    append(log, "two")
    assert reader.poll() == [b"two"]


# --- what is gone --------------------------------------------------------------------------------------------------


def test_a_file_that_vanished_while_down_is_a_gap_told_once(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    log.unlink()
    append(log, "another")
    reader.restart()
    assert reader.poll() == [b"another"]
    assert len(reader.gaps) == 1
    assert "byte 4" in reader.gaps[0]
    reader.restart()
    assert reader.poll() == []
    assert len(reader.gaps) == 1


def at_rest(number: int, path: Path) -> None:
    """Let it have been modified long ago, the later the greater the number."""
    os.utime(path, (number, number))


def rotate_at_rest(log: Path, number: int, *texts: str) -> None:
    """Rotate it and write a line, once for each text, each file at rest since later than the one before."""
    for modified, text in enumerate(texts, number):
        rotate(log)
        append(log, text)
        at_rest(modified, log)


@pytest.mark.parametrize("reused", [False, True])
def test_files_rotated_away_before_anything_of_them_was_read_are_a_gap_told_once(log: Path, reused: bool) -> None:
    """The cursor is behind a file that is gone, in the next one, which is gone too, and so is what came after that."""
    reader = Reader(log)
    append(log, "read")
    at_rest(1, log)
    reader.poll()
    rotate(log)
    append(log, "lost")
    at_rest(2, log)
    item = next(reader.tail.poll(reader.now))
    assert isinstance(item, Batch)
    reader.cursor = item.cursor
    inode = log.stat().st_ino
    os.link(log, log.with_name("freed"))
    rotate_at_rest(log, 3, "lost too", "three", "four")
    if reused:
        reader.tail.close()
        log.unlink()
        os.truncate(log.with_name("app.log.3"), 0)
        log.with_name("app.log.3").rename(log)
        append(log, "four")
        at_rest(5, log)
        assert log.stat().st_ino == inode
    for path in log.parent.iterdir():
        if path.name not in ("app.log", "app.log.1"):
            path.unlink()
    for _ in range(2):
        reader.restart()
        reader.poll()
    assert reader.lines == [b"read", b"three", b"four"]
    assert len(reader.gaps) == 1
    assert "between 1970-01-01T00:00:01+00:00 and 1970-01-01T00:00:04+00:00" in reader.gaps[0]


def test_a_file_rotated_away_while_it_was_open_is_a_gap_where_nothing_left_is_known_to_follow_it(log: Path) -> None:
    reader = Reader(log)
    reader.now = 10
    append(log, "read")
    at_rest(1, log)
    reader.poll()
    rotate_at_rest(log, 2, "lost", "three", "four")
    log.with_name("app.log.3").unlink()
    log.with_name("app.log.2").unlink()
    reader.poll()
    reader.restart()
    reader.poll()
    assert reader.lines == [b"read", b"three", b"four"]
    assert len(reader.gaps) == 1


def test_files_rotated_away_while_a_quiet_one_was_closed_are_a_gap(log: Path) -> None:
    reader = Reader(log)
    append(log, "read")
    at_rest(1, log)
    reader.poll()
    assert not _open_files(log)
    rotate_at_rest(log, 2, "lost", "three", "four")
    log.with_name("app.log.3").unlink()
    log.with_name("app.log.2").unlink()
    reader.poll()
    assert reader.lines == [b"read", b"three", b"four"]
    assert len(reader.gaps) == 1


@pytest.mark.parametrize("lost", [True, False])
def test_where_the_file_read_last_is_removed_it_is_said_that_more_may_be(log: Path, lost: bool) -> None:
    """As `rotate 1` leaves it after three rotations, and after two: what is left is the same."""
    reader = Reader(log)
    reader.now = 10
    append(log, "read")
    at_rest(1, log)
    reader.poll()
    for number, text in enumerate(["lost", "three", "four"][not lost :], 3 - lost):
        rotate(log)
        append(log, text)
        at_rest(number, log)
        log.with_name("app.log.2").unlink(missing_ok=True)
    reader.poll()
    assert reader.lines == [b"read", b"three", b"four"]
    assert ["may have been removed too" in gap for gap in reader.gaps] == [True]
    assert "between 1970-01-01T00:00:01+00:00 and 1970-01-01T00:00:03+00:00" in reader.gaps[0]


def test_copies_removed_after_a_file_was_emptied_under_its_reader_are_a_gap(log: Path) -> None:
    """The file is still open, and all that was read of it is gone; a copy that nobody has read is gone too."""
    reader = Reader(log)
    append(log, "read")
    at_rest(1, log)
    reader.now = 10
    reader.poll()
    append(log, "lost")
    for number, text in enumerate(["three", "four"], 2):
        copytruncate(log)
        append(log, text)
        at_rest(number, log.with_name("app.log.1"))
    log.with_name("app.log.2").unlink()
    at_rest(4, log)
    reader.poll()
    assert reader.lines == [b"read", b"three", b"four"]
    assert len(reader.gaps) == 1


def test_an_archive_that_is_damaged_and_removed_with_others_is_two_gaps(log: Path) -> None:
    reader = Reader(log)
    reader.poll()
    append(log, *(os.urandom(50).hex() for _ in range(20_000)))
    at_rest(1, log)
    rotate(log)
    compress(log.with_name("app.log.1"), ".gz")
    os.truncate(log.with_name("app.log.1.gz"), 600_000)
    at_rest(1, log.with_name("app.log.1.gz"))
    append(log, "lost")
    at_rest(2, log)
    items = reader.tail.poll(10)
    assert isinstance(first := next(items), Batch)
    assert first.count
    rotate_at_rest(log, 3, "three", "four")
    log.with_name("app.log.3.gz").unlink()
    log.with_name("app.log.2").unlink()
    later = [item for item in items if isinstance(item, Batch)]
    assert b"".join(item.block for item in later).endswith(b"\nthree\nfour\n")
    (gap,) = [item for item in later if item.notices]
    damage, removed = [notice.text for notice in gap.notices]
    assert "app.log.1.gz" in damage
    assert "may have been removed" in removed


def _away(log: Path) -> Path:
    """Let the log's directory be away, and an empty one be there."""
    away = log.parent.with_name("away")
    log.parent.rename(away)
    log.parent.mkdir()
    return away


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A log in a directory that can be away."""
    (tmp_path / "mount").mkdir()
    return tmp_path / "mount" / "app.log"


@pytest.mark.parametrize("change", ["none", "grown", "rotated", "compressed"])
@pytest.mark.parametrize("down", [False, True])
def test_a_log_whose_directory_was_away_at_a_start_is_read_on_where_it_was_left(
    mounted: Path, change: str, down: bool
) -> None:
    log, reader = mounted, Reader(mounted)
    append(log, "one")
    reader.poll()
    away = _away(log)
    reader.restart()
    reader.poll()
    assert len(reader.gaps) == 1
    log.parent.rmdir()
    away.rename(log.parent)
    if change != "none":
        append(log, "two")
    if change in ("rotated", "compressed"):
        rotate(log)
    if change == "compressed":
        compress(log.with_name("app.log.1"), ".gz")
    if change != "none":
        append(log, "three")
    if down:
        reader.restart()
    reader.poll()
    assert reader.lines == ([b"one"] if change == "none" else [b"one", b"two", b"three"])
    assert len(reader.gaps) == 1


def test_a_log_that_was_away_and_is_back_without_its_last_lines_is_read_on_from_its_end(mounted: Path) -> None:
    """As from a backup."""
    log, reader = mounted, Reader(mounted)
    append(log, "." * 2000, "one")
    reader.poll()
    _away(log)
    reader.restart()
    reader.poll()
    append(log, "." * 2000)
    assert reader.poll() == []
    append(log, "two")
    assert reader.poll() == [b"two"]


def test_a_log_that_another_one_stood_in_for_while_it_was_away_is_read_on(mounted: Path) -> None:
    log, reader = mounted, Reader(mounted)
    append(log, "one")
    reader.poll()
    away = _away(log)
    append(log, "meanwhile")
    reader.restart()
    assert reader.poll() == [b"meanwhile"]
    shutil.rmtree(log.parent)
    away.rename(log.parent)
    append(log, "two")
    assert reader.poll() == [b"two"]


def test_two_logs_that_stand_in_for_one_another_between_starts_are_both_read_on(mounted: Path) -> None:
    """As where a file system is not always mounted."""
    log, reader = mounted, Reader(mounted)
    append(log, "one")
    reader.poll()
    away, spare = _away(log), log.parent.with_name("spare")
    for number in range(4):
        append(log, str(number))
        reader.restart()
        assert reader.poll() == [str(number).encode()]
        log.parent.rename(spare)
        away.rename(log.parent)
        spare.rename(away)


def test_a_log_made_anew_and_rotated_before_its_first_line_was_read_is_no_second_gap(log: Path) -> None:
    """The one that was deleted is in no rotated file, and never was."""
    reader = Reader(log)
    append(log, "one")
    at_rest(1, log)
    reader.poll()
    reader.tail.close()
    log.unlink()
    log.touch()
    at_rest(2, log)
    reader.restart()
    reader.poll()
    assert len(reader.gaps) == 1
    append(log, "two")
    rotate(log)
    compress(log.with_name("app.log.1"), ".gz")
    reader.restart()
    reader.poll()
    assert reader.lines == [b"one", b"two"]
    assert len(reader.gaps) == 1


def test_an_empty_file_rotated_since_the_last_line_is_no_gap_where_the_file_of_that_is_gone(log: Path) -> None:
    """As `rotate 1` leaves it of a quiet log."""
    reader = Reader(log)
    reader.now = 10
    append(log, "one")
    at_rest(1, log)
    reader.poll()
    for number in (2, 3):
        rotate(log)
        log.touch()
        at_rest(number, log)
        reader.poll()
    log.with_name("app.log.2").unlink()
    compress(log.with_name("app.log.1"), ".gz")
    reader.poll()
    append(log, "two")
    reader.poll()
    assert reader.lines == [b"one", b"two"]
    assert not reader.gaps


def test_a_file_deleted_and_made_anew_is_another_file(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    append(log, "two")
    log.unlink()
    append(log, "three")
    assert reader.poll() == [b"two", b"three"]


def remake(log: Path, *lines: str) -> None:
    """Delete a log and make it anew with the same inode, as it happens where a file system hands out the freed one."""
    inode, kept = log.stat().st_ino, log.with_name("kept")
    os.link(log, kept)
    log.unlink()
    os.truncate(kept, 0)
    kept.rename(log)
    append(log, *lines)
    assert log.stat().st_ino == inode


@pytest.mark.parametrize("anew", ["a", "abc", "abc and more of it"])
@pytest.mark.parametrize("unread", [[], ["two"]])
def test_a_file_deleted_while_down_and_made_anew_with_its_inode_is_another_file(
    log: Path, unread: list[str], anew: str
) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    append(log, *unread)
    reader.tail.close()
    remake(log, anew, "three")
    for _ in range(2):
        reader.restart()
        reader.poll()
    assert reader.lines == [b"one", anew.encode(), b"three"]
    assert len(reader.gaps) == 1


@pytest.mark.parametrize("anew", ["a", "abc", "abc and more of it"])
def test_a_quiet_file_made_anew_with_its_inode_is_another_file(log: Path, anew: str) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.now = log.stat().st_mtime + DOZE + 1
    reader.poll()
    remake(log, anew)
    assert reader.poll() == [anew.encode()]
    assert not reader.gaps


@pytest.mark.parametrize("down", [False, True])
def test_a_log_made_anew_with_the_inode_of_its_rotated_file_that_was_removed_is_read(log: Path, down: bool) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    rotate(log)
    append(log, "two")
    reader.poll()
    log.unlink()
    reader.now = time.time() + LINGER + 1
    reader.poll()
    reader.tail.close()
    os.truncate(log.with_name("app.log.1"), 0)
    log.with_name("app.log.1").rename(log)
    append(log, "three")
    if down:
        reader.restart()
    assert reader.poll() == [b"three"]
    assert not reader.gaps


def test_a_deleted_file_is_let_go_when_it_is_quiet(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    append(log, "unfinished", end="")
    inode = log.stat()
    log.unlink()
    assert reader.poll() == []
    assert reader.tail.holds(inode.st_dev, inode.st_ino)
    reader.now = inode.st_mtime + LINGER + 1
    assert reader.poll() == [b"unfinished"]
    assert not reader.tail.holds(inode.st_dev, inode.st_ino)
    append(log, "anew")
    assert reader.poll() == [b"anew"]


def test_a_file_truncated_while_some_of_it_was_unread_is_a_gap(log: Path) -> None:
    reader = Reader(log)
    append(log, "one", "half", end="")
    append(log, "")
    append(log, "unfinished", end="")
    assert reader.poll() == [b"onehalf"]
    log.write_text("anew\n")
    assert reader.poll() == [b"anew"]
    assert len(reader.gaps) == 1


def test_a_quiet_file_is_closed_and_still_known(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.now = log.stat().st_mtime + DOZE + 1
    assert reader.poll() == [b"one"]
    assert not _open_files(log)
    append(log, "two")
    assert reader.poll() == [b"two"]
    rotate(log)
    append(log, "three")
    assert reader.poll() == [b"three"]
    assert not reader.gaps


@pytest.mark.parametrize("heard", [True, False])
def test_a_writer_that_never_reopened_its_log_is_read_also_when_both_files_were_quiet(log: Path, heard: bool) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    rotate(log)
    append(log, "two")
    reader.poll()
    reader.now = log.stat().st_mtime + DOZE + 1
    reader.poll()
    append(log.with_name("app.log.1"), "three")
    if heard:
        assert reader.poll() == [b"three"]
    append(log, "four")
    reader.poll()
    assert reader.lines == [b"one", b"two", b"three", b"four"]


def test_a_quiet_file_that_is_deleted_is_no_gap(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.now = log.stat().st_mtime + DOZE + 1
    reader.poll()
    log.unlink()
    assert reader.poll() == []
    assert reader.tail.gone
    reader.restart()
    assert reader.poll() == []
    append(log, "anew")
    assert reader.poll() == [b"anew"]
    assert not reader.gaps


def _open_files(log: Path) -> list[str]:
    found = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return [path for path in found if path.startswith(str(log))]


def test_a_damaged_archive_is_read_as_far_as_it_goes_and_is_a_gap(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    append(log, *(os.urandom(50).hex() for _ in range(2_000)))
    rotate(log)
    compress(log.with_name("app.log.1"), ".gz")
    os.truncate(log.with_name("app.log.1.gz"), 60_000)
    append(log, "last")
    reader.restart()
    assert reader.poll()[-1] == b"last"
    assert len(reader.lines) > 500
    assert "app.log.1.gz" in reader.gaps[0]


@pytest.mark.parametrize("ending", [".gz", ".xz", ".bz2", ".zst"])
def test_an_archive_damaged_from_its_beginning_is_a_gap_told_once(log: Path, ending: str) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    for text in ("two", "three"):
        rotate(log)
        log.touch()
        append(log, text)
    rotate(log)
    log.touch()
    for number in (1, 2):
        spoil(log.with_name(f"app.log.{number}"), ending)
    append(log, "four")
    reader.poll()
    assert reader.lines == [b"one", b"four"]
    assert len(reader.gaps) == 2
    reader.restart()
    reader.poll()
    assert len(reader.gaps) == 2


def test_an_archive_that_is_nothing_but_damage_is_a_gap_told_once_even_if_nothing_follows_it(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    rotate(log)
    append(log, "two")
    rotate(log)
    log.touch()
    spoil(log.with_name("app.log.1"))
    for _ in range(3):
        reader.poll()
        reader.restart()
    append(log, "three")
    assert reader.poll() == [b"three"]
    assert len(reader.gaps) == 1


def test_archives_that_nothing_here_can_decompress_are_gaps_told_once(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    for text in ("two", "three"):
        append(log, text)
        rotate(log)
        compress(log.with_name("app.log.1"), ".zst")
    append(log, "four")
    monkeypatch.setenv("PATH", str(log.parent))  # no command is there
    reader.restart()
    assert reader.poll() == [b"four"]
    assert ["zstd: No such file or directory" in gap for gap in reader.gaps] == [False, True, True]
    assert not [path for path in _open_files(log) if path.endswith(".zst")]
    reader.restart()
    append(log, "five")
    assert reader.poll() == [b"five"]
    assert len(reader.gaps) == 3


def test_nuls_before_half_a_line_are_reported_once(log: Path) -> None:
    reader = Reader(log)
    log.write_bytes(b"one\n" + b"\0" * 4096 + b"two")
    for _ in range(3):
        reader.poll()
        reader.restart()
    append(log, "")
    reader.poll()
    assert reader.lines == [b"one", b"two"]
    assert len(reader.gaps) == 1


def test_a_gap_and_the_cursor_behind_it_come_together(log: Path) -> None:
    """So that one transaction takes both, and a crash before or after it tells the gap once."""
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    log.unlink()
    append(log, "another")
    reader.restart()
    item = next(reader.tail.poll(reader.now))
    assert isinstance(item, Batch)
    assert [notice.kind for notice in item.notices] == [NoticeKind.GAP]
    reader.cursor = item.cursor
    reader.restart()
    assert reader.poll() == [b"another"]
    assert not reader.gaps


def test_a_deleted_file_that_was_read_to_its_end_is_no_gap_after_a_restart(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    reader.now = log.stat().st_mtime + LINGER + 1
    log.unlink()
    log.touch()
    reader.poll()
    reader.restart()
    append(log, "two")
    assert reader.poll() == [b"two"]
    assert not reader.gaps


def test_a_deleted_file_that_was_let_go_is_no_gap_after_a_restart(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    written = log.stat().st_mtime
    log.unlink()
    reader.now = written + LINGER + 1
    reader.poll()
    reader.restart()
    append(log, "two")
    assert reader.poll() == [b"two"]
    assert not reader.gaps


def test_an_empty_file_that_vanished_while_down_is_a_gap_told_once(log: Path) -> None:
    log.touch()
    reader = Reader(log, beginning=False)
    reader.poll()
    log.unlink()
    for _ in range(2):
        reader.restart()
        reader.poll()
    append(log, "one")
    assert reader.poll() == [b"one"]
    assert len(reader.gaps) == 1


def test_a_cursor_that_is_none_is_told_once_even_where_there_is_nothing_to_read(log: Path) -> None:
    reader = Reader(log)
    reader.cursor = "{]"
    for _ in range(2):
        reader.restart()
        reader.poll()
    assert len(reader.gaps) == 1


def test_a_cursor_that_is_none_is_a_gap_and_the_file_is_read(log: Path) -> None:
    append(log.with_name("app.log.1"), "history")
    append(log, "one")
    reader = Reader(log)
    reader.cursor = "{]"
    reader.restart()
    assert reader.poll() == [b"one"]
    assert reader.gaps


@contextmanager
def as_nobody(directory: Path) -> Iterator[None]:
    """As a user who may go there, and is not root."""
    for each in (directory, *directory.parents):
        if each.stat().st_uid == 0 and each != Path("/tmp") and each.is_relative_to("/tmp"):
            each.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@gives_up_root
def test_permission_denied_is_told_once_and_granted_later_nothing_is_lost(log: Path) -> None:
    append(log, "one")
    log.chmod(0o600)
    reader = Reader(log)
    with as_nobody(log.parent):
        assert reader.poll() == []
        assert reader.poll() == []
        assert len(reader.notices) == 1
        assert "Permission denied" in reader.notices[0].text
    log.chmod(0o644)
    with as_nobody(log.parent):
        assert reader.poll() == [b"one"]


@gives_up_root
def test_rotated_files_that_may_not_be_read_are_gaps_told_once_and_the_log_goes_on(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    for text in ("two", "three"):
        append(log, text)
        rotate(log)
        log.with_name("app.log.1").chmod(0o600)
    append(log, "four")
    with as_nobody(log.parent):
        reader.restart()
        assert reader.poll() == [b"four"]
        assert ["Permission denied" in gap for gap in reader.gaps] == [False, True, True]
    for number in (1, 2):
        log.with_name(f"app.log.{number}").chmod(0o644)
    for text in ("five", "six"):
        reader.restart()
        append(log, text)
        rotate(log)
        log.touch()
        reader.poll()
    assert reader.lines == [b"one", b"four", b"five", b"six"]
    assert len(reader.notices) == 3


@gives_up_root
def test_a_log_rotated_before_it_was_read_that_may_not_be_read_any_more_is_a_gap(log: Path) -> None:
    log.touch()
    reader = Reader(log)
    reader.poll()
    append(log, "one")
    rotate(log)
    append(log, "two")
    log.with_name("app.log.1").chmod(0o600)
    with as_nobody(log.parent):
        reader.restart()
        assert reader.poll() == [b"two"]
    assert len(reader.notices) == len(reader.gaps) == 1
    assert "app.log.1: Permission denied" in reader.gaps[0]


@gives_up_root
def test_a_rotated_file_that_may_not_be_read_is_a_gap_also_where_it_is_deleted_and_nothing_follows(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    rotate(log)
    append(log, "two")
    rotate(log)
    rotated = log.with_name("app.log.1")
    rotated.chmod(0o600)
    with as_nobody(log.parent):
        reader.poll()
    reader.now = rotated.stat().st_mtime + LINGER + 1
    rotated.unlink()
    reader.poll()
    reader.restart()
    reader.poll()
    assert len(reader.gaps) == 1


@gives_up_root
def test_of_a_new_log_no_history_is_read_where_the_newest_of_it_may_not_be_read(log: Path) -> None:
    for text in ("history", "secret"):
        append(log, text)
        rotate(log)
    log.with_name("app.log.1").chmod(0o600)
    append(log, "one")
    reader = Reader(log)
    with as_nobody(log.parent):
        assert reader.poll() == [b"one"]
    assert not reader.notices


def test_a_directory_with_the_name_of_a_rotated_file_is_none(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    reader.poll()
    tick(log)
    log.with_name("app.log.old").mkdir()
    log.unlink()
    reader.restart()
    reader.poll()
    append(log, "two")
    assert reader.poll() == [b"two"]
    assert len(reader.notices) == len(reader.gaps) == 1


def test_what_is_no_regular_file_is_reported_and_never_blocks(log: Path) -> None:
    os.mkfifo(log)
    reader = Reader(log)
    assert reader.poll() == []
    assert "not a regular file" in reader.notices[0].text


# --- links ---------------------------------------------------------------------------------------------------------


def test_a_symlink_that_moves_on_is_followed_in_order_even_when_it_moved_twice_while_down(tmp_path: Path) -> None:
    link = tmp_path / "current"
    append(tmp_path / "app-1.log", "one")
    link.symlink_to("app-1.log")
    reader = Reader(link)
    assert reader.poll() == [b"one"]
    append(tmp_path / "app-1.log", "two")
    for number, text in ((2, "three"), (10, "four")):
        append(tmp_path / f"app-{number}.log", text)
        link.unlink()
        link.symlink_to(f"app-{number}.log")
    reader.restart()
    assert reader.poll() == [b"two", b"three", b"four"]


# --- events of several lines ---------------------------------------------------------------------------------------


def test_a_stack_trace_is_one_event(log: Path) -> None:
    reader = Reader(log, continues=r"\s+at |Caused by: ")
    append(log, "Error: x", "  at a", "Caused by: y", "  at b", "next")
    assert reader.poll() == [b"Error: x#012  at a#012Caused by: y#012  at b"]
    due = reader.tail.due()
    assert due == reader.now + HOLD
    reader.now = due
    assert reader.poll() == [b"next"]
    assert reader.tail.due() is None


def test_an_event_held_back_does_not_wait_for_a_clock_that_was_set_back(log: Path) -> None:
    reader = Reader(log, continues=r"\s")
    append(log, "Failed password")
    assert reader.poll() == []
    reader.now -= 366 * 86_400
    assert reader.poll() == []
    assert reader.tail.due() == reader.now + HOLD
    reader.now += HOLD
    assert reader.poll() == [b"Failed password"]


def test_an_event_held_back_is_read_again_after_a_crash(log: Path) -> None:
    reader = Reader(log, continues=r"\s")
    append(log, "first", "second", " more")
    assert reader.poll() == [b"first"]
    reader.restart()
    append(log, " and more", "third")
    assert reader.poll() == [b"second#012 more#012 and more"]


def test_a_trace_without_end_is_cut(log: Path) -> None:
    reader = Reader(log, continues=r"\s")
    append(log, "start", *(" " + "x" * 1000 for _ in range(2_000)))
    assert [len(line) for line in reader.poll()] == [MAX_LINE + 1]
    append(log, " more", "next")
    reader.restart()
    reader.now += HOLD
    reader.poll()
    reader.now += HOLD
    reader.poll()
    assert reader.lines[1:] == [b"next"]


def test_a_pattern_that_does_not_compile_is_a_config_error(log: Path) -> None:
    with pytest.raises(ConfigError, match="continues"):
        Tail(str(log), continues="(")


# --- how far behind ------------------------------------------------------------------------------------------------


def test_what_is_unread_is_known_in_bytes_over_rotations_and_since_when(log: Path) -> None:
    reader = Reader(log)
    assert reader.tail.unread() == 0
    append(log, "one", "two")
    reader.poll()
    assert (reader.tail.unread(), reader.tail.behind_since) == (0, None)
    append(log, "three")
    assert (reader.tail.unread(), reader.tail.behind_since) == (6, None), "not heard of yet"
    rotate(log)
    append(log, "four")
    assert reader.tail.unread() == 6 + 5
    items = reader.tail.poll(reader.now)
    next(items)
    assert (reader.tail.unread(), reader.tail.behind_since) == (5, reader.now)
    assert [item.block for item in items if isinstance(item, Batch) and item.count] == [b"four\n"]
    assert (reader.tail.unread(), reader.tail.behind_since) == (0, None)


def test_after_a_restart_it_is_behind_since_what_it_had_read_was_written(log: Path) -> None:
    reader = Reader(log)
    append(log, "one")
    os.utime(log, (reader.now - 500, reader.now - 500))
    reader.poll()
    append(log, "two")
    reader.restart()
    next(reader.tail.poll(reader.now))
    assert reader.tail.behind_since == reader.now - 500


def test_of_many_files_compressed_meanwhile_each_is_opened_a_few_times(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not as often as there are others: a log that was rotated 300 times took half a minute to catch up."""
    opened: list[str] = []
    monkeypatch.setattr(logfile, "open_log", lambda path: opened.append(path) or open_log(path))
    append(log, "read")
    reader = Reader(log)
    reader.poll()
    for number in range(40):
        rotate(log, keep=41)
        compress(log.with_name("app.log.1"), ".gz")
        append(log, f"missed {number}")
    reader.restart()
    assert reader.poll() == [f"missed {number}".encode() for number in range(40)]
    assert len(opened) < 5 * 40


def test_of_many_files_rotated_meanwhile_none_costs_more_than_two_looks_at_the_directory(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look is a listing and a stat of every rotated file: six a file took longer than logrotate did."""
    listed: list[str] = []
    monkeypatch.setattr(chain, "members", lambda *given: listed.append(given[0]) or members(*given))
    append(log, "read")
    reader = Reader(log)
    reader.poll()
    for number in range(40):
        rotate(log, keep=41)
        append(log, f"missed {number}")
    reader.restart()
    assert reader.poll() == [f"missed {number}".encode() for number in range(40)]
    assert len(listed) < 2 * 40 + 10


def test_what_is_written_between_the_start_and_the_first_look_is_read(log: Path) -> None:
    append(log, "before the start")
    reader = Reader(log, beginning=False)
    append(log, "after it")
    assert reader.poll() == [b"after it"]


@pytest.mark.parametrize("name", ["app.log.bak", "app.log.old", "app.log.20261124"])
@pytest.mark.parametrize("down", [False, True])
def test_a_copy_made_by_hand_of_what_was_read_is_not_read(log: Path, name: str, down: bool) -> None:
    append(log, "one", "two")
    reader = Reader(log)
    reader.poll()
    copy = log.with_name(name)
    shutil.copyfile(log, copy)
    later = log.stat().st_mtime_ns + 1_000_000
    os.utime(copy, ns=(later, later))
    if not down:
        reader.poll()
    rotate(log)
    append(log, "three")
    if down:
        reader.restart()
    reader.poll()
    assert reader.lines == [b"one", b"two", b"three"]
    assert not reader.gaps


@pytest.mark.parametrize("name", ["app.log.0", "app.log.bak", "app.log.20261124", "app.log.0.gz", "app.log.0.zst"])
@pytest.mark.parametrize("down", [False, True])
def test_a_copy_made_by_hand_of_a_log_that_went_on_is_not_read(log: Path, name: str, down: bool) -> None:
    append(log, "one", "two")
    reader = Reader(log)
    reader.poll()
    copy_by_hand(log, name)
    append(log, "three")
    rotate(log)
    append(log, "four")
    if down:
        reader.restart()
    reader.poll()
    for text in ("five", "six"):
        rotate(log)
        append(log, text)
        reader.restart()
        reader.poll()
    assert reader.lines == [b"one", b"two", b"three", b"four", b"five", b"six"]
    assert not reader.gaps


@pytest.mark.parametrize("name", ["app.log.0", "app.log.bak", "app.log.0.gz", "app.log.bak.gz"])
def test_a_copy_made_by_hand_of_a_log_that_was_caught_up_with_later_is_not_read(log: Path, name: str) -> None:
    append(log, "one")
    reader = Reader(log)
    reader.poll()
    for texts in (["two", "three"], ["four", "five"], ["six", "seven"]):
        rotate(log)
        append(log, texts[0])
        if texts[0] == "four":
            copy_by_hand(log, name)
        append(log, texts[1])
    reader.restart()
    while reader.poll():
        reader.restart()
    assert reader.lines == [b"one", b"two", b"three", b"four", b"five", b"six", b"seven"]
    assert not reader.gaps


def copy_by_hand(log: Path, name: str) -> None:
    """It is modified later than the log, but before anything else is written."""
    ending = Path(name).suffix if name.endswith((".gz", ".zst")) else ""
    copy = log.with_name(name.removesuffix(ending))
    shutil.copyfile(log, copy)
    if ending:
        compress(copy, ending)
    tick(log, log.with_name(name))


@pytest.mark.parametrize("down", [False, True])
def test_a_new_file_that_begins_as_the_old_one_did_is_not_taken_for_it(log: Path, down: bool) -> None:
    """All that was read is a header, which each of them has; the inode tells them apart."""
    append(log, "#Fields: date time ip")
    reader = Reader(log)
    reader.poll()
    if not down:
        reader.now += DOZE + 10
        os.utime(log, (reader.now - DOZE - 5,) * 2)
        reader.poll()
    append(log, "one", "two")
    rotate(log)
    append(log, "#Fields: date time ip", "three")
    if down:
        reader.restart()
    reader.now += 1
    reader.poll()
    assert reader.lines == [b"#Fields: date time ip", b"one", b"two", b"#Fields: date time ip", b"three"]
