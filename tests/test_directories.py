"""Changes in directories are heard of, through real inotify. Every wait is for an event, with a deadline."""

from __future__ import annotations

import errno
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logwarden.sources import directories
from logwarden.sources.directories import DirectoryWatch

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
Told = queue.SimpleQueue[tuple[str, bool]]


@pytest.fixture
def told() -> Told:
    return queue.SimpleQueue()


@pytest.fixture
def watch(told: Told) -> Iterator[DirectoryWatch]:
    watch = DirectoryWatch(lambda path, names: told.put((path, names)), lambda: None)
    yield watch
    watch.stop()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def made(tmp_path: Path, *names: str) -> list[str]:
    for name in names:
        (tmp_path / name).mkdir()
    return [str(tmp_path / name) for name in names]


def until(told: Told, path: str) -> list[str]:
    """What else is told before it is said that there is a new name `path`."""
    before: list[str] = []
    while (heard := told.get(timeout=5)) != (path, True):
        before.append(heard[0])
    return before


def test_hundreds_of_directories_take_one_thread_and_two_descriptors(
    tmp_path: Path, watch: DirectoryWatch, told: Told
) -> None:
    """As on a log server with a directory for each host: of inotify's descriptors a user has 128."""
    threads, before = threading.active_count(), descriptors()
    places = made(tmp_path, *map(str, range(300)))
    assert watch.watch(places) == (True, {})
    assert (threading.active_count() - threads, descriptors() - before) == (1, 2)
    Path(places[299], "app.log").touch()
    assert told.get(timeout=5) == (f"{places[299]}/app.log", True)
    watch.stop()
    assert (threading.active_count(), descriptors()) == (threads, before)


def test_what_is_written_and_what_gets_a_name_is_told_and_who_reads_is_not(
    tmp_path: Path, watch: DirectoryWatch, told: Told
) -> None:
    log = tmp_path / "app.log"
    log.write_text("a\n")
    watch.watch([str(tmp_path)])
    log.read_text()
    os.listdir(tmp_path)
    with log.open("a") as file:
        file.write("b\n")
    assert told.get(timeout=5) == (str(log), False)
    log.rename(tmp_path / "app.log.1")
    assert [told.get(timeout=5) for _ in range(2)] == [(str(log), True), (f"{log}.1", True)]
    Path(f"{log}.1").unlink()
    assert told.get(timeout=5) == (f"{log}.1", True)


def test_that_a_writer_is_done_is_told_to_who_asks(tmp_path: Path) -> None:
    closed: queue.SimpleQueue[str] = queue.SimpleQueue()
    watch = DirectoryWatch(lambda path, names: None, lambda: None, closed.put)
    watch.watch([str(tmp_path)])
    (tmp_path / "a.rules").write_text("app: x\n")
    assert closed.get(timeout=5) == f"{tmp_path}/a.rules"
    watch.stop()


def test_a_name_of_any_bytes_is_told_as_it_is(tmp_path: Path, watch: DirectoryWatch, told: Told) -> None:
    watch.watch([str(tmp_path)])
    path = os.fsencode(tmp_path) + b"/\xff\xfe" + b"x" * 250
    os.close(os.open(path, os.O_CREAT))
    assert os.fsencode(told.get(timeout=5)[0]) == path


def test_a_directory_with_two_paths_is_told_of_by_both(tmp_path: Path, watch: DirectoryWatch, told: Told) -> None:
    here, there = made(tmp_path, "here")[0], str(tmp_path / "there")
    os.symlink(here, there)
    watch.watch([here, there])
    Path(here, "a").touch()
    assert {told.get(timeout=5) for _ in range(2)} == {(f"{here}/a", True), (f"{there}/a", True)}
    assert watch.watch([there]) == (False, {})
    Path(here, "b").touch()
    assert told.get(timeout=5) == (f"{there}/b", True)


def test_one_that_is_deleted_and_made_anew_is_watched_again(tmp_path: Path, watch: DirectoryWatch, told: Told) -> None:
    (place,) = made(tmp_path, "place")
    watch.watch([place])
    os.rmdir(place)
    assert [told.get(timeout=5) for _ in range(2)] == [(place, True)] * 2  # it is gone, and so is its watch
    os.mkdir(place)  # perhaps with the same inode
    assert watch.watch([place]) == (True, {})
    Path(place, "a").touch()
    until(told, f"{place}/a")


def test_one_that_is_moved_away_says_so_and_what_takes_its_place_is_watched(
    tmp_path: Path, watch: DirectoryWatch, told: Told
) -> None:
    place, other = made(tmp_path, "place", "other")
    watch.watch([place])
    os.rename(place, tmp_path / "away")
    until(told, place)
    os.rename(other, place)
    assert watch.watch([place]) == (True, {})
    (tmp_path / "away" / "old").touch()
    Path(place, "new").touch()
    assert f"{place}/old" not in until(told, f"{place}/new")


def test_what_is_not_wanted_any_more_is_not_told(tmp_path: Path, watch: DirectoryWatch, told: Told) -> None:
    one, other = made(tmp_path, "one", "other")
    watch.watch([one, other])
    watch.watch([other])
    Path(one, "a").touch()
    Path(other, "b").touch()
    assert told.get(timeout=5) == (f"{other}/b", True)


def test_one_that_does_not_exist_is_left_out(tmp_path: Path, watch: DirectoryWatch) -> None:
    assert watch.watch([f"{tmp_path}/none"]) == (False, {})


def test_where_there_is_no_descriptor_each_is_named_and_tried_again(
    tmp_path: Path, watch: DirectoryWatch, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    places = made(tmp_path, "one", "other")
    with monkeypatch.context() as patch:
        patch.setattr(directories, "Inotify", none_left)
        assert watch.watch(places) == (False, dict.fromkeys(places, "Too many open files"))
    assert watch.watch(places) == (True, {})
    Path(places[0], "a").touch()
    assert told.get(timeout=5) == (f"{places[0]}/a", True)


def test_after_its_end_nothing_is_watched(tmp_path: Path, watch: DirectoryWatch) -> None:
    watch.stop()
    assert watch.watch([str(tmp_path)]) == (False, {})


def swap_files(directory: Path) -> list[Path]:
    """Two files that are nobody's log or rule."""
    files = [directory / name for name in (".one.swp", ".other.swp")]
    for file in files:
        file.touch()
    return files


def overflow(watch: DirectoryWatch, files: list[Path], meanwhile: Callable[[], object]) -> None:
    """Let more happen to two files than the kernel keeps for who does not read, and then `meanwhile`, which is lost."""
    with watch._lock:  # the thread that listens waits for it at the first event
        for _ in range(int(QUEUE.read_text()) // 2 + 1_000):
            for file in files:  # two in turn: what is the same again is not kept again
                os.utime(file)
        meanwhile()


def test_what_was_lost_in_a_storm_is_told_to_be_lost_and_all_is_watched_anew(tmp_path: Path) -> None:
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    watch = DirectoryWatch(lambda path, names: told.put(path), lambda: told.put("lost"))
    places = made(tmp_path, "storm", "gone", "stays")

    def make_anew() -> None:
        os.rmdir(places[1])
        os.mkdir(places[1])  # perhaps with the same inode

    storm = swap_files(Path(places[0]))
    watch.watch(places)
    overflow(watch, storm, make_anew)
    while told.get(timeout=5) != "lost":
        pass
    assert watch.watch(places) == (True, {})
    for place in places:
        Path(place, "a").touch()
        assert told.get(timeout=5) == f"{place}/a"
    watch.stop()
