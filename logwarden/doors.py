"""Where a digest goes besides a mailbox: a webhook, an ntfy topic, a file; all of them stand where a recipient may.

Owns: one attempt to hand one message to each of its recipients, whatever kind they are; JSON that Slack, Mattermost and
Matrix's hookshot take, and ntfy's. Certificates are checked; redirections are not followed.
Never: shows an address whole, for its secret is in it (`shown`); lets a log line mention or format anything there.
Fails: with MailError, which names the recipients that have not got it.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from .errors import MailError
from .mailer import Transport, is_here
from .model import Message

WEB = ("https", "http", "ntfy+https", "ntfy+http")
CHAT, NTFY = 12_000, 3_500
"""Most characters of a text for a chat, and most bytes for ntfy, which makes a file of what is over 4,096."""
WAITS = 10
"""Timeouts that a whole conversation may take."""


def is_door(recipient: str) -> bool:
    """Whether this recipient is no mailbox."""
    return recipient.startswith("/") or "://" in recipient


def check(recipient: str) -> None:
    """Raises ValueError where a digest cannot go there."""
    if "://" not in recipient:
        return
    url = urlsplit(recipient)
    if url.scheme not in WEB or not url.hostname:
        raise ValueError(
            "expected a mail address, https://..., ntfy+https://SERVER/TOPIC or the absolute path of a file"
        )
    _ = url.port  # raises ValueError
    if url.scheme.startswith("ntfy+") and not url.path.strip("/"):
        raise ValueError("expected a topic, as in ntfy+https://ntfy.example.org/TOPIC")
    if url.scheme.endswith("http") and not is_here(url.hostname):
        raise ValueError(f"log lines would cross the network to {url.hostname} in the clear: use https")


def shown(recipient: str) -> str:
    """`recipient` as it may be told to others."""
    if "://" not in recipient:
        return recipient
    url = urlsplit(recipient)
    return f"{url.scheme}://{url.hostname}/..."


def deliver(message: Message, mail: Transport, timeout: float) -> None:
    """One attempt for each recipient: mailboxes by `mail`, all together. Raises MailError for those that are left."""
    left: dict[str, str] = {}
    for door in filter(is_door, message.recipients):
        try:
            _post(door, message, timeout) if "://" in door else _append(door, message)
        except MailError as error:
            left[door] = str(error)
    mailboxes = tuple(each for each in message.recipients if not is_door(each))
    permanent = False
    if mailboxes:
        try:
            mail.deliver(message._replace(recipients=mailboxes))
        except MailError as error:
            permanent = error.permanent and not left
            left |= error.refused or dict.fromkeys(mailboxes, str(error))
    if left:
        raise MailError("; ".join(dict.fromkeys(left.values())), permanent=permanent, refused=left)


def _text(message: Message) -> str:
    """The plain text of a mail."""
    import email.policy  # a start sends no mail
    from email.message import EmailMessage

    mail = email.message_from_bytes(message.content, policy=email.policy.default)
    body = mail.get_body(("plain",)) if isinstance(mail, EmailMessage) else None
    return str(body.get_content()).replace("\r\n", "\n") if body else ""


# --- a file -------------------------------------------------------------------------------------------------


def _append(path: str, message: Message) -> None:
    """Write the text behind what is there, whole: the file is for a person, and for logrotate."""
    content = f"{message.subject}\n{message.message_id}\n\n{_text(message)}\n\n".encode("utf-8", "backslashreplace")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise MailError(f"{path}: is no regular file", permanent=True)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise MailError(f"{path}: {error.strerror or error}") from error


# --- a web server -------------------------------------------------------------------------------------------


def _post(recipient: str, message: Message, timeout: float) -> None:
    import http.client  # brings OpenSSL along

    url = urlsplit(recipient)
    path, body = _ntfy(url, message) if url.scheme.startswith("ntfy+") else (_path(url), _chat(message))
    made = http.client.HTTPSConnection if url.scheme.endswith("https") else http.client.HTTPConnection
    connection = made(url.hostname or "", url.port, timeout=timeout)
    try:
        connection.connect()
        with _bounded(connection.sock, WAITS * timeout):
            connection.request("POST", path, json.dumps(body).encode(), _headers(url))
            answer = connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MailError(f"{shown(recipient)}: {why!s:.200}") from error
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise MailError(f"{shown(recipient)}: answers {answer.status}", permanent=answer.status in (404, 410))


@contextlib.contextmanager
def _bounded(line: socket.socket, seconds: float) -> Iterator[None]:
    """Hang up after so many seconds, for a server that drips its answer."""

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(line, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _path(url: SplitResult) -> str:
    return urlunsplit(("", "", url.path or "/", url.query, ""))


def _headers(url: SplitResult) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": "logwarden"}
    if url.username is not None:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return headers


def _chat(message: Message) -> dict[str, str]:
    """`text` for Slack, which wants & < > escaped, and Mattermost; `html` is what Matrix's hookshot prefers."""
    subject, text = message.subject, _head(_text(message), CHAT)
    fenced = html.escape(text.replace("```", "'''"), quote=False)
    plain = html.escape(subject, quote=False).replace("`", "'")
    return {
        "text": f"`{plain}`\n```\n{fenced}\n```",
        "html": f"<p>{html.escape(subject)}</p><pre>{html.escape(text)}</pre>",
        "subject": subject,
        "message_id": message.message_id,
    }


def _ntfy(url: SplitResult, message: Message) -> tuple[str, dict[str, str]]:
    """ntfy takes JSON at its root alone, with the topic in it."""
    root, _, topic = url.path.rstrip("/").rpartition("/")
    text = _text(message).encode("utf-8", "backslashreplace")[:NTFY].decode("utf-8", "ignore")
    return f"{root}/", {"topic": topic, "title": message.subject, "message": text}


def _head(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rpartition(chr(10))[0]}\n... the rest: logwarden digest list"
