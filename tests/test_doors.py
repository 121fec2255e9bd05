"""A digest goes to a webhook, to ntfy and to a file as to a mailbox: once to each, and none in the way of another."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from logwarden import config, doors
from logwarden.digest import Rendered, compose
from logwarden.errors import ConfigError, MailError
from logwarden.model import Message

TEXT = "System Events on web1\n\n      <!channel> ``` @all <b>&\n      ‹4711›\n"


class Web:
    """A web server that keeps what it is sent, and answers what a test tells it to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.asked.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(web.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"


@pytest.fixture
def web() -> Iterator[Web]:
    running = Web()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.02,))
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


class Mailboxes:
    """A Transport that keeps its recipients, or refuses."""

    def __init__(self, error: MailError | None = None) -> None:
        self.taken: list[tuple[str, ...]] = []
        self.error = error

    def deliver(self, message: Message) -> None:
        if self.error:
            raise self.error
        self.taken.append(message.recipients)


def message(*recipients: str, text: str = TEXT) -> Message:
    rendered = Rendered("[web1] System Events: 1 <line>", text, "<p>not this</p>")
    content = compose(
        rendered, sender="logwarden@web1", recipients=["root"], message_id="<7@web1>", date=1.0, host="web1"
    )
    return Message(1, "<7@web1>", "logwarden@web1", recipients, content, subject=rendered.subject)


def deliver(*recipients: str, mail: Mailboxes | None = None, text: str = TEXT) -> None:
    doors.deliver(message(*recipients, text=text), mail or Mailboxes(), 5.0)


def test_a_chat_gets_the_digest_as_a_block_in_which_nothing_is_markup(web: Web) -> None:
    deliver(f"http://{web.host}/services/T0/xyz?a=b")
    ((path, headers, body),) = web.asked
    assert (path, headers["Content-Type"]) == ("/services/T0/xyz?a=b", "application/json")
    assert body["subject"] == "[web1] System Events: 1 <line>"
    assert "&lt;!channel&gt; ''' @all &lt;b&gt;&amp;" in body["text"]
    assert body["text"].count("```") == 2
    assert "<!" not in body["text"] + body["html"]
    assert "<b>" not in body["html"]


def test_ntfy_gets_its_topic_a_title_and_as_much_as_it_shows(web: Web) -> None:
    deliver(f"ntfy+http://eve:s%20t@{web.host}/alerts", text="ü" * 10_000 + "\n")
    ((path, headers, body),) = web.asked
    assert (path, body["topic"], body["title"]) == ("/", "alerts", "[web1] System Events: 1 <line>")
    assert body["message"] == "ü" * (doors.NTFY // 2)
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'eve:s t').decode()}"


def test_a_file_holds_one_digest_behind_the_other(tmp_path: Path) -> None:
    file = tmp_path / "digests.txt"
    deliver(str(file))
    deliver(str(file))
    assert file.read_text().count(TEXT) == 2
    assert file.read_text().startswith("[web1] System Events: 1 <line>\n")
    assert file.stat().st_mode & 0o007 == 0


def test_who_has_the_digest_does_not_wait_for_who_has_not(web: Web, tmp_path: Path) -> None:
    web.status = 503
    mail, file = Mailboxes(), tmp_path / "digests.txt"
    hook = f"http://{web.host}/secret"
    with pytest.raises(MailError, match="answers 503") as caught:
        deliver("root", hook, str(file), "ops@host.example", mail=mail)
    assert list(caught.value.refused) == [hook]
    assert "secret" not in str(caught.value)
    assert mail.taken == [("root", "ops@host.example")]
    assert file.exists()
    with pytest.raises(MailError) as caught:
        deliver("root", str(file), mail=Mailboxes(MailError("no route")))
    assert list(caught.value.refused) == ["root"]


@pytest.mark.parametrize("status", [301, 307, 401, 500])
def test_only_2xx_means_taken_and_no_redirection_is_followed(web: Web, status: int) -> None:
    web.status = status
    with pytest.raises(MailError, match=f"answers {status}"):
        deliver(f"http://{web.host}/x")
    assert len(web.asked) == 1


def test_a_link_and_a_pipe_in_the_place_of_the_file_are_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(MailError):
            deliver(str(tmp_path / name))
    assert not (tmp_path / "elsewhere").exists()


def test_an_https_server_with_an_unknown_certificate_or_none_gets_nothing(web: Web) -> None:
    with pytest.raises(MailError):
        deliver(f"https://{web.host}/x")
    assert web.asked == []


@pytest.mark.parametrize(
    "bad", ["ftp://host.example/x", "http://host.example/x", "ntfy+https://host.example/", "https:///x", "https://h:x/"]
)
def test_a_place_where_no_digest_can_go_is_refused_by_the_config(tmp_path: Path, bad: str) -> None:
    file = tmp_path / "logwarden.yaml"
    file.write_text(f"digest: {{to: ['{bad}']}}\n")
    with pytest.raises(ConfigError, match=r"digest.to\[0\]: "):
        config.load(str(file))


def test_every_kind_of_place_is_taken_by_the_config(tmp_path: Path) -> None:
    file = tmp_path / "logwarden.yaml"
    to = ["root", "https://h.example/a?b=c:d", "ntfy+https://u:p@h.example/t", "/srv/a b.txt", "http://127.0.0.1:80/x"]
    file.write_text(f"digest: {{to: {json.dumps(to)}}}\n")
    assert config.load(str(file)).digest.to == tuple(to)
