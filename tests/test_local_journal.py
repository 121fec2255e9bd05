"""The local journal where journald began anew after a power loss, on real files that systemd-journal-remote writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_journal import Writer, gaps, needs_journal, texts

from logwarden.model import Batch, Lag, Notice
from logwarden.sources import journal_local
from logwarden.sources.journal_local import LocalJournal
from logwarden.sources.journal_reader import Journal
from logwarden.sources.sdjournal import Selection
from logwarden.sources.sequences import Sequences

pytestmark = [pytest.mark.slow, needs_journal]  # a real journal

HOUR = 3_600_000  # the writer's milliseconds


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    (tmp_path / "journal").mkdir()
    writer = Writer(tmp_path / "journal" / "system.journal")
    writer.count = 10 * HOUR
    return writer


class Life:
    """What the daemon does with the journal from start to start; `cursor` is what it has committed."""

    def __init__(self, directory: Path) -> None:
        self.cursor: str | None = ""
        self.items: list[Batch | Notice] = []
        self._directory = directory
        self.start()

    def start(self) -> None:
        path = str(self._directory)
        self.journal = LocalJournal(
            "journal", Selection(), cursor=self.cursor, from_start=False, where={"path": path}, directories=[path]
        )

    def poll(self, most: int = 1000) -> list[str]:
        """The messages of the first batches."""
        items: list[Batch | Notice] = []
        for item in self.journal.poll(0.0):
            items.append(item)
            self.cursor = item.cursor if isinstance(item, Batch) else self.cursor
            if len(items) == most:
                break
        self.items += items
        return texts(items)

    def restart(self) -> list[str]:
        self.journal.close()
        self.start()
        return self.poll()


@pytest.fixture
def life(write: Writer) -> Life:
    return Life(write.path.parent)


def set_aside(write: Writer, name: str) -> None:
    """As journald does with a file that was not closed: the next one begins a sequence of its own."""
    write.path.rename(write.path.with_name(f"system@{name}.journal~"))


def test_a_boot_whose_clock_was_behind_is_read_and_one_reader_is_enough_when_the_files_of_before_have_gone(
    write: Writer, life: Life
) -> None:
    write("one", "two")
    assert life.poll() == ["one", "two"]
    assert isinstance(life.journal._journal, Journal)
    write("last words")
    set_aside(write, "1")
    write.count = 0
    write("no clock", boot="b" * 32)
    assert sorted(life.restart()) == ["last words", "no clock"]
    write("still none", boot="b" * 32)
    assert life.poll() == ["still none"]
    assert life.restart() == []
    write("the same", boot="b" * 32)
    assert life.poll() == ["the same"]
    write.count = 20 * HOUR
    write("set", boot="b" * 32)
    assert life.poll() == ["set"]
    assert life.restart() == []
    assert type(life.journal._journal) is Sequences
    for old in write.path.parent.glob("*~"):
        old.unlink()
    assert life.restart() == []
    assert type(life.journal._journal) is Journal
    write("further", boot="b" * 32)
    assert life.poll() == ["further"]
    assert life.restart() == []
    life.journal.close()
    assert not gaps(life.items)
    assert not [item for item in life.items if isinstance(item, Notice)]


def test_killed_at_any_batch_a_boot_in_the_past_is_read_once(write: Writer, life: Life) -> None:
    write("one")
    seen = life.poll()
    write("two")
    set_aside(write, "1")
    for number, boot in enumerate("bcd"):
        write.count = number * HOUR
        write(f"{boot}1", f"{boot}2", boot=boot * 32)
        set_aside(write, f"2{boot}")
    for _ in range(6):
        life.journal.close()
        life.start()
        seen += life.poll(1)
    assert sorted(seen + life.restart()) == ["b1", "b2", "c1", "c2", "d1", "d2", "one", "two"]
    life.journal.close()


def test_what_is_older_than_the_place_and_was_there_before_is_not_read_again(write: Writer, life: Life) -> None:
    write("one")
    set_aside(write, "1")
    write.count = 20 * HOUR
    write("two", boot="b" * 32)
    assert life.poll() == ["one", "two"]
    assert life.restart() == []
    set_aside(write, "2")
    write.count = 30 * HOUR
    write("three", boot="b" * 32)
    assert life.poll() == ["three"]
    assert life.restart() == []
    assert life.journal.lag() == Lag(0, 0.0)
    assert type(life.journal._journal) is Journal
    life.journal.close()


def test_copies_of_what_was_read_in_the_same_boot_are_not_read(write: Writer, life: Life) -> None:
    """As journalctl --flush makes them, of /run in /var: the same entries with other numbers."""
    write("one", "two")
    assert life.poll() == ["one", "two"]
    write.path = write.path.with_name("var.journal")
    write.count = 10 * HOUR
    write("one", "two")
    assert life.poll() == []
    assert life.restart() == []
    write("three")
    assert life.poll() == ["three"]
    life.journal.close()


def test_a_cursor_from_before_sequences_were_known_is_read_on_by_one_reader(write: Writer, life: Life) -> None:
    write("one")
    set_aside(write, "1")
    write.count = 20 * HOUR
    write("two", boot="b" * 32)
    before = Journal("journal", {"path": str(write.path.parent)}, Selection(), cursor="", from_start=False)
    life.cursor = [item.cursor for item in before.poll(0.0) if isinstance(item, Batch)][-1]
    before.close()
    assert life.restart() == []
    write("three", boot="b" * 32)
    assert life.poll() == ["three"]
    assert life.restart() == []
    life.journal.close()


def test_a_first_start_begins_at_the_end(write: Writer, life: Life) -> None:
    write("history")
    life.cursor = None
    assert life.restart() == []
    assert life.cursor
    write("one")
    assert life.restart() == ["one"]
    life.journal.close()


def test_the_files_of_this_machine_are_where_journald_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: "0123\n")
    assert journal_local.local() == ["/run/log/journal/0123", "/var/log/journal/0123"]
