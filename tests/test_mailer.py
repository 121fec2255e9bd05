"""Delivery, in a real SMTP conversation with aiosmtpd."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from postbox import Server, certified, make_authority, secured, serving

from logwarden.errors import MailError
from logwarden.mailer import TRANSPORTS, Sendmail, Smtp, Stdout
from logwarden.model import Message

MESSAGE = Message(
    id=1,
    message_id="<1@host.example>",
    sender="logwarden@host.example",
    recipients=("root@host.example", "ops@host.example"),
    content=b"Subject: hello\r\n\r\n.a line that starts with a dot\r\n",
)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def smtp(server: Server) -> Iterator[Smtp]:
    with serving(server) as port:
        yield Smtp(host="127.0.0.1", port=port, timeout=10)


def test_a_message_arrives_byte_for_byte_with_its_envelope(server: Server, smtp: Smtp) -> None:
    smtp.deliver(MESSAGE)
    assert [taken.content for taken in server.taken] == [MESSAGE.content]
    assert server.taken[0].mail_from == MESSAGE.sender
    assert server.taken[0].rcpt_tos == list(MESSAGE.recipients)


@pytest.mark.parametrize(("answer", "permanent"), [("451 later", False), ("552 too big", True)])
@pytest.mark.parametrize("verb", ["MAIL", "DATA"])
def test_a_refusal_is_permanent_exactly_when_it_is_5xx(
    server: Server, smtp: Smtp, verb: str, answer: str, permanent: bool
) -> None:
    server.answers[verb] = answer
    with pytest.raises(MailError, match=answer) as caught:
        smtp.deliver(MESSAGE)
    assert caught.value.permanent is permanent
    assert caught.value.refused == {}


def test_one_refused_recipient_is_named_while_the_other_gets_the_mail(server: Server, smtp: Smtp) -> None:
    server.answers["ops@host.example"] = "550 who is that"
    with pytest.raises(MailError) as caught:
        smtp.deliver(MESSAGE)
    assert caught.value.refused == {"ops@host.example": "550 who is that"}
    assert caught.value.permanent
    assert server.taken[0].rcpt_tos == ["root@host.example"]


def test_all_recipients_refused_is_permanent_only_when_none_may_come_later(server: Server, smtp: Smtp) -> None:
    server.answers = {"root@host.example": "450 greylisted", "ops@host.example": "550 who is that"}
    with pytest.raises(MailError, match="greylisted") as caught:
        smtp.deliver(MESSAGE)
    assert not caught.value.permanent
    assert caught.value.refused == {}
    assert server.taken == []


def test_a_server_that_dies_after_the_data_may_be_tried_again(server: Server, smtp: Smtp) -> None:
    server.answers["DATA"] = "hang up"
    with pytest.raises(MailError) as caught:
        smtp.deliver(MESSAGE)
    assert not caught.value.permanent


def test_a_bad_goodbye_does_not_unsend_the_mail(server: Server, smtp: Smtp) -> None:
    server.answers["QUIT"] = "500 no"
    smtp.deliver(MESSAGE)
    assert len(server.taken) == 1


@contextlib.contextmanager
def dripping(drop: bytes, begin: Callable[[socket.socket], object] = lambda client: None) -> Iterator[int]:
    """The port of a server that begins with a client, and then lets drop after drop fall."""
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            begin(client)
            while not over.wait(0.02):
                client.sendall(drop)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


def test_a_server_that_drips_its_answer_is_left_after_ten_timeouts() -> None:
    with dripping(b"2") as port, pytest.raises(MailError, match="took too long") as failure:
        Smtp(host="127.0.0.1", port=port, timeout=0.1).deliver(MESSAGE)
    assert not failure.value.permanent


@pytest.mark.parametrize("tls", ["tls", "starttls"])
def test_a_server_that_drips_its_tls_handshake_is_left_after_one_timeout(tls: ssl.SSLContext) -> None:
    def begin(client: socket.socket) -> None:
        if tls == "starttls":
            client.sendall(b"220 mx\r\n")
            client.recv(1_000)
            client.sendall(b"250-mx\r\n250 STARTTLS\r\n")
            client.recv(1_000)
            client.sendall(b"220 go ahead\r\n")
        client.sendall(b"\x16\x03\x03\x40\x00")  # a handshake record of 16 KiB

    with dripping(b"\x02", begin) as port, pytest.raises(MailError, match="handshake operation timed out") as failure:
        Smtp(host="127.0.0.1", port=port, tls=tls, timeout=0.2).deliver(MESSAGE)
    assert not failure.value.permanent


def test_a_server_that_hangs_is_left_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(MailError, match="timed out") as caught:
        Smtp(host="127.0.0.1", port=silent.getsockname()[1], timeout=0.05).deliver(MESSAGE)
    assert not caught.value.permanent


def test_nobody_listening_is_said_with_the_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(MailError, match=rf"127\.0\.0\.1:{port}: Connection refused"):
        Smtp(host="127.0.0.1", port=port).deliver(MESSAGE)


@pytest.mark.parametrize("bad", ["root\r\nDATA", "r\u00f6\u00f6t@host.example", "a b@host.example", ""])
def test_an_address_that_smtp_cannot_carry_is_refused_for_good(server: Server, smtp: Smtp, bad: str) -> None:
    with pytest.raises(MailError) as caught:
        smtp.deliver(MESSAGE._replace(recipients=("root@host.example", bad)))
    assert caught.value.permanent
    assert server.taken == []
    with pytest.raises(MailError):
        Sendmail(("false",)).deliver(MESSAGE._replace(sender=bad))


def test_what_a_server_says_reaches_the_log_as_one_harmless_line(server: Server, smtp: Smtp) -> None:
    server.answers["DATA"] = "554-\x1b[31mred\r\n554 \x07bell"
    with pytest.raises(MailError) as caught:
        smtp.deliver(MESSAGE)
    assert str(caught.value).isprintable()
    assert "\\x1b[31mred" in str(caught.value)


# --- TLS and AUTH -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls(authority: Path) -> ssl.SSLContext:
    return certified(authority)


def test_starttls_and_auth_with_a_known_authority_deliver(server: Server, tls: ssl.SSLContext, authority: Path) -> None:
    with secured(server, tls) as port:
        Smtp(
            "localhost", port, 10, "starttls", "warden", str(authority / "password"), ca_file=str(authority / "ca.pem")
        ).deliver(MESSAGE)
    assert (len(server.taken), server.users) == (1, ["warden"])


def test_a_wrong_password_keeps_the_mail_for_later(
    server: Server, tls: ssl.SSLContext, authority: Path, tmp_path: Path
) -> None:
    (wrong := tmp_path / "password").write_text("guess")
    with secured(server, tls) as port, pytest.raises(MailError, match="535") as caught:
        Smtp("localhost", port, 10, "starttls", "warden", str(wrong), ca_file=str(authority / "ca.pem")).deliver(
            MESSAGE
        )
    assert not caught.value.permanent


def test_a_password_file_that_is_gone_is_named(server: Server, tls: ssl.SSLContext, authority: Path) -> None:
    with secured(server, tls) as port, pytest.raises(MailError, match="No such file"):
        Smtp("localhost", port, 10, "starttls", "warden", "/nonexistent", ca_file=str(authority / "ca.pem")).deliver(
            MESSAGE
        )


def test_an_unknown_authority_gets_neither_mail_nor_password(
    server: Server, tls: ssl.SSLContext, authority: Path
) -> None:
    with secured(server, tls) as port, pytest.raises(MailError, match=r"(?i)certificate"):
        Smtp("localhost", port, 10, "starttls", "warden", str(authority / "password")).deliver(MESSAGE)
    assert (server.taken, server.users) == ([], [])


def test_a_certificate_for_another_name_is_refused(server: Server, tls: ssl.SSLContext, authority: Path) -> None:
    with secured(server, tls) as port, pytest.raises(MailError, match=r"(?i)certificate|mismatch"):
        Smtp("127.0.0.1", port, 10, "starttls", ca_file=str(authority / "ca.pem")).deliver(MESSAGE)
    assert server.taken == []


def test_a_server_without_starttls_gets_nothing_in_the_clear(server: Server, smtp: Smtp) -> None:
    with pytest.raises(MailError, match="STARTTLS"):
        replace(smtp, tls="starttls").deliver(MESSAGE)
    assert server.taken == []


def test_tls_from_the_first_byte_delivers(server: Server, tls: ssl.SSLContext, authority: Path) -> None:
    with serving(server, ssl_context=tls) as port:
        Smtp("localhost", port, 10, "tls", ca_file=str(authority / "ca.pem")).deliver(MESSAGE)
    assert len(server.taken) == 1


def test_a_password_over_the_network_in_the_clear_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="in the clear"):
        Smtp("mail.example", user="warden", password_file="/run/credentials/password")
    Smtp("127.0.0.1", user="warden", password_file="/run/credentials/password")
    with pytest.raises(ValueError, match="together"):
        Smtp("localhost", user="warden")


# --- sendmail and standard output ---------------------------------------------------------------------------


def script(tmp_path: Path, body: str) -> tuple[str, ...]:
    (path := tmp_path / "sendmail").write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return (str(path),)


def test_sendmail_gets_the_envelope_as_arguments_and_unix_lines(tmp_path: Path) -> None:
    command = script(tmp_path, f'printf "%s|" "$@" > {tmp_path}/argv; cat > {tmp_path}/mail')
    Sendmail(command).deliver(MESSAGE)
    assert (tmp_path / "argv").read_text() == "-i|-f|logwarden@host.example|--|root@host.example|ops@host.example|"
    assert (tmp_path / "mail").read_bytes() == MESSAGE.content.replace(b"\r\n", b"\n")


def test_a_sendmail_that_fails_or_hangs_leaves_the_mail_for_later(tmp_path: Path) -> None:
    with pytest.raises(MailError, match="queue is full") as caught:
        Sendmail(script(tmp_path, "echo queue is full >&2; exit 75")).deliver(MESSAGE)
    assert not caught.value.permanent
    with pytest.raises(MailError, match="no answer within"):
        Sendmail(script(tmp_path, "exec cat /dev/zero > /dev/null"), timeout=0.1).deliver(MESSAGE)


def test_standard_output_shows_the_message() -> None:
    Stdout(stream := io.BytesIO()).deliver(MESSAGE)
    assert stream.getvalue() == b"Subject: hello\n\n.a line that starts with a dot\n\n"


def test_the_registry_names_every_transport() -> None:
    assert list(TRANSPORTS.items()) == [("smtp", Smtp), ("sendmail", Sendmail), ("stdout", Stdout)]


def test_no_thread_is_left_behind(server: Server) -> None:
    before = threading.active_count()
    with serving(server):
        pass
    assert threading.active_count() == before
