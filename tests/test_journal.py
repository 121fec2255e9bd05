"""The journal as a source, on real journal files that systemd-journal-remote writes and appends to."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from sink import Sink
from torture.journald import Journald, lacking

from logwarden import config, watch
from logwarden.errors import EdgeError
from logwarden.model import BLOCK, MAX_LINE, Ahead, Batch, Lag, Notice, NoticeKind, Provenance
from logwarden.sources import Source, journal_ahead, journal_reader, sdjournal
from logwarden.sources.entry import Renderer
from logwarden.sources.journal import JournalSource
from logwarden.sources.journal_ahead import JournalScout
from logwarden.sources.journal_reader import Journal
from logwarden.sources.sdjournal import Reader, Selection, open_reader

pytestmark = pytest.mark.slow  # a whole daemon, or a real journal, server or disk

REMOTE = "/lib/systemd/systemd-journal-remote"
BOOT = "a" * 32
START = 1_795_366_800_000_000  # 2026-11-22T17:00:00Z, microseconds

needs_journal = pytest.mark.skipif(
    not os.path.exists(REMOTE) or subprocess.run([sys.executable, "-c", "import systemd.journal"]).returncode != 0,
    reason="needs systemd-journal-remote and python-systemd",
)


class Writer:
    """Appends entries to a real journal file, one a millisecond."""

    def __init__(self, path: Path, **fields: str) -> None:
        self.path = path
        self.count = 0
        self._boot = fields.pop("boot", BOOT)
        self._fields = fields

    def __call__(self, *messages: str | bytes, boot: str = "", **fields: str) -> None:
        export = b"".join(self._entry(message, boot or self._boot, self._fields | fields) for message in messages)
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
def test_what_is_written_after_the_start_is_read_however_soon(write: Writer, sources: Callable[..., Sink]) -> None:
    write("history")
    sink = sources(directories=[str(write.path.parent)])
    write("one")
    sink.wait_for_lines(line(1, "one"))


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


@needs_journal
def test_several_directories_are_several_journals(tmp_path: Path, sources: Callable[..., Sink]) -> None:
    writers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal").mkdir()
        writers.append(Writer(tmp_path / name / "journal" / "x.journal"))
    directories = [str(writer.path.parent) for writer in writers]
    sink = sources(directories=directories)
    sink.wait(lambda: len(sink.cursors) == 2)
    assert set(sink.cursors) == {f"journal:{directory}" for directory in directories}
    writers[0]("one", _HOSTNAME="red")
    writers[1]("two", _HOSTNAME="blue")
    sink.wait(lambda: sink.has(2))
    assert sorted(text.split()[1] for text in sink.lines()) == ["blue", "red"]


@needs_journal
def test_the_newest_entries_of_a_journal_are_shown_once(write: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_ahead, "ENTRIES", 3)
    scout = JournalScout("journal", {"path": str(write.path.parent)}, Selection())
    assert scout.look() is None

    def shown() -> tuple[list[str], bool]:
        found = scout.look()
        assert found is None or len(found.batch.provenance) == found.batch.count
        return (found.batch.block.decode().splitlines(), found.anew) if found else ([], False)

    write("zero", "one", "two", "three")
    assert shown() == ([line(1, "one"), line(2, "two"), line(3, "three")], True)
    scout.close()
    write("four")
    assert shown() == ([line(2, "two"), line(3, "three"), line(4, "four")], True), "after a pause they are shown anew"


@needs_journal
def test_what_was_appended_since_the_last_look_is_shown_and_where_that_is_too_much_the_newest_anew(
    write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_ahead, "ENTRIES", 3)
    write("zero")
    scout = JournalScout("journal", {"path": str(write.path.parent)}, Selection())
    looks = [scout.look()]
    write("one", "two")
    looks += [scout.look(), scout.look()]
    write("three", "four", "five", "six")
    looks += [scout.look()]
    write("seven")
    looks += [scout.look()]
    for _ in range(2):
        write("eight", "nine", "ten", "eleven")
        looks += [scout.look()]
    write("twelve")
    looks += [scout.look(), scout.look()]
    scout.close()
    texts = [
        each and ([text[-5:].split()[-1] for text in each.batch.block.decode().splitlines()], each.anew)
        for each in looks
    ]
    assert texts == [
        (["zero"], True),
        (["one", "two"], False),
        None,
        (["three", "four", "five"], False),
        (["six", "seven"], False),
        (["eight", "nine", "ten"], False),
        (["leven", "eight", "nine"], False),
        (["ten", "leven", "welve"], True),
        None,
    ]


@needs_journal
def test_what_is_too_large_for_one_look_is_shown_by_the_next(write: Writer) -> None:
    write(*[f"{number} {'x' * 40_000}" for number in range(28)])
    scout = JournalScout("journal", {"path": str(write.path.parent)}, Selection())
    looks = [scout.look() for _ in range(3)]
    scout.close()
    assert [each and (each.batch.count, each.anew) for each in looks] == [(18, True), (10, False), None]
    assert all(len(each.batch.block) < BLOCK for each in looks if each)


@needs_journal
def test_a_journal_that_is_far_behind_shows_its_newest_entries_before_its_backlog(
    write: Writer, sources: Callable[..., Sink]
) -> None:
    count = 3 * journal_ahead.BEHIND
    write(*[f"{number}" for number in range(count)], "the last")
    sink = sources(directories=[str(write.path.parent)], from_start=True)
    sink.wait(lambda: sink.cursors)
    sink.wait(lambda: sum(item.count for item in sink.items if isinstance(item, Batch)) == count + 1)
    (ahead,) = [item for item in sink.items if isinstance(item, Ahead)]
    assert ahead.batch.block.endswith(b" the last\n")
    assert ahead.batch.source == f"journal:{write.path.parent}"
    assert sink.items.index(ahead) == 1


# --- sd_journal_process(3) says that files came or went ------------------------------------------------------------


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What sd_journal_process(3) has answered."""
    answers: list[int] = []

    def opened(where: Mapping[str, object], selection: Selection) -> Reader:
        reader = open_reader(where, selection)
        process = reader.process

        def heard() -> int:
            answers.append(process())
            return answers[-1]

        reader.process = heard  # type: ignore[method-assign]
        return reader

    monkeypatch.setattr(journal_reader, "open_reader", opened)
    return answers


# --- a journald of our own -----------------------------------------------------------------------------------------


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    if why := lacking():
        pytest.skip(f"needs a journald of its own: {why}")
    running = Journald(tmp_path)
    yield running
    running.stop()


def written(sink: Sink) -> list[str]:
    return [text.split(": ", 1)[1] for text in sink.lines() if " app[" in text]


def numbered(journald: Journald, start: int, end: int) -> list[str]:
    texts = [f"{number} {'x' * 100}" for number in range(start, end)]
    for text in texts:
        journald.write("app", text)
    journald.wait_for(texts[-1])
    return texts


@pytest.mark.slow
def test_a_journal_that_is_rotated_and_vacuumed_while_it_is_read_loses_and_repeats_nothing(
    journald: Journald, sources: Callable[..., Sink], said: list[int]
) -> None:
    sink = sources(directories=[str(journald.directory)])
    sink.wait(lambda: sink.cursors)
    expected: list[str] = []
    for turn in range(0, 1500, 300):
        expected += numbered(journald, turn, turn + 150)
        journald.rotate()
        expected += numbered(journald, turn + 150, turn + 300)
        sink.wait(functools.partial(lambda count: len(written(sink)) >= count, len(expected)))
        journald.vacuum()
    assert written(sink) == expected
    assert not sink.notices
    assert sdjournal.INVALIDATE in said


def test_what_journald_vacuumed_before_an_open_reader_came_to_it_is_a_gap(journald: Journald, said: list[int]) -> None:
    def app(items: list[Batch | Notice]) -> list[str]:
        return [text for text in texts(items) if "xxx" in text]

    numbered(journald, 0, 10)
    reader = Journal("journal", {"path": str(journald.directory)}, ALL, cursor=None, from_start=True)
    before = list(reader.poll(0.0))
    numbered(journald, 10, 20)
    journald.rotate()
    journald.vacuum()
    kept = numbered(journald, 20, 30)
    after = list(reader.poll(0.0))
    numbered_later = numbered(journald, 30, 40)
    after += list(reader.poll(0.0))
    reader.close()
    assert sdjournal.INVALIDATE in said
    assert (len(app(before)), app(after)) == (10, kept + numbered_later)
    (gap,) = gaps(after)
    assert re.fullmatch(r"1\d entries between \S+ and \S+ were deleted before they were read", gap)


@pytest.mark.slow
def test_what_journald_vacuumed_while_we_were_down_is_a_gap_with_its_time_span_and_number(
    journald: Journald, sources: Callable[..., Sink]
) -> None:
    options = {"directories": [str(journald.directory)]}
    sink = sources(**options)
    sink.wait(lambda: sink.cursors)
    read = numbered(journald, 0, 10)
    sink.wait(lambda: len(written(sink)) == 10)
    sink.stop()  # type: ignore[attr-defined]
    journald.rotate()
    journald.vacuum()
    kept = numbered(journald, 10, 20)
    again = sources(cursors=sink.cursors, **options)
    again.wait(lambda: len(written(again)) == 10)
    again.stop()  # type: ignore[attr-defined]
    assert written(sink) + written(again) == read + kept
    lost = gaps(again.items)
    numbered(journald, 20, 30)
    journald.rotate()
    journald.vacuum()
    kept = numbered(journald, 30, 40)
    last = sources(cursors=again.cursors, **options)
    last.wait(lambda: len(written(last)) == 10)
    assert written(last) == kept
    (gap,) = gaps(last.items)
    assert re.fullmatch(r"1\d entries between \S+ and \S+ were deleted before they were read", gap)
    assert not lost, "what was vacuumed first had been read"


def test_who_wrote_an_entry_is_the_kernels_word_and_not_the_writers(
    journald: Journald, sources: Callable[..., Sink]
) -> None:
    sink = sources(directories=[str(journald.directory)])
    sink.wait(lambda: sink.cursors)
    journald.write("app", "forged", _UID="4711", _COMM="sshd", _SYSTEMD_UNIT="ssh.service", _HOSTNAME="elsewhere")
    sink.wait(lambda: written(sink))
    (found,) = [item for item in sink.items if isinstance(item, Batch) and b"forged" in item.block]
    trusted = found.provenance[[b" app[" in text for text in found.block.splitlines()].index(True)]
    assert trusted.uid == os.geteuid() or os.geteuid() != 0
    assert trusted.comm == Path("/proc/self/comm").read_text().strip()
    assert trusted.unit != "ssh.service"
    assert (trusted.transport, trusted.priority) == ("journal", 6)
    assert b"elsewhere" not in found.block


@needs_journal
def test_the_config_says_which_directories_units_and_priority(tmp_path: Path, write: Writer) -> None:
    journal = f"{{directories: [{write.path.parent}], units: [ssh.service], priority: 4}}"
    (tmp_path / "logwarden.yaml").write_text(f"sources: {{journal: {journal}}}\n")
    (source,) = watch.sources(config.load(str(tmp_path / "logwarden.yaml")))
    sink = Sink()
    source.start(sink, {f"journal:{write.path.parent}": ""})
    try:
        write("too trifling", PRIORITY="5", _SYSTEMD_UNIT="ssh.service")
        write("another's", PRIORITY="3", _SYSTEMD_UNIT="cron.service")
        write("ours", PRIORITY="4", _SYSTEMD_UNIT="ssh.service")
        sink.wait_for_lines(line(2, "ours"))
    finally:
        source.stop()


# --- one journal, without threads ----------------------------------------------------------------------------------


ALL = Selection()


def read(write: Writer, selection: Selection = ALL, cursor: str | None = None) -> list[Batch | Notice]:
    """All that a journal gives from `cursor`, or from its head."""
    reader = Journal("journal", {"path": str(write.path.parent)}, selection, cursor=cursor, from_start=True)
    try:
        return list(reader.poll(0.0))
    finally:
        reader.close()


def texts(items: list[Batch | Notice]) -> list[str]:
    lines = b"".join(item.block for item in items if isinstance(item, Batch)).decode("latin-1").splitlines()
    return [text.split(": ", 1)[1] for text in lines]


def gaps(items: list[Batch | Notice]) -> list[str]:
    return [notice.text for item in items if isinstance(item, Batch) for notice in item.notices]


@needs_journal
def test_a_batch_is_bounded_and_its_cursor_stands_behind_it(write: Writer) -> None:
    write(*(f"{number} " + "x" * 1000 for number in range(1100)))
    batches = [item for item in read(write) if isinstance(item, Batch)]
    assert len(batches) > 1
    assert all(len(batch.block) <= BLOCK and len(batch.provenance) == batch.count for batch in batches)
    resumed = read(write, cursor=batches[0].cursor)
    assert texts(resumed) == texts([*batches])[batches[0].count :]


@needs_journal
def test_units_take_what_systemd_says_about_them_too(write: Writer) -> None:
    write("mine", _SYSTEMD_UNIT="ssh.service")
    write("other", _SYSTEMD_UNIT="cron.service")
    write("about mine", _PID="1", UNIT="ssh.service", _SYSTEMD_UNIT="init.scope")
    write("forged", UNIT="ssh.service", _SYSTEMD_UNIT="user@1000.service")
    assert texts(read(write, Selection(("ssh.service",)))) == ["mine", "about mine"]


@needs_journal
def test_a_priority_takes_all_that_are_as_urgent(write: Writer) -> None:
    for priority in range(8):
        write(f"{priority}", PRIORITY=str(priority), _SYSTEMD_UNIT="a.service")
    assert texts(read(write, Selection(priority=3))) == ["0", "1", "2", "3"]
    assert texts(read(write, Selection(("a.service",), 1))) == ["0", "1"]
    assert texts(read(write, Selection(("b.service",), 1))) == []


@needs_journal
def test_entries_deleted_before_they_were_read_are_a_gap_with_its_time_span(write: Writer) -> None:
    write("one", "two")
    cursor = next(item for item in read(write) if isinstance(item, Batch)).cursor
    write("lost")
    write.path.unlink()
    write.count = 5000
    write("three")
    items = read(write, cursor=cursor)
    assert texts(items) == ["three"]
    assert "between 2026-11-22T17:00:00+00:00 and 2026-11-22T17:00:05+00:00" in gaps(items)[0]


@needs_journal
def test_a_boot_later_it_reads_on(write: Writer) -> None:
    write("one", boot="a" * 32)
    cursor = next(item for item in read(write) if isinstance(item, Batch)).cursor
    write("two", boot="a" * 32)
    write("three", boot="b" * 32)
    items = read(write, cursor=cursor)
    assert texts(items) == ["two", "three"]
    assert not gaps(items)


@needs_journal
def test_a_message_of_several_lines_is_one_event(write: Writer) -> None:
    write("Traceback:\n  at one\n  at two\n", b"binary \xff\0 and\nmore")
    (batch,) = (item for item in read(write) if isinstance(item, Batch))
    assert batch.count == 2
    assert texts([batch]) == ["Traceback:#012  at one#012  at two", "binary \xff\0 and#012more"]


@needs_journal
def test_of_a_repeated_field_all_messages_count_and_of_any_other_the_first(write: Writer) -> None:
    write("three", MESSAGE="one\nMESSAGE=two", _UID="7\n_UID=0", _HOSTNAME="first\n_HOSTNAME=second")
    (batch,) = (item for item in read(write) if isinstance(item, Batch))
    assert batch.block.decode() == "2026-11-22T17:00:00.000000+00:00 first sshd[42]: one#012two#012three\n"
    assert batch.provenance == (Provenance(uid=7, priority=6),)


@needs_journal
def test_what_is_damaged_is_a_gap_with_its_time_span(write: Writer) -> None:
    write("one", "two")
    write.count = 5000
    write("three", "four")
    data = write.path.read_bytes()
    write.path.write_bytes(data.replace(b"MESSAGE=two", b"\xbaESSAGE=two").replace(b"MESSAGE=th", b"\xbaESSAGE=th"))
    first, last = "2026-11-22T17:00:00+00:00", "2026-11-22T17:00:05+00:00"
    assert gaps(read(write)) == [f"2 entries between {first} and {last} cannot be read: damaged"]


@needs_journal
def test_another_selection_is_no_gap(write: Writer) -> None:
    write("one", _SYSTEMD_UNIT="a.service")
    cursor = next(item for item in read(write) if isinstance(item, Batch)).cursor
    write("two", _SYSTEMD_UNIT="b.service")
    items = read(write, Selection(("b.service",)), cursor)
    assert texts(items) == ["two"]
    assert not gaps(items)


@needs_journal
def test_files_that_vanish_and_appear_while_it_is_read_repeat_nothing(write: Writer, tmp_path: Path) -> None:
    write("one")
    reader = Journal("journal", {"path": str(write.path.parent)}, Selection(), cursor=None, from_start=True)
    items = list(reader.poll(0.0))
    write.path.rename(write.path.with_name("archived.journal"))
    write("two")
    items += list(reader.poll(0.0))
    write.path.with_name("archived.journal").unlink()
    items += list(reader.poll(0.0))
    write("three")
    items += list(reader.poll(0.0))
    reader.close()
    assert texts(items) == ["one", "two", "three"]
    assert not gaps(items)


@needs_journal
def test_a_damaged_entry_is_a_gap_and_the_others_are_read(write: Writer) -> None:
    write("one", "two", "three")
    data = write.path.read_bytes()
    assert data.count(b"MESSAGE=two") == 1
    write.path.write_bytes(data.replace(b"MESSAGE=two", b"\xbaESSAGE=two"))
    items = read(write)
    assert texts(items) == ["one", "three"]
    assert gaps(items) == [
        "1 entry between 2026-11-22T17:00:00+00:00 and 2026-11-22T17:00:00+00:00 cannot be read: damaged"
    ]


@needs_journal
def test_a_journal_that_cannot_be_opened_is_told_once_and_tried_again(write: Writer) -> None:
    write("one")
    whole = write.path.read_bytes()
    os.truncate(write.path, len(whole) // 2)
    reader = Journal("journal", {"files": [str(write.path)]}, Selection(), cursor=None, from_start=True)
    items = [*reader.poll(0.0), *reader.poll(60.0)]
    assert [item.kind for item in items if isinstance(item, Notice)] == [NoticeKind.SOURCE]
    assert reader.awaits() is None
    write.path.write_bytes(whole)
    assert texts(list(reader.poll(120.0))) == ["one"]
    reader.close()


@needs_journal
def test_a_cursor_that_is_none_is_a_gap_and_the_journal_is_read_on_from_its_end(write: Writer) -> None:
    write("one")
    reader = Journal("journal", {"path": str(write.path.parent)}, ALL, cursor="no cursor", from_start=False)
    items = list(reader.poll(0.0))
    write("two")
    items += list(reader.poll(0.0))
    reader.close()
    assert len(gaps(items)) == 1
    assert texts(items) == ["two"]


@needs_journal
def test_the_lag_is_known_in_entries_and_in_seconds(write: Writer) -> None:
    reader = Journal("journal", {"path": str(write.path.parent)}, ALL, cursor=None, from_start=True)
    assert reader.lag() == Lag(0, 0.0)
    write("one")
    list(reader.poll(0.0))
    assert reader.lag() == Lag(0, 0.0)
    write.count = 5000
    write("two", "three")
    assert reader.lag() == Lag(0, 5.001, 2)
    list(reader.poll(0.0))
    assert reader.lag() == Lag(0, 0.0)
    reader.close()


# --- one entry -----------------------------------------------------------------------------------------------------

FIELDS = {
    "MESSAGE": b"Accepted publickey",
    "SYSLOG_IDENTIFIER": b"sshd",
    "_PID": b"42",
    "_HOSTNAME": b"host",
    "_UID": b"0",
    "_SYSTEMD_UNIT": b"ssh.service",
    "_COMM": b"sshd",
    "_TRANSPORT": b"syslog",
    "PRIORITY": b"6",
}


def rendered(**changes: bytes | list[bytes] | None) -> str:
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    return Renderer().render(fields, START)[0].decode("latin-1").removesuffix("\n")


def test_an_entry_is_the_line_that_rsyslog_would_write() -> None:
    assert rendered() == "2026-11-22T17:00:00.000000+00:00 host sshd[42]: Accepted publickey"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"MESSAGE": b"a\nb\n\nc\n"}, "host sshd[42]: a#012b#012#012c"),
        ({"MESSAGE": None}, "host sshd[42]: "),
        ({"MESSAGE": b"\xff\0\r"}, "host sshd[42]: \xff\0\r"),
        ({"SYSLOG_IDENTIFIER": None, "_COMM": b"my app"}, "host my_app[42]: Accepted publickey"),
        ({"SYSLOG_IDENTIFIER": None, "_COMM": None}, "host unknown[42]: Accepted publickey"),
        ({"SYSLOG_IDENTIFIER": b"x: sshd[1]:\n"}, "host x__sshd_1___[42]: Accepted publickey"),
        ({"_HOSTNAME": b"a b"}, "a_b sshd[42]: Accepted publickey"),
        ({"_HOSTNAME": None}, "- sshd[42]: Accepted publickey"),
        ({"_PID": None, "SYSLOG_PID": b"7"}, "host sshd[7]: Accepted publickey"),
        ({"_PID": None, "SYSLOG_PID": b"7]: forged ["}, "host sshd: Accepted publickey"),
        ({"_PID": None}, "host sshd: Accepted publickey"),
    ],
)
def test_no_field_can_forge_a_header_or_a_second_line(
    changes: dict[str, bytes | list[bytes] | None], expected: str
) -> None:
    assert rendered(**changes) == f"2026-11-22T17:00:00.000000+00:00 {expected}"


def test_a_message_longer_than_may_be_is_cut_so_that_it_is_seen_to_be() -> None:
    assert len(rendered(MESSAGE=b"x" * 1_000_000)) == MAX_LINE + 1


def test_what_journald_vouches_for_is_kept_and_shared() -> None:
    renderer = Renderer()
    found = renderer.render(FIELDS, START)[1]
    assert found == Provenance(0, "ssh.service", "sshd", "syslog", 6)
    assert renderer.render(FIELDS | {"MESSAGE": b"another"}, START)[1] is found
    assert renderer.render({}, START)[1] == Provenance()
    assert renderer.render({"_UID": [b"7", b"0"], "PRIORITY": b"loud"}, START)[1] == Provenance(uid=7)


def test_pieces_of_a_line_that_journald_tore_are_known() -> None:
    renderer = Renderer()

    def torn(stream: bytes, end: bytes | None = None) -> bool:
        fields = FIELDS | {"_TRANSPORT": b"stdout", "_STREAM_ID": stream} | ({"_LINE_BREAK": end} if end else {})
        return renderer.render(fields, START)[1].torn

    assert [torn(b"1"), torn(b"1", b"line-max"), torn(b"2"), torn(b"1"), torn(b"1")] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert [torn(b"1", b"nul"), torn(b"1", b"nul"), torn(b"1"), torn(b"1")] == [True, True, True, False]
    assert [torn(b"1", b"pid-change"), torn(b"1", b"eof"), torn(b"1")] == [False, False, False]
    assert not any(torn(b"%d" % number, b"eof") for number in range(10_000))
    assert all(torn(b"%d" % number, b"nul") for number in range(10_000))
    assert len(renderer._torn) < 10_000


def test_without_python_systemd_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "systemd.journal", None)
    with pytest.raises(EdgeError, match="python3-systemd"):
        sdjournal.available()
