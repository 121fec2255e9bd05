"""A digest leaves the outbox when a mail server has it, and not before; and none is dropped in silence."""

from __future__ import annotations

import asyncio
import email
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from small import Small
from test_mailer import Server, serving

from logwarden import config
from logwarden.mailing import RETRY
from logwarden.model import Message, Notice, NoticeKind
from logwarden.outbox import Attempt

pytestmark = pytest.mark.slow  # a whole daemon, or a real journal, server or disk

DAY = 86_400.0
ADMIN, OPS = "admin@web1.example", "ops@web1.example"


class Post(Server):
    """A mail server that may die when it has taken a message, before it says so."""

    dies = False

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = await super().handle_DATA(server, session, envelope)
        if self.dies:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return answer

    def identities(self) -> list[str]:
        return [email.message_from_bytes(taken.content or b"")["Message-ID"] for taken in self.taken]  # type: ignore[arg-type]


@contextmanager
def host_with(place: Path, post: Post, extra: str = "lifetime: 7d") -> Iterator[Small]:
    with serving(post) as port:
        host = Small(place, port=port)
        host.config.write_text(host.config.read_text().replace("lifetime: 7d", extra))
        with host.running():
            yield host


def send(host: Small, message: str = "never seen before") -> None:
    """Close the period, and wait for what becomes of the first attempt."""
    host.write(message)
    host.close_period()
    host.daemon.step()
    host.carry_mail()


def retry(host: Small) -> float:
    """Wait until the next attempt is due and was made; return the seconds until then."""
    due = host.daemon.state.next_delivery()
    assert due is not None
    wait = due - host.hands.wall
    host.hands.pass_by(wait)
    host.daemon.step()
    host.carry_mail()
    return wait


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.mark.parametrize(
    "answers",
    [
        {"MAIL": "451 later"},
        {"MAIL": "553 not you"},
        {ADMIN: "450 later", OPS: "450 later"},
        {ADMIN: "550 nobody", OPS: "550 nobody"},
        {"DATA": "452 full"},
        {"DATA": "554 no"},
        {"DATA": "hang up"},
    ],
    ids=str,
)
def test_whatever_the_server_answers_the_digest_comes_when_it_is_well_again(
    tmp_path: Path, post: Post, answers: dict[str, str]
) -> None:
    with host_with(tmp_path, post) as host:
        post.answers = answers
        send(host)
        assert post.taken == []
        retry(host)
        post.answers = {}
        retry(host)
        assert [taken.rcpt_tos for taken in post.taken] == [[ADMIN, OPS]]
        assert host.daemon.state.undelivered() == []
        assert host.daemon.state.next_delivery() is None


def test_a_server_that_dies_after_it_took_the_message_gets_it_again_with_the_same_identity(
    tmp_path: Path, post: Post
) -> None:
    with host_with(tmp_path, post) as host:
        post.dies = True
        send(host)
        assert len(host.daemon.state.undelivered()) == 1
        post.dies = False
        retry(host)
        assert host.daemon.state.undelivered() == []
        first, second = post.identities()
        assert first == second


def test_of_two_recipients_the_refused_one_alone_is_tried_again(tmp_path: Path, post: Post) -> None:
    with host_with(tmp_path, post, "lifetime: 1h") as host:
        post.answers = {OPS: "450 greylisted"}
        send(host)
        retry(host)
        assert [taken.rcpt_tos for taken in post.taken] == [[ADMIN]]
        post.answers = {}
        retry(host)
        assert [taken.rcpt_tos for taken in post.taken] == [[ADMIN], [OPS]]
        assert len(set(post.identities())) == 1
        post.answers = {OPS: "550 gone"}
        send(host, "another line")
        while host.daemon.state.next_delivery() is not None:
            retry(host)
        assert f"could not be delivered to {OPS} in 1h" in " ".join(host.preview().split())


def test_attempts_back_off_to_an_hour_and_end_with_the_messages_lifetime(tmp_path: Path, post: Post) -> None:
    with host_with(tmp_path, post, "lifetime: 1d") as host:
        post.answers = {"DATA": "452 full"}
        send(host)
        begun, waits = host.hands.wall, []
        while host.daemon.state.next_delivery() is not None:
            waits.append(retry(host))
        assert waits[:7] == [60, 120, 240, 480, 960, 1_920, 3_600]
        assert set(waits[7:]) == {3_600}
        assert DAY <= host.hands.wall - begun < DAY + 3_600
        (lost,) = host.daemon.state.undelivered()
        assert lost["given_up"] == host.hands.wall
        (kept,) = (tmp_path / "state" / "undeliverable").glob("*.eml")
        mail = email.message_from_bytes(kept.read_bytes())
        assert mail["Message-ID"] == lost["message_id"]
        text = " ".join(host.preview().split())
        assert f"'{lost['subject']}' could not be delivered" in text
        post.answers = {}
        send(host, "another line")
        assert len(post.taken) == 1, "what was given up is not tried again, and the next digest goes out"


def test_status_shows_an_undeliverable_digest_and_where_it_is_on_disk(tmp_path: Path, post: Post) -> None:
    with host_with(tmp_path, post, "lifetime: 1h") as host:
        post.answers = {"DATA": "554 no"}
        send(host)
        assert "not delivered yet: " in status(host)
        while host.daemon.state.next_delivery() is not None:
            retry(host)
        (lost,) = host.daemon.state.undelivered()
        (kept,) = (tmp_path / "state" / "undeliverable").glob("*.eml")
        shown = status(host)
        assert f"undeliverable: {lost['subject']} ({lost['attempts']} attempts): " in shown
        assert f"kept as {kept}" in shown
        assert "554" in shown


def status(host: Small) -> str:
    """What the command prints, its lines as one."""
    argv = [sys.executable, "-m", "logwarden", "status", "--config", str(host.config)]
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(subprocess.run, argv, capture_output=True, text=True, check=False)
        woken = Notice(NoticeKind.STATE, "x", "wakes the daemon", host.hands.wall)
        asking.add_done_callback(lambda _: host.daemon.inbox.put(woken))
        host.step_until(asking.done)
        return " ".join(asking.result().stdout.split())


def test_a_week_is_how_long_a_message_is_tried_by_default(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert config.load(str(tmp_path / "empty.yaml")).mail.lifetime == 7 * DAY


@pytest.mark.slow
def test_no_line_and_no_ban_waits_for_a_server_that_hangs(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        host = Small(tmp_path, port=silent.getsockname()[1])
        host.config.write_text(host.config.read_text().replace("timeout: 2s", "timeout: 1s"))
        with host.running():
            host.write("never seen before")
            host.close_period()
            host.attack("203.0.113.9", 3)  # the courier is on its way by now
            assert list(host.bans()) == ["203.0.113.9/32"]
            host.step_until(lambda: host.daemon.state.undelivered()[0]["error"])
            assert "timed out" in str(host.daemon.state.undelivered()[0]["error"])


def post_many(host: Small, messages: int, size: int) -> None:
    with host.daemon.state.transaction() as tx:
        for number in range(1, messages + 1):
            tx.post(Message(0, f"<{number}@web1>", ADMIN, (f"{number}@x",), b"x" * size), host.hands.wall)


def test_mail_that_waits_behind_a_server_that_hangs_stays_in_the_database(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        host = Small(tmp_path, port=silent.getsockname()[1])
        host.config.write_text(host.config.read_text().replace("timeout: 2s", "timeout: 30s"))
        with host.running():
            post_many(host, messages=40, size=1_000_000)
            tracemalloc.start()
            try:
                for number in range(10):
                    host.write(f"normal {number}")
                assert tracemalloc.get_traced_memory()[1] < 5_000_000
            finally:
                tracemalloc.stop()


def test_what_is_due_is_carried_one_after_the_other_and_first_what_was_due_first(tmp_path: Path, post: Post) -> None:
    with host_with(tmp_path, post) as host:
        post_many(host, messages=5, size=10)
        with host.daemon.state.transaction() as tx:
            tx.not_delivered(1, "later", host.hands.wall + 1)
        host.hands.pass_by(1)
        host.carry_mail()
        host.step_until(lambda: host.daemon.state.next_delivery() is None)
        assert [taken.rcpt_tos for taken in post.taken] == [["2@x"], ["3@x"], ["4@x"], ["5@x"], ["1@x"]]


def test_a_message_that_the_server_has_is_not_sent_again_because_the_disk_is_full(tmp_path: Path, post: Post) -> None:
    with host_with(tmp_path, post) as host:
        host.write("never seen before")
        host.close_period()
        host.daemon.state._db.execute("PRAGMA query_only=1")  # takes nothing at all
        host.step_until(lambda: post.taken)
        assert len(post.taken) == 1
        host.hands.pass_by(DAY / 48)
        host.daemon.inbox.put(Notice(NoticeKind.STATE, "x", "wakes it", host.hands.wall))
        host.daemon.step()
        host.daemon.state._db.execute("PRAGMA query_only=0")
        host.hands.pass_by(RETRY)
        host.write("normal 1")
        assert host.daemon.state.undelivered() == []
        assert len(post.taken) == 1


def test_a_result_that_the_database_does_not_take_fills_no_log(
    tmp_path: Path, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    with host_with(tmp_path, post) as host:
        host.write("never seen before")
        host.close_period()
        host.daemon.state._db.execute("PRAGMA query_only=1")
        host.step_until(lambda: post.taken)
        assert len(post.taken) == 1
        host.write("normal 1")
        caplog.clear()
        for second in range(50):
            host.hands.pass_by(0.1)
            host.write(f"normal {second}")  # as our own log would give it one, where it is watched
        assert len(caplog.records) <= 2, "one for each time that the database is tried again"


@pytest.mark.parametrize("full", [False, True], ids=["", "on a full disk"])
def test_an_attempt_under_way_when_the_clock_jumps_is_not_the_last(tmp_path: Path, post: Post, full: bool) -> None:
    with host_with(tmp_path, post) as host:
        post.answers = {"DATA": "452 full"}
        host.daemon.courier.carry = lambda *_: None  # type: ignore[method-assign]  # this one takes its time
        host.write("never seen before")
        host.close_period()
        state = host.daemon.state
        message = state.due(host.hands.wall)
        assert message is not None
        attempt = Attempt(message, "timed out")
        host.hands.wall += 366 * DAY
        state._db.execute(f"PRAGMA query_only={int(full)}")
        host.daemon.inbox.put(attempt)
        host.daemon.step()
        state._db.execute("PRAGMA query_only=0")
        host.hands.pass_by(RETRY)
        host.write("normal 1")
        host.write("normal 2")
        (waiting,) = state.undelivered()
        assert (waiting["given_up"], waiting["attempts"]) == (None, 1)
        assert 50 <= waiting["next"] - host.hands.wall <= 60


def test_old_files_of_undeliverable_mail_go_when_their_time_is_over(tmp_path: Path, post: Post) -> None:
    with host_with(tmp_path, post, "lifetime: 1h") as host:
        post.answers = {"DATA": "452 full"}
        send(host)
        while host.daemon.state.next_delivery() is not None:
            retry(host)
        files = tmp_path / "state" / "undeliverable"
        config = host.daemon.watch.config
        host.daemon.mailing.forget(config, host.hands.wall + 365 * DAY)
        assert len(list(files.iterdir())) == 1, "state still knows it"
        with host.daemon.state.transaction() as tx:
            tx.forget(host.hands.wall + DAY)
        host.daemon.mailing.forget(config, host.hands.wall - DAY)
        host.daemon.mailing.forget(config, 4e9)
        assert list(files.iterdir()) == []
