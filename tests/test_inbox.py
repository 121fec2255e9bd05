"""The one queue and its gates; the outbox's courier; sd_notify."""

import queue
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from logwarden import feed, systemd
from logwarden.cli import ask
from logwarden.errors import EdgeError, MailError
from logwarden.feed import Feed, Gate
from logwarden.inbox import Inbox
from logwarden.model import Batch, Lag, Message, Notice, NoticeKind
from logwarden.outbox import Attempt, Courier, attempt, backoff
from logwarden.sources import Emit

BATCH = Batch("s", b"x\n", 1, "1")
MESSAGE = Message(1, "<1@h>", "a@h", ("b@h", "c@h"), b"")


def test_a_source_waits_while_all_slots_are_taken_and_goes_on_when_one_is_free() -> None:
    inbox = Inbox(slots=1)
    gate = Gate(inbox)
    gate.emit(BATCH)
    passed = threading.Event()
    thread = threading.Thread(target=lambda: (gate.emit(BATCH), passed.set()))
    thread.start()
    assert inbox.get(1) is BATCH
    assert inbox.get(0) is None
    assert not passed.is_set()
    inbox.release(1)
    assert inbox.get(5) is BATCH
    thread.join(5)
    assert passed.is_set()


def test_what_is_no_batch_never_waits() -> None:
    inbox = Inbox(slots=1)
    gate = Gate(inbox)
    gate.emit(BATCH)
    gate.emit(Notice(NoticeKind.GAP, "s", "x", 0))
    assert len(inbox) == 2


def test_a_closed_gate_drops_everything_also_what_waited() -> None:
    inbox = Inbox(slots=1)
    gate = Gate(inbox)
    gate.emit(BATCH)
    thread = threading.Thread(target=gate.emit, args=(BATCH,))
    thread.start()
    gate.close()
    thread.join(5)
    gate.emit(BATCH)
    assert len(inbox) == 1
    inbox.get(0)
    inbox.release(1)
    Gate(inbox).emit(BATCH)
    assert len(inbox) == 1, "the dropped batches took no slot with them"


class Behind:
    """A source that is behind."""

    def __init__(self, name: str, lag: Lag) -> None:
        self.name = name
        self._lag = lag

    def start(self, emit: Emit, cursors: Mapping[str, str]) -> None: ...
    def stop(self) -> None: ...
    def lag(self) -> Mapping[str, Lag]:
        return {self.name: self._lag}


def test_a_feed_knows_the_lag_of_all_its_sources() -> None:
    sources = Feed([Behind("file:a", Lag(5, 1.0)), Behind("journal", Lag(0, 2.0, 3))], Inbox())
    assert sources.lag() == {"file:a": Lag(5, 1.0), "journal": Lag(0, 2.0, 3)}


def test_a_source_whose_file_system_hangs_holds_nobody_who_asks_how_far_behind_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "PATIENCE", 0.01)
    hangs, over = threading.Event(), threading.Event()

    class Hanging(Behind):
        def lag(self) -> Mapping[str, Lag]:
            if hangs.is_set():
                over.wait()
            return super().lag()

    sources = Feed([Hanging("file:a", Lag(5, 1.0))], Inbox())
    while not sources.lag():
        pass
    hangs.set()
    assert [sources.lag() for _ in range(3)] == [{"file:a": Lag(5, 1.0)}] * 3
    over.set()


def test_status_says_what_is_unread_and_nothing_where_all_is_read() -> None:
    assert ask._unread([]) == ""
    lags = [Lag(1_500_000, 3.0)._asdict(), Lag(0, 40.0, 1200)._asdict()]
    assert ask._unread(lags) == ", unread 1.5 MB of files and 1,200 entries of journals, behind for 40 s"


def test_retries_back_off_to_an_hour() -> None:
    assert [backoff(n) for n in (0, 1, 2, 5, 6, 10_000)] == [60, 120, 240, 1920, 3600, 3600]


def refuse_one(_: Message) -> None:
    raise MailError("no", refused={"c@h": "550 no"})


def fail(_: Message) -> None:
    raise EdgeError("nobody there")


def test_an_attempt_says_what_became_of_the_message() -> None:
    assert attempt(MESSAGE, lambda _: None) == Attempt(MESSAGE)
    assert attempt(MESSAGE, refuse_one) == Attempt(MESSAGE, "no", ("c@h",))
    assert attempt(MESSAGE, fail) == Attempt(MESSAGE, "nobody there")


def test_a_courier_is_free_again_once_the_result_is_written_down() -> None:
    reports: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
    courier = Courier(reports.put)
    delivered: list[Message] = []
    courier.start()
    courier.carry(MESSAGE, delivered.append)
    assert reports.get(timeout=5) == Attempt(MESSAGE)
    assert not courier.free
    courier.done()
    assert courier.free
    courier.stop()
    assert delivered == [MESSAGE]


def test_systemd_is_told_in_one_datagram_a_notification(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(tmp_path / "notify"))
        systemd.notify(environ={"NOTIFY_SOCKET": str(tmp_path / "notify")}, READY=1, STATUS="two\nlines")
        assert door.recv(1000) == b"READY=1\nSTATUS=two lines"


def test_without_systemd_nothing_is_told(tmp_path: Path) -> None:
    systemd.notify(environ={}, READY=1)
    systemd.notify(environ={"NOTIFY_SOCKET": str(tmp_path / "nobody")}, READY=1)


def test_systemd_that_does_not_listen_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "PATIENCE", 0.001)
    queued = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(tmp_path / "notify"))
        for number in range(queued + 3):
            systemd.notify(environ={"NOTIFY_SOCKET": str(tmp_path / "notify")}, STATUS=number)
        assert door.recv(1000) == b"STATUS=0"


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "x"}, None),
        ({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(environ: dict[str, str], interval: float | None) -> None:
    assert systemd.watchdog_interval(environ) == interval
