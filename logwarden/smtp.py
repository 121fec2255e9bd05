"""One conversation with a mail server, by smtplib.

Owns: TLS with certificate checks, AUTH, an end to a conversation that drags on, and what a server's answer means: 5xx
to MAIL, RCPT or DATA is for good; a wrong password or certificate is for the administrator to mend, and the message can
wait.
Fails with MailError.
"""

from __future__ import annotations

import contextlib
import os
import smtplib
import socket
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import MailError
from .model import Message

if TYPE_CHECKING:
    from .mailer import Smtp

WAITS = 10
"""Timeouts that a whole conversation may take, from the greeting on: a server that drips its answers ends there."""
_Refusals = dict[str, tuple[int, bytes]]

MAILNAME = Path("/etc/mailname")
"""The domain of mail that names none, on Debian: mailname(5)."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def deliver(to: Smtp, message: Message) -> None:
    """Hand one message over. Raises MailError; its `refused` is the rest where some recipients were taken."""
    try:
        server = _connect(to)
    except smtplib.SMTPException as error:
        raise MailError(f"{to.host}:{to.port}: {_said(error)}") from error
    except OSError as error:  # ssl.SSLError is one: a certificate that does not hold
        raise MailError(f"{to.host}:{to.port}: {error.strerror or error}") from error
    except ValueError as error:  # UnicodeError is one: a host name, user or password that cannot be sent
        raise MailError(f"{to.host}:{to.port}: {error}") from error
    with contextlib.closing(server):
        _send(to, server, message)
        with contextlib.suppress(smtplib.SMTPException, OSError):
            server.quit()  # the message is theirs; how they say goodbye no longer matters


def _connect(to: Smtp) -> smtplib.SMTP:
    """Greeting, TLS, AUTH; the connection is closed where one of them fails."""
    context = ssl.create_default_context(cafile=to.ca_file) if to.tls != "none" else None
    server: smtplib.SMTP
    if to.tls == "tls":
        server = _BoundedTLS(to.host, to.port, timeout=to.timeout, context=context)
    else:
        server = _Bounded(to.host, to.port, timeout=to.timeout)
    with contextlib.ExitStack() as undo:
        undo.callback(server.close)
        if to.tls == "starttls":
            server.starttls(context=context)
        if to.user is not None and to.password_file is not None:
            server.login(to.user, Path(to.password_file).read_text("utf-8").rstrip("\r\n"))
        undo.pop_all()
    return server


class _Bounded(smtplib.SMTP):
    """Hangs up after WAITS timeouts, from the wait for the server's first answer on.

    What comes before has one timeout each: a TLS handshake is no longer than that, however slowly its bytes drip in.
    """

    _line: socket.socket | None = None
    _timer: threading.Timer | None = None
    _over = False

    def getreply(self) -> tuple[int, bytes]:
        if self._line is None and self.sock is not None:
            # of its own: STARTTLS puts another object in the place of `sock`
            self._line = socket.socket(fileno=os.dup(self.sock.fileno()))
            self._timer = threading.Timer(WAITS * self.timeout, self._hang_up, (self._line,))
            self._timer.daemon = True
            self._timer.start()
        try:
            return super().getreply()
        finally:
            if self._over:  # whatever came of half an answer
                raise smtplib.SMTPServerDisconnected("the conversation took too long")

    def close(self) -> None:
        if self._timer is not None and self._line is not None:
            self._timer.cancel()
            self._timer.join()
            self._line.close()
        super().close()

    def _hang_up(self, line: socket.socket) -> None:
        self._over = True
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


class _BoundedTLS(_Bounded, smtplib.SMTP_SSL):
    """The same, encrypted from its first byte."""


def _send(to: Smtp, server: smtplib.SMTP, message: Message) -> None:
    where = f"{to.host}:{to.port}"
    names = {_qualified(each, to.host): each for each in message.recipients}
    try:
        refused = server.sendmail(message.sender, list(names), message.content)
    except smtplib.SMTPRecipientsRefused as error:
        raise MailError(f"{where}: {_answers(error.recipients)}", permanent=_for_good(error.recipients)) from error
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        raise MailError(f"{where}: {_said(error)}", permanent=error.smtp_code >= 500) from error
    except smtplib.SMTPException as error:
        raise MailError(f"{where}: {_said(error)}") from error
    except OSError as error:
        raise MailError(f"{where}: {error.strerror or error}") from error
    if refused:
        each = {names.get(recipient, recipient): _answer(*answer) for recipient, answer in refused.items()}
        raise MailError(f"{where}: {_answers(refused)}", permanent=_for_good(refused), refused=each)


def _qualified(recipient: str, host: str) -> str:
    """`root` with a domain, which SMTP asks for (RFC 5321, 4.1.1.3) and exim insists on: Debian's mail name, or what
    the server calls its own: localhost where it is this host, else this host's name."""
    if "@" in recipient:
        return recipient
    with contextlib.suppress(OSError):
        if name := MAILNAME.read_text("ascii", "replace").strip():
            return f"{recipient}@{name}"
    return f"{recipient}@{'localhost' if host in LOOPBACK else socket.gethostname()}"


def _said(error: smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return _answer(error.smtp_code, text if isinstance(text, bytes) else str(text).encode())
    return str(error)


def _answer(code: int, text: bytes) -> str:
    """A server's answer on one line, in ASCII: it comes from outside and goes into a log."""
    words = " ".join(text.decode("ascii", "backslashreplace").split())
    return f"{code} " + "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in words)[:300]


def _answers(refused: _Refusals) -> str:
    return "; ".join(f"{recipient}: {_answer(*answer)}" for recipient, answer in refused.items())


def _for_good(refused: _Refusals) -> bool:
    return all(code >= 500 for code, _ in refused.values())
