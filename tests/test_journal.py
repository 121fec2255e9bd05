"""The journal as a source, on real journal files that systemd-journal-remote writes and appends to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sink import Sink

from logwarden.sources import Source
from logwarden.sources.journal import JournalSource

REMOTE = "/lib/systemd/systemd-journal-remote"
BOOT = "a" * 32
START = 1_795_366_800_000_000  # 2026-11-22T17:00:00Z, microseconds

needs_journal = pytest.mark.skipif(
    not os.path.exists(REMOTE) or subprocess.run([sys.executable, "-c", "import systemd.journal"]).returncode != 0,
    reason="needs systemd-journal-remote and python-systemd",
)


class Writer:
    """Appends entries to a real journal file, one a millisecond."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0

    def __call__(self, *messages: str | bytes, boot: str = BOOT, **fields: str) -> None:
        export = b"".join(self._entry(message, boot, fields) for message in messages)
        source = self.path.parent.parent / "export"
        source.write_bytes(export)
        argv = [REMOTE, f"--output={self.path}", "--split-mode=none", str(source)]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _entry(self, message: str | bytes, boot: str, fields: dict[str, str]) -> bytes:
        micros = self.count * 1000
        self.count += 1
        known = {"PRIORITY": "6", "SYSLOG_IDENTIFIER": "sshd", "_PID": "42", "_HOSTNAME": "host", "_UID": "0"}
        text = f"__REALTIME_TIMESTAMP={START + micros}\n__MONOTONIC_TIMESTAMP={micros + 1}\n_BOOT_ID={boot}\n"
        text += "".join(f"{name}={value}\n" for name, value in (known | fields).items())
        raw = message.encode() if isinstance(message, str) else message
        return text.encode() + b"MESSAGE\n" + len(raw).to_bytes(8, "little") + raw + b"\n\n"


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    (tmp_path / "journal").mkdir()
    return Writer(tmp_path / "journal" / "x.journal")


@pytest.fixture
def sources() -> Iterator[Callable[..., Sink]]:
    running: list[Source] = []

    def start(*, cursors: dict[str, str] | None = None, **options: object) -> Sink:
        source = JournalSource(**options)  # type: ignore[arg-type]
        sink = Sink()
        source.start(sink, cursors or {})
        running.append(source)
        sink.stop = source.stop  # type: ignore[attr-defined]
        return sink

    yield start
    for source in running:
        source.stop()


def line(number: int, message: str) -> str:
    return f"2026-11-22T17:00:00.{number * 1000:06}+00:00 host sshd[42]: {message}"


# --- following -----------------------------------------------------------------------------------------------------


@needs_journal
def test_entries_are_read_as_they_are_appended(write: Writer, sources: Callable[..., Sink]) -> None:
    write("history")
    sink = sources(directories=[str(write.path.parent)])
    sink.wait(lambda: sink.cursors)
    write("one", "two")
    sink.wait_for_lines(line(1, "one"), line(2, "two"))
    write("three")
    sink.wait_for_lines(line(1, "one"), line(2, "two"), line(3, "three"))


@needs_journal
def test_what_was_written_while_down_is_read_after_the_cursor(write: Writer, sources: Callable[..., Sink]) -> None:
    write("history")
    options = {"directories": [str(write.path.parent)]}
    sink = sources(**options)
    sink.wait(lambda: sink.cursors)
    sink.stop()
    write("one", "two")
    sink = sources(cursors=sink.cursors, **options)
    sink.wait_for_lines(line(1, "one"), line(2, "two"))
    sink.stop()
    write("three", boot="b" * 32)
    sink = sources(cursors=sink.cursors, **options)
    sink.wait_for_lines(line(3, "three"))


@needs_journal
def test_a_journal_that_was_empty_at_the_first_start_is_read_from_its_head(
    write: Writer, sources: Callable[..., Sink]
) -> None:
    options = {"directories": [str(write.path.parent)]}
    sink = sources(**options)
    sink.wait(lambda: sink.cursors)
    sink.stop()
    write("one")
    sink = sources(cursors=sink.cursors, **options)
    sink.wait_for_lines(line(0, "one"))
    write("two")
    sink.wait_for_lines(line(0, "one"), line(1, "two"))


@needs_journal
def test_stop_returns_at_once(write: Writer, sources: Callable[..., Sink]) -> None:
    sink = sources(directories=[str(write.path.parent)])
    sink.wait(lambda: sink.cursors)
    started = time.monotonic()
    sink.stop()
    assert time.monotonic() - started < 0.5
