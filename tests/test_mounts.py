"""Logs behind mounts: a directory or a file bound to another place, and a file system that tells inotify nothing.

Each runs in a thread with a mount namespace of its own, which is gone when the thread is.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sink import Sink

from logwarden.sources.file import SWEEP, FileSource, FileSpec

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
