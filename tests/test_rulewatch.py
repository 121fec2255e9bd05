"""An edit of a rule file is heard of once, when it is done."""

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_directories import overflow, swap_files

from logwarden.rulewatch import RuleWatch

pytestmark = pytest.mark.slow  # a whole daemon, or a real journal, server or disk


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[threading.Semaphore]:
    (tmp_path / "ignore.d" / "server").mkdir(parents=True)
    (tmp_path / "ignore.d" / "server" / "a.rules").write_text("")
    heard = threading.Semaphore(0)
    paths = [str(tmp_path / "ignore.d"), str(tmp_path / "later" / "attack.d")]
    watch = RuleWatch(paths, heard.release, quiet=0.02, patience=60)
    watch.start()
    yield heard
    watch.stop()


def test_an_edit_is_heard_of_once_however_many_writes_it_takes(heard: threading.Semaphore, tmp_path: Path) -> None:
    with (tmp_path / "ignore.d" / "server" / "a.rules").open("a", buffering=1) as file:
        for _ in range(50):
            file.write("app: x\n")
    assert heard.acquire(timeout=5)
    assert not heard.acquire(timeout=0.1)


def test_a_directory_that_appears_later_is_listened_to(heard: threading.Semaphore, tmp_path: Path) -> None:
    (tmp_path / "later" / "attack.d").mkdir(parents=True)
    assert heard.acquire(timeout=5)
    while heard.acquire(timeout=0.1):
        pass  # the directories may have come one by one
    (tmp_path / "later" / "attack.d" / "x.yaml").write_text("")
    assert heard.acquire(timeout=5)


@pytest.mark.parametrize("name", ["local-postfix", "local.conf"])
def test_a_file_of_logchecks_directories_is_heard_of_and_one_that_is_misnamed(
    heard: threading.Semaphore, tmp_path: Path, name: str
) -> None:
    (tmp_path / "ignore.d" / "server" / name).write_text("^x")
    assert heard.acquire(timeout=5)


@pytest.mark.parametrize("name", [".a.rules.swp", "4913"])
def test_what_is_no_rule_file_is_not_heard_of(heard: threading.Semaphore, tmp_path: Path, name: str) -> None:
    (tmp_path / "ignore.d" / "server" / name).write_text("")
    assert not heard.acquire(timeout=0.1)


@pytest.mark.parametrize("name", ["a.rules", "new.rules"])
def test_a_half_written_file_is_waited_out_however_long_its_writer_pauses(
    heard: threading.Semaphore, tmp_path: Path, name: str
) -> None:
    with (tmp_path / "ignore.d" / "server" / name).open("a", buffering=1) as file:
        assert name == "a.rules" or not heard.acquire(timeout=0.2), "an empty file disables the shipped one"
        for half in ("app: a li", "ne\napp: ano"):
            file.write(half)
            file.flush()
            assert not heard.acquire(timeout=0.2)
        file.write("ther\n")
    assert heard.acquire(timeout=5)
    assert not heard.acquire(timeout=0.1)


def test_an_edit_elsewhere_waits_for_it_too(heard: threading.Semaphore, tmp_path: Path) -> None:
    with (tmp_path / "ignore.d" / "server" / "a.rules").open("a") as file:
        file.write("app: a li")
        file.flush()
        (tmp_path / "ignore.d" / "b.rules").write_text("app: x\n")
        assert not heard.acquire(timeout=0.2)
    assert heard.acquire(timeout=5)


def test_a_file_that_is_never_closed_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    heard = threading.Semaphore(0)
    watch = RuleWatch([str(tmp_path)], heard.release, quiet=0.02, patience=0.1)
    watch.start()
    with (tmp_path / "a.rules").open("w") as file:
        file.write("app: x\n")
        file.flush()
        assert heard.acquire(timeout=5)
    watch.stop()


@pytest.mark.parametrize("edited", [True, False])
def test_an_edit_between_the_reading_of_the_rules_and_the_start_is_heard_of(tmp_path: Path, edited: bool) -> None:
    (tmp_path / "server").mkdir()
    write(tmp_path / "server" / "a.rules")
    heard = threading.Semaphore(0)
    watch = RuleWatch([str(tmp_path), str(tmp_path / "none")], heard.release, quiet=0.02)
    if edited:
        (tmp_path / "server" / "a.rules").write_text("app: y\n")
    watch.start()
    assert heard.acquire(timeout=5 if edited else 0.2) is edited
    watch.stop()


def test_a_directory_that_cannot_be_watched_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr("logwarden.sources.inotify.Inotify.add", no_room)
    told: list[str] = []
    watch = RuleWatch([str(tmp_path)], lambda: None, told.append)
    watch.start()
    watch.stop()
    assert told == [
        f"{tmp_path} cannot be watched (inotify watch limit reached): after an edit there, run `logwarden reload`"
    ]


def write(path: Path) -> None:
    path.write_text("app: x\n")


def replace(path: Path) -> None:
    new = path.with_name(".new.swp")
    new.write_text("app: x\n")
    new.rename(path)


def write_and_change_the_mode(path: Path) -> None:
    path.write_text("app: x\n")
    path.chmod(0o600)


def move_in(path: Path) -> None:
    outside = path.parents[2] / "outside"
    outside.write_text("app: x\n")
    outside.rename(path)


@pytest.mark.parametrize(
    "edit",
    [
        write,
        replace,
        write_and_change_the_mode,
        move_in,
        lambda path: path.with_name("b.rules").touch(),
        lambda path: path.unlink(),
        lambda path: path.chmod(0o600),
        lambda path: (path.unlink(), path.symlink_to("/dev/null")),
        lambda path: path.with_name("b.rules").hardlink_to(path),
    ],
)
def test_whatever_ends_an_edit_is_heard_of_at_once(
    heard: threading.Semaphore, tmp_path: Path, edit: Callable[[Path], object]
) -> None:
    edit(tmp_path / "ignore.d" / "server" / "a.rules")
    assert heard.acquire(timeout=5)


def test_after_a_storm_in_which_events_were_lost_all_rules_count_as_edited_and_are_listened_to(tmp_path: Path) -> None:
    (tmp_path / "ignore.d").mkdir()
    storm = swap_files(tmp_path / "ignore.d")
    heard = threading.Semaphore(0)
    watch = RuleWatch([str(tmp_path / "ignore.d")], heard.release, quiet=0.02)
    watch.start()
    overflow(watch._watch, storm, (tmp_path / "ignore.d" / "server").mkdir)
    assert heard.acquire(timeout=5)
    write(tmp_path / "ignore.d" / "server" / "a.rules")
    assert heard.acquire(timeout=5)
    watch.stop()
