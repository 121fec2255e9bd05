"""Logs behind mounts: a directory or a file bound to another place, and a file system that tells inotify nothing.

Each runs in a thread with a mount namespace of its own, which is gone when the thread is.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hanging import HangingMount
from sink import Sink
from test_journey import until

from logwarden.sources.file import SWEEP, FileSource, FileSpec
from logwarden.sources.mounts import remote

pytestmark = pytest.mark.root

CLONE_NEWNS = 0x00020000
"""sched.h: what `unshare --mount` asks for."""
OFTEN = 0.05
"""Seconds between two sweeps, in place of a minute."""
ROTATED = [f"{name} {number}" for name in ("before", "after") for number in range(3)]


def apart(body: Callable[[], None]) -> None:
    """Run `body` where its mounts are seen by nobody else."""

    def run() -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
            pytest.skip(f"no mount namespace here: {os.strerror(ctypes.get_errno())}")
        mount("--make-rprivate", "/")
        body()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


def mount(*argv: object) -> None:
    done = subprocess.run(["mount", *map(str, argv)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


def directory(*path: object) -> Path:
    made = Path(*map(str, path))
    made.mkdir(parents=True)
    return made


def append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.write("".join(line + "\n" for line in lines))


def follow(log: Path, sweep: float, act: Callable[[Sink], None]) -> Sink:
    """What a source says of `log` while `act` goes on."""
    source, sink = FileSource([FileSpec(str(log))], sweep=sweep), Sink()
    source.start(sink, {})
    try:
        sink.wait_until_begun()
        act(sink)
    finally:
        source.stop()
    return sink


def write_and_rotate(log: Path) -> Callable[[Sink], None]:
    def act(sink: Sink) -> None:
        append(log, *ROTATED[:2])
        sink.wait_for_lines(*ROTATED[:2])
        append(log, ROTATED[2])
        log.rename(log.with_name("app.log.1"))
        append(log, *ROTATED[3:])
        sink.wait_for_lines(*ROTATED)

    return act


def test_a_bound_directory_is_heard_of_whichever_way_it_is_written_to(tmp_path: Path) -> None:
    origin, seen = directory(tmp_path, "origin"), directory(tmp_path, "seen")
    (origin / "app.log").touch()

    def body() -> None:
        mount("--bind", origin, seen)
        sink = follow(seen / "app.log", SWEEP, write_and_rotate(origin / "app.log"))
        assert not sink.notices

    apart(body)


def write_and_copytruncate(log: Path) -> Callable[[Sink], None]:
    def act(sink: Sink) -> None:
        append(log, *ROTATED[:3])
        sink.wait_for_lines(*ROTATED[:3])
        log.with_name("app.log.1").write_bytes(log.read_bytes())
        os.truncate(log, 0)
        append(log, *ROTATED[3:])
        sink.wait_for_lines(*ROTATED)

    return act


def test_a_bound_file_is_read_though_its_directory_hears_nothing(tmp_path: Path) -> None:
    origin, seen = directory(tmp_path, "origin") / "app.log", directory(tmp_path, "seen") / "app.log"
    origin.touch()
    seen.touch()

    def body() -> None:
        mount("--bind", origin, seen)
        assert not follow(seen, OFTEN, write_and_copytruncate(origin)).notices

    apart(body)


def test_a_file_system_that_tells_nothing_is_read_by_the_slow_poll(tmp_path: Path) -> None:
    """As over NFS, where another host writes: what goes into an overlay's upper directory, inotify does not tell.

    A rename there would not be seen at all: an overlay remembers names.
    """

    def body() -> None:
        mount("-t", "tmpfs", "store", directory(tmp_path, "store"))
        lower, upper, work = (directory(tmp_path, "store", name) for name in ("lower", "upper", "work"))
        seen = directory(tmp_path, "seen")
        (upper / "app.log").touch()
        mount("-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "overlay", seen)
        sink = follow(seen / "app.log", OFTEN, write_and_copytruncate(upper / "app.log"))
        assert not sink.notices

    apart(body)


# --- a mount that hangs ----------------------------------------------------------------------------------------------


def hanging(body: Callable[[HangingMount, Path], None], tmp_path: Path) -> None:
    """Run `body` with a mount that can hang, and a local log."""

    def run() -> None:
        far, near = HangingMount(tmp_path / "far"), tmp_path / "near.log"
        far.files["app.log"] = b""
        near.touch()
        try:
            body(far, near)
        finally:
            far.close()

    apart(run)


LINKS = [("*/*.log", "near/far.log", "far/app.log"), ("*/app.log", "linked", "far")]
"""A glob, a link that it finds, and where that leads."""


def files(*paths: object) -> FileSource:
    return FileSource([FileSpec(str(path)) for path in paths], sweep=OFTEN, patience=OFTEN, look=OFTEN)


def stuck(far: HangingMount) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == f"files:{far.place}"]


def says(sink: Sink, text: str) -> bool:
    return any(text in notice.text for notice in sink.notices)


@pytest.mark.parametrize("name", ["app.log", "*.log"])
def test_a_mount_that_hangs_stops_its_own_files_alone_and_they_are_caught_up(tmp_path: Path, name: str) -> None:
    def body(far: HangingMount, near: Path) -> None:
        source, sink = files(far.place / name, near), Sink()
        source.start(sink, {})
        try:
            sink.wait(lambda: {"files", f"files:{far.place}"} <= sink.cursors.keys())
            far.files["app.log"] = b"one\n"
            sink.wait_for_lines("one")
            far.hang()
            sink.wait(lambda: says(sink, "has not answered for"))
            assert sink.notices[-1].about == str(far.place)
            far.files["app.log"] = b"one\ntwo\n"
            append(near, "near")
            sink.wait_for_lines("one", "near")
            assert set(source.lag()) == {f"file:{far.place}/app.log", f"file:{near}"}
            far.wake()
            sink.wait_for_lines("one", "near", "two")
            sink.wait(lambda: says(sink, "answers again"))
            assert len(sink.notices) == 2
        finally:
            far.wake()
            source.stop()

    hanging(body, tmp_path)


def test_a_mount_that_hangs_delays_neither_a_start_nor_a_stop_and_holds_one_thread(tmp_path: Path) -> None:
    def body(far: HangingMount, near: Path) -> None:
        far.hang()
        cursors: dict[str, str] = {}
        for text in ("first", "second", "third"):
            source, sink = files(far.place / "app.log", near), Sink()
            source.start(sink, cursors)
            if not cursors:
                sink.wait_until_begun()
            append(near, text)
            sink.wait_for_lines(text)
            assert far.asked.wait(10)
            assert len(stuck(far)) == 1
            source.stop()
            cursors |= sink.cursors
        source, sink = files(far.place / "app.log", near), Sink()
        source.start(sink, cursors)
        try:
            far.wake()
            sink.wait(lambda: f"files:{far.place}" in sink.cursors)
            far.files["app.log"] = b"one\n"
            sink.wait_for_lines("one")
            assert len(stuck(far)) == 1
        finally:
            source.stop()

    hanging(body, tmp_path)


def test_a_link_to_a_mount_that_hangs_is_read_with_the_mount(tmp_path: Path) -> None:
    def body(far: HangingMount, near: Path) -> None:
        link = tmp_path / "link.log"
        link.symlink_to("far/app.log")
        far.hang()
        source, sink = files(link, near), Sink()
        source.start(sink, {})
        try:
            sink.wait_until_begun()
            append(near, "near")
            sink.wait_for_lines("near")
            sink.wait(lambda: says(sink, "has not answered for"))
        finally:
            far.wake()
            source.stop()

    hanging(body, tmp_path)


@pytest.mark.parametrize(("pattern", "link", "target"), LINKS)
def test_a_link_that_a_glob_finds_is_read_with_the_mount_and_stops_nobody_else(
    tmp_path: Path, pattern: str, link: str, target: str
) -> None:
    def body(far: HangingMount, near: Path) -> None:
        log = directory(tmp_path, "logs", "near") / "app.log"
        log.touch()
        seen = link if link.endswith(".log") else f"{link}/app.log"
        (tmp_path / "logs" / link).symlink_to(tmp_path / target)
        cursors: dict[str, str] = {}
        for text in ("first", "second"):  # a start that knows nothing, and one that has read it
            far.hang()
            source, sink = files(tmp_path / "logs" / pattern), Sink()
            source.start(sink, cursors)
            try:
                if not cursors:
                    sink.wait_until_begun()
                append(log, text)
                sink.wait_for_lines(text)
                sink.wait(lambda sink=sink: says(sink, "has not answered for"))
                far.wake()
                if not cursors:
                    sink.wait(lambda sink=sink: f"files:{far.place}" in sink.cursors)
                far.files["app.log"] += b"far %s\n" % text.encode()
                sink.wait_for_lines(text, f"far {text}")
                assert f"file:{tmp_path}/logs/{seen}" in sink.cursors
            finally:
                far.wake()
                source.stop()
            cursors |= sink.cursors

    hanging(body, tmp_path)


@pytest.mark.parametrize(("pattern", "link", "target"), LINKS)
def test_a_link_that_appears_later_is_read_from_the_beginning_and_one_that_goes_is_not_asked_for_again(
    tmp_path: Path, pattern: str, link: str, target: str
) -> None:
    def body(far: HangingMount, near: Path) -> None:
        log = directory(tmp_path, "logs", "near") / "app.log"
        log.touch()
        far.files["app.log"] = b"far\n"
        source, sink = files(tmp_path / "logs" / pattern), Sink()
        source.start(sink, {})
        try:
            sink.wait_until_begun()
            (tmp_path / "logs" / link).symlink_to(tmp_path / target)
            sink.wait_for_lines("far")
            far.hang()
            append(log, "one")
            sink.wait_for_lines("far", "one")
            sink.wait(lambda: says(sink, "has not answered for"))
            (tmp_path / "logs" / link).unlink()
            append(log, "two")
            sink.wait_for_lines("far", "one", "two")
            far.wake()
            until(lambda: not stuck(far))
        finally:
            far.wake()
            source.stop()

    hanging(body, tmp_path)


def test_what_is_mounted_later_gets_a_thread_of_its_own_and_no_line_is_lost(tmp_path: Path) -> None:
    def body() -> None:
        near, place = tmp_path / "near.log", tmp_path / "far"
        near.touch()
        source, sink = files(place / "app.log", near), Sink()
        source.start(sink, {})
        far = None
        try:
            sink.wait_until_begun()
            append(near, "one")
            sink.wait_for_lines("one")
            far = HangingMount(place)
            far.files["app.log"] = b"two\n"
            sink.wait_for_lines("one", "two")
            sink.wait(lambda: f"files:{place}" in sink.cursors)
            far.hang()
            append(near, "three")
            sink.wait_for_lines("one", "two", "three")
        finally:
            if far is not None:
                far.wake()
            source.stop()
            if far is not None:
                far.close()

    apart(body)


@pytest.mark.parametrize(
    ("path", "behind"),
    [
        ("/var/log/app.log", None),
        ("/srv/logs/app.log", "/srv/logs"),
        ("/srv/logs/*/app.log", "/srv/logs"),
        ("/srv/*/app.log", "/srv"),
        ("/srv/logs/on disk/app.log", "/srv/logs"),
        ("/*/app.log", "/"),
        ("/srv/logsX/app.log", None),
    ],
)
def test_the_mount_that_a_path_lies_behind(path: str, behind: str | None) -> None:
    table = {"/": "ext4", "/srv/logs": "nfs4", "/srv/logs/on disk": "xfs", "/run": "tmpfs"}
    assert remote(path, table) == behind
