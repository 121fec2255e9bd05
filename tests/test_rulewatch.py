"""An edit of a rule file is heard of once, when it is done."""

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from test_directories import overflow, swap_files

from logwarden import rulewatch
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


def test_a_watch_stops_while_a_burst_of_edits_goes_on(tmp_path: Path) -> None:
    within = threading.Event()

    def clock() -> float:
        within.set()
        return 0.0

    watch = RuleWatch([str(tmp_path)], lambda: None, quiet=60, clock=clock)
    watch.start()
    (tmp_path / "a.rules").write_text("app: x\n")
    assert within.wait(5)
    stopping = threading.Thread(target=watch.stop, daemon=True)
    stopping.start()
    stopping.join(5)
    assert not stopping.is_alive()


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


@pytest.mark.parametrize(("name", "times"), [("log", (0.0, 30.0, 61.0)), ("kept.rules", (0.0, 60.0, 90.0, 101.0))])
def test_changes_that_never_end_are_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, times: Sequence[float]
) -> None:
    """To a log beside the rules; to a rule file that is kept open, and written to before each wait for it is over."""
    monkeypatch.setattr(rulewatch, "LONGEST", 60.0)
    heard, now = threading.Semaphore(0), [0.0]
    (tmp_path / "log").touch()
    watch = RuleWatch([str(tmp_path)], heard.release, quiet=60, patience=100, clock=lambda: now[-1])
    watch.start()
    with (tmp_path / name).open("a", buffering=1) as kept:
        for time in times:
            assert not heard.acquire(timeout=0.1)
            now.append(time)
            (kept.write if kept.name.endswith(".rules") else (tmp_path / "log").write_text)("app: x\n")
        assert heard.acquire(timeout=5)
    watch.stop()


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


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[tuple[threading.Semaphore, Path]]:
    """Rules of which some are links into a directory beside them."""
    git = tmp_path / "git"
    (git / "one").mkdir(parents=True)
    (git / "two").mkdir()
    (git / "current").symlink_to("one")
    for name in ("one/real", "two/real", "one/chained"):
        write(git / f"{name}.rules")
    (git / "middle").symlink_to("current/../one/chained.rules")
    (tmp_path / "server").mkdir()
    (tmp_path / "ignore.d").symlink_to(tmp_path / "rules")
    (tmp_path / "rules").mkdir()
    for name, target in {
        "a.rules": git / "current" / "real.rules",
        "chain.rules": Path("../git/middle"),
        "dangling.rules": git / "later" / "x.rules",
        "none.rules": Path("/dev/null"),
        "circle.rules": Path("circle.rules"),
        "server": tmp_path / "server",
    }.items():
        (tmp_path / "rules" / name).symlink_to(target)
    heard = threading.Semaphore(0)
    watch = RuleWatch([str(tmp_path / "ignore.d")], heard.release, quiet=0.02, patience=60)
    watch.start()
    yield heard, git
    watch.stop()


def move_link(path: Path, target: str) -> None:
    path.with_name("new").symlink_to(target)
    path.with_name("new").rename(path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda git: write(git / "one" / "real.rules"),
        lambda git: replace(git / "one" / "real.rules"),
        lambda git: write(git / "one" / "chained.rules"),
        lambda git: (git / "one" / "chained.rules").unlink(),
        lambda git: move_link(git / "middle", "two/real.rules"),
        lambda git: move_link(git / "current", "two"),
        lambda git: (git / "later").mkdir(),
        lambda git: write(git.parent / "server" / "a.rules"),
        lambda git: move_link(git.parent / "ignore.d", "git"),
        lambda git: move_link(git.parent / "rules" / "a.rules", "/dev/null"),
    ],
)
def test_an_edit_of_what_a_link_leads_to_is_heard_of_and_of_a_link_on_the_way(
    linked: tuple[threading.Semaphore, Path], edit: Callable[[Path], object]
) -> None:
    heard, git = linked
    edit(git)
    assert heard.acquire(timeout=5)


def test_where_a_link_leads_after_it_has_moved_is_listened_to_and_where_it_led_is_not(
    linked: tuple[threading.Semaphore, Path],
) -> None:
    heard, git = linked
    move_link(git / "current", "two")
    assert heard.acquire(timeout=5)
    write(git / "one" / "real.rules")
    assert not heard.acquire(timeout=0.2)
    write(git / "two" / "real.rules")
    assert heard.acquire(timeout=5)
    (git / "later").mkdir()
    assert heard.acquire(timeout=5)
    write(git / "later" / "x.rules")
    assert heard.acquire(timeout=5)


def test_what_lies_beside_the_target_of_a_link_is_not_heard_of(linked: tuple[threading.Semaphore, Path]) -> None:
    heard, git = linked
    for path in (git / "one" / "other.rules", git / "x", git.parent / "logwarden.yaml"):
        write(path)
    Path("/dev/null").write_text("x")
    assert not heard.acquire(timeout=0.2)


def test_the_half_written_target_of_a_link_is_waited_out(linked: tuple[threading.Semaphore, Path]) -> None:
    heard, git = linked
    with (git / "one" / "real.rules").open("a") as file:
        file.write("app: a li")
        file.flush()
        assert not heard.acquire(timeout=0.2)
    assert heard.acquire(timeout=5)


def test_an_edit_of_a_target_before_the_start_is_heard_of(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    write(tmp_path / "real.rules")
    (tmp_path / "rules" / "a.rules").symlink_to("../real.rules")
    heard = threading.Semaphore(0)
    watch = RuleWatch([str(tmp_path / "rules")], heard.release, quiet=0.02)
    (tmp_path / "real.rules").write_text("app: y\n")
    watch.start()
    assert heard.acquire(timeout=5)
    watch.stop()


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
