"""A mail server for tests: aiosmtpd in a thread, with TLS and AUTH where they are asked for."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PASSWORD = "s3cret word"


class Server:
    """An aiosmtpd handler that keeps what it takes, and answers what a test tells it to."""

    def __init__(self) -> None:
        self.taken: list[Envelope] = []
        self.users: list[str] = []
        self.answers: dict[str, str] = {}

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answers.get("DATA") == "hang up":
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        answer = self.answers.get("DATA", "250 OK")
        if answer.startswith("250"):
            self.taken.append(envelope)
        return answer

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        return self.answers.get("QUIT", "221 Bye")

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        if isinstance(data, LoginPassword) and data.password == PASSWORD.encode():
            self.users.append(data.login.decode())
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False)  # handled=True would leave the client without an answer


class FreePort(Controller):
    """A Controller that lets the kernel choose its port, and knows it before it greets itself."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def serving(server: Server, **options: Any) -> Iterator[int]:
    """Run the server in a thread on a free port of loopback."""
    controller = FreePort(server, hostname="127.0.0.1", port=0, **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@contextlib.contextmanager
def secured(server: Server, tls: ssl.SSLContext) -> Iterator[int]:
    """The same, for those alone who begin TLS and know the password."""
    with serving(
        server, tls_context=tls, require_starttls=True, authenticator=server.authenticate, auth_required=True
    ) as port:
        yield port


def make_authority(place: Path) -> Path:
    """Put ca.pem there, and host.pem + host.key for the name localhost, signed by it; and the password."""
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
    ca = [*new, "-x509", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem"]
    ca += ["-addext", "keyUsage=critical,keyCertSign"]  # without it Python 3.13 believes no authority
    host = [*new, "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=localhost", "-keyout", "host.key"]
    host += ["-out", "host.pem", "-addext", "subjectAltName=DNS:localhost"]
    host += ["-addext", "basicConstraints=critical,CA:FALSE"]
    for argv in (ca, host):
        subprocess.run(argv, cwd=place, check=True, capture_output=True)
    (place / "password").write_text(f"{PASSWORD}\n")
    return place


def certified(authority: Path) -> ssl.SSLContext:
    """The server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "host.pem", authority / "host.key")
    return context
