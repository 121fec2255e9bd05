"""One attempt to hand one message to one mail server: over SMTP, to a sendmail command, or to standard output.

Owns: the envelope, TLS with certificate checks, AUTH, and what a server's answer means.
Never: retries, keeps or changes a message (the outbox does); reads a password from anything but a file.
A message counts as delivered when the server took it, whatever happens to the connection afterwards.

Diagnostics: MailError. `permanent` only where the server refused this message or its addresses for good (5xx to MAIL,
RCPT or DATA); a wrong password or certificate is for the administrator to mend, and the message can wait.
"""

from __future__ import annotations

import contextlib
import ipaddress
import smtplib
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol

from . import process
from .errors import CommandError, MailError
from .model import Message

_Refusals = dict[str, tuple[int, bytes]]


class Transport(Protocol):
    """A way to hand a message over."""

    def deliver(self, message: Message) -> None:
        """Return when every recipient was taken. Raises MailError; its `refused` is the rest where some were taken."""


@dataclass(frozen=True, slots=True)
class Smtp:
    """A mail server. `timeout` (seconds) bounds each wait for it; `ca_file` (PEM) replaces the system's authorities."""

    host: str = "localhost"
    port: int = 25
    timeout: float = 30.0
    tls: Literal["none", "starttls", "tls"] = "none"
    user: str | None = None
    password_file: str | None = None
    ca_file: str | None = None

    def __post_init__(self) -> None:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file go together")
        if self.user is not None and self.tls == "none" and not _is_here(self.host):
            raise ValueError(
                f"a password would cross the network to {self.host} in the clear: set tls to starttls or tls"
            )

    def deliver(self, message: Message) -> None:
        """One SMTP conversation. Raises MailError."""
        _check_envelope(message)
        try:
            server = self._connect()
        except smtplib.SMTPException as error:
            raise MailError(f"{self.host}:{self.port}: {_said(error)}") from error
        except OSError as error:  # ssl.SSLError is one: a certificate that does not hold
            raise MailError(f"{self.host}:{self.port}: {error.strerror or error}") from error
        except ValueError as error:  # UnicodeError is one: a host name, user or password that cannot be sent
            raise MailError(f"{self.host}:{self.port}: {error}") from error
        with contextlib.closing(server):
            self._send(server, message)
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()  # the message is theirs; how they say goodbye no longer matters

    def _connect(self) -> smtplib.SMTP:
        """Greeting, TLS, AUTH; the connection is closed where one of them fails."""
        context = ssl.create_default_context(cafile=self.ca_file) if self.tls != "none" else None
        server: smtplib.SMTP
        if self.tls == "tls":
            server = smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=self.timeout)
        with contextlib.ExitStack() as undo:
            undo.callback(server.close)
            if self.tls == "starttls":
                server.starttls(context=context)
            if self.user is not None and self.password_file is not None:
                server.login(self.user, Path(self.password_file).read_text("utf-8").rstrip("\r\n"))
            undo.pop_all()
        return server

    def _send(self, server: smtplib.SMTP, message: Message) -> None:
        where = f"{self.host}:{self.port}"
        try:
            refused = server.sendmail(message.sender, message.recipients, message.content)
        except smtplib.SMTPRecipientsRefused as error:
            raise MailError(f"{where}: {_answers(error.recipients)}", permanent=_for_good(error.recipients)) from error
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            raise MailError(f"{where}: {_said(error)}", permanent=error.smtp_code >= 500) from error
        except smtplib.SMTPException as error:
            raise MailError(f"{where}: {_said(error)}") from error
        except OSError as error:
            raise MailError(f"{where}: {error.strerror or error}") from error
        if refused:
            each = {recipient: _answer(*answer) for recipient, answer in refused.items()}
            raise MailError(f"{where}: {_answers(refused)}", permanent=_for_good(refused), refused=each)


@dataclass(frozen=True, slots=True)
class Sendmail:
    """A command that takes a message on standard input, as sendmail(8) does; killed after `timeout` seconds."""

    command: tuple[str, ...] = ("/usr/sbin/sendmail",)
    timeout: float = 30.0

    def deliver(self, message: Message) -> None:
        """Run the command once. Raises MailError where it fails; never permanent, for its status does not tell."""
        _check_envelope(message)
        argv = [*self.command, "-i", "-f", message.sender, "--", *message.recipients]
        try:
            process.run(argv, stdin=_unix(message.content), timeout=self.timeout)
        except CommandError as error:
            raise MailError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Stdout:
    """Print the message, for a look or for a pipe."""

    stream: IO[bytes] | None = None

    def deliver(self, message: Message) -> None:
        """Write it and an empty line. Raises MailError where the reader has gone."""
        try:
            stream = self.stream or sys.stdout.buffer
            stream.write(_unix(message.content) + b"\n")
            stream.flush()
        except OSError as error:
            raise MailError(f"standard output: {error.strerror}") from error


TRANSPORTS: dict[str, type[Smtp | Sendmail | Stdout]] = {"smtp": Smtp, "sendmail": Sendmail, "stdout": Stdout}
"""The `transport` key of the config -> what its other keys are."""


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _check_envelope(message: Message) -> None:
    """SMTP's addresses are printable ASCII; a line break in one would be a command, and smtplib lets it pass."""
    for address in (message.sender, *message.recipients):
        if not (address.isascii() and address.isprintable()) or not address or set(address) & set(" <>"):
            raise MailError(f"{address!a} cannot be sent as an address", permanent=True)


def _unix(content: bytes) -> bytes:
    """RFC 5322 ends lines with CR LF; a pipe carries them with LF."""
    return content.replace(b"\r\n", b"\n")


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
