"""The control socket: one JSON line each way, and what a hostile client gets."""

import itertools
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden import control
from logwarden.control import MAX_REQUEST, Request, Server, ask
from logwarden.errors import EdgeError

seconds = itertools.count().__next__
"""A clock on which each look takes a second: nobody asks too often."""


def echo(request: Request) -> None:
    request.reply.set_result(
        {"ok": True, "command": request.command, "arguments": dict(request.arguments), "uid": request.uid}
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("control") / "s"
    server = Server(str(path), echo, timeout=0.05, clock=seconds)
    server.start()
    yield str(path)
    server.stop()
    assert not path.exists()


def send(path: str, content: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        try:
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # cut off while sending: the answer may still be there
        received = b""
        try:
            while chunk := client.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        return received


def test_a_question_is_answered_with_the_askers_uid(path: str) -> None:
    answer = ask(path, "status", colour="red")
    assert answer == {"command": "status", "arguments": {"colour": "red"}, "uid": os.getuid()}


def test_only_owner_and_group_may_open_the_socket(path: str) -> None:
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660


def test_a_stranger_may_read_and_not_change(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = os.geteuid() + 1
    monkeypatch.setattr(control, "_peer", lambda _: stranger)
    assert ask(path, "bans")["uid"] == stranger
    with pytest.raises(EdgeError, match="unban is for root"):
        ask(path, "unban", address="all")


def test_who_asks_without_end_waits_and_nobody_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    server = Server(str(tmp_path / "s"), echo, clock=lambda: now[0])
    server.start()

    def served(uid: int) -> bool:
        monkeypatch.setattr(control, "_peer", lambda _: uid)
        return b'"ok": true' in send(str(tmp_path / "s"), b'{"command": "status"}\n')

    greedy = [served(4242) for _ in range(int(control.BURST) + 5)]
    assert greedy == [True] * int(control.BURST) + [False] * 5
    assert served(4243)
    assert served(0)
    now[0] = 1.0
    assert [served(4242) for _ in range(int(control.RATE) + 1)] == [True] * int(control.RATE) + [False]
    server.stop()


def test_a_question_nobody_answers_ends(tmp_path: Path) -> None:
    server = Server(str(tmp_path / "s"), lambda request: None, timeout=0.01, clock=seconds)
    server.start()
    with pytest.raises(EdgeError, match="did not answer in time"):
        ask(str(tmp_path / "s"), "status")
    server.stop()


def test_without_a_daemon_the_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="is logwarden running"):
        ask(str(tmp_path / "none"), "status")


def test_the_socket_of_a_dead_daemon_is_replaced_and_a_living_ones_is_not(path: str, tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="another logwarden"):
        Server(path, echo, clock=seconds).start()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead"))
    dead.close()
    server = Server(str(tmp_path / "dead"), echo, clock=seconds)
    server.start()
    server.stop()


@pytest.mark.parametrize(
    "content",
    [b"\n", b"", b"[]\n", b"{}\n", b'{"command": 1}\n', b"\xff\xfe\n", b"[" * 60_000 + b"\n", b"x" * (MAX_REQUEST * 3)],
)
def test_what_is_no_request_gets_an_error(path: str, content: bytes) -> None:
    answer = send(path, content)
    assert answer == b"" or b'"ok": false' in answer
    assert ask(path, "status")["command"] == "status"


def test_too_many_clients_are_turned_away_and_the_rest_served(path: str) -> None:
    idle = [socket.socket(socket.AF_UNIX) for _ in range(control.CLIENTS)]
    for client in idle:
        client.connect(path)
    answers = [send(path, b'{"command": "status"}\n') for _ in range(3)]
    assert all(b"too many" in answer for answer in answers[1:])
    for client in idle:
        client.close()
    done = threading.Event()
    while not done.wait(0.01):
        if b'"ok": true' in send(path, b'{"command": "status"}\n'):
            done.set()


def test_others_who_hold_all_their_places_keep_neither_root_nor_each_other_away() -> None:
    """Sixteen connections of one member of the group that said nothing locked the administrator out."""
    places = control._Places()

    def taken(uid: int) -> int:
        return [places.take(uid) for _ in range(2 * control.CLIENTS)].count(True)

    assert taken(4242) == control.EACH
    assert taken(4243) == control.CLIENTS - control.EACH
    assert taken(4244) == 0
    assert taken(0) == control.CLIENTS
    places.free(4242)
    assert taken(4244) == 1
    places.free(0)
    assert (taken(4245), taken(0)) == (0, 1)


def test_who_sends_a_byte_now_and_then_is_cut_off(tmp_path: Path) -> None:
    """Each byte began the time anew, and a place could be held for days."""
    path, clock = str(tmp_path / "s"), itertools.count(0.0, 0.4 * control.PATIENCE)
    server = Server(path, echo, clock=clock.__next__)
    server.start()
    with socket.socket(socket.AF_UNIX) as slow:
        slow.settimeout(5)
        slow.connect(path)
        with suppress(BrokenPipeError):
            for _ in range(3):
                slow.send(b" ")
        assert slow.recv(100) == b""
    server.stop()


def test_what_stands_at_the_path_and_is_no_dead_socket_stays(tmp_path: Path) -> None:
    """A mistyped path had the file there removed."""
    for name, error in (("file", "no socket"), ("link", "no socket"), ("datagrams", "another")):
        target = tmp_path / name
        if name == "file":
            target.write_text("precious")
        elif name == "link":
            target.symlink_to(tmp_path / "file")
        else:
            living = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            living.bind(str(target))
        with pytest.raises(EdgeError, match=error):
            Server(str(target), echo, clock=seconds).start()
        assert target.exists()
    assert (tmp_path / "file").read_text() == "precious"


@given(st.binary(max_size=300))
def test_any_bytes_leave_the_server_standing(path: str, content: bytes) -> None:
    send(path, content)
    assert ask(path, "status")["command"] == "status"
