"""One attempt to hand one message to one mail server: over SMTP, to a sendmail command, or to standard output.

Owns: the envelope and the registry of transports; the conversation with a server is `smtp`'s.
Never: retries, keeps or changes a message (the outbox does); reads a password from anything but a file.
A message counts as delivered when the server took it, whatever happens to the connection afterwards.

Diagnostics: MailError. `permanent` only where the server refused this message or its addresses for good.
"""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from dataclasses import dataclass
from typing import IO, Literal, NamedTuple, Protocol

from . import process
from .errors import CommandError, MailError
from .model import Message


class Transport(Protocol):
    """A way to hand a message over."""

    def deliver(self, message: Message) -> None:
        """Return when every recipient was taken. Raises MailError; its `refused` is the rest where some were taken."""


@dataclass(frozen=True, slots=True)
class Smtp:
    """A mail server. `timeout` (seconds) bounds each wait, ten times that the conversation.

    `ca_file` (PEM) replaces the system's authorities.
    """

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
        if self.user is not None and self.tls == "none" and not is_here(self.host):
            raise ValueError(
                f"a password would cross the network to {self.host} in the clear: set tls to starttls or tls"
            )

    def deliver(self, message: Message) -> None:
        """One SMTP conversation. Raises MailError."""
        _check_envelope(message)
        from . import smtp  # brings OpenSSL along, 6 MB that a daemon without mail to send does without

        smtp.deliver(self, message)


class Sendmail(NamedTuple):
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


class Stdout(NamedTuple):
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


def is_here(host: str) -> bool:
    """Whether it is this host by loopback: what goes there crosses no network."""
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
