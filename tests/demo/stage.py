"""What the demo is played on: the log it writes, the mailbox it reads, the daemon under them, the kernel's sets.

Owns: starting and stopping `logwarden run` as systemd would, and waiting for it.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from subprocess import PIPE
from typing import Any

from aiosmtpd.controller import Controller

from . import generator, network

LOGWARDEN = Path(sys.executable).with_name("logwarden")
SAMPLE = Path(__file__).with_name("sample.log")
PATIENCE = 30.0
"""Seconds that any one step may take; all of them together take about ten."""
COMPILING = 120.0
"""Seconds that the first start may take: rules that are new to this machine are compiled."""


def until(done: Callable[[], bool], what: str) -> None:
    """Ask until it is so. Exits the demo after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"demo: {what}: not within {PATIENCE:g} s")
        time.sleep(0.002)


class Mailbox:
    """An SMTP server's mailbox."""

    def __init__(self) -> None:
        self._mail: SimpleQueue[bytes] = SimpleQueue()

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self._mail.put(envelope.content)
        return "250 taken"

    @contextlib.contextmanager
    def served(self) -> Iterator[int]:
        """Take mail at a free port of 127.0.0.1, which is yielded, until the block ends."""
        postbox = Controller(self, hostname="127.0.0.1", port=free_port())
        postbox.start()
        try:
            yield postbox.port
        finally:
            postbox.stop()

    def next(self) -> email.message.EmailMessage:
        return email.message_from_bytes(self._mail.get(timeout=PATIENCE), policy=email.policy.default)


class Log:
    """The log file that the demo's host writes, each line at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def write(self, line: generator.Line) -> None:
        self._file.write(generator.written(line, datetime.now(UTC)))


def sample_until(now: datetime) -> Iterator[str]:
    """The bundled log, its times moved so that its last line was written just now."""
    lines = SAMPLE.read_text().splitlines(keepends=True)
    moved = now - datetime.fromisoformat(lines[-1].split(" ", 1)[0])
    for line in lines:
        stamp, _, rest = line.partition(" ")
        yield f"{(datetime.fromisoformat(stamp) + moved).isoformat(timespec='microseconds')} {rest}"


@contextlib.contextmanager
def daemon(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`logwarden run`, from READY=1, which it tells us as it would tell systemd, until the block ends."""
    door, said = config.with_name("notify"), config.with_name("daemon.err")
    door.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices, said.open("wb") as errors:
        notices.bind(str(door))
        notices.settimeout(COMPILING)
        environment = {**os.environ, "NOTIFY_SOCKET": str(door)}
        with subprocess.Popen([LOGWARDEN, "run", "--config", config], env=environment, stderr=errors) as process:
            try:
                while b"READY=1" not in notices.recv(4096):
                    pass
                notices.close()  # nobody reads what comes after that
                yield process
            except TimeoutError:
                raise SystemExit(f"demo: the daemon did not start:\n{said.read_text()}") from None
            except SystemExit as error:
                raise SystemExit(f"{error}\n{said.read_text()}") from None
            finally:
                process.terminate()


def command(config: Path, *argv: str, **environment: str) -> str:
    """What `logwarden ARGV` prints, with `environment` added to ours."""
    argv = (str(LOGWARDEN), *argv, "--config", str(config))
    return subprocess.run(argv, stdout=PIPE, text=True, check=True, env={**os.environ, **environment}).stdout


def kernel_set(name: str) -> str:
    return subprocess.run(["ipset", "list", name], capture_output=True, text=True, check=True).stdout


def in_kernel(address: str) -> bool:
    """Whether the kernel's set holds the address, or the prefix that it was banned with."""
    tested = subprocess.run(
        ["ipset", "test", f"logwarden{network.family(address)}", address], capture_output=True, check=False
    )
    return tested.returncode == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
