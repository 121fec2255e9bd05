"""The control socket: one JSON object a line in each direction, over a Unix socket.

Request: {"command": NAME, ...arguments}. Answer: {"ok": true, ...} or {"ok": false, "error": TEXT}.
Owns: the socket (mode 0660), who may ask what (peer credentials of SO_PEERCRED: changing commands are for root and for
the daemon's own user), and the limits on what a client may send.
Never: answers anything itself. A request goes to the daemon's inbox with a reply that its consumer sets.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import EdgeError

MAX_REQUEST = 65_536
"""Bytes of a request line; a client that sends more is cut off."""
PATIENCE = 10.0
"""Seconds that a client may take to send its line."""
QUIET = 3600.0
"""Seconds after which the listener wakes though nobody has come; `stop` knocks."""
CLIENTS = 16
"""Connections served at once; more are turned away."""
RATE, BURST = 20.0, 100.0
"""Requests a second that a user may go on making, and how many at once; root may stop the daemon anyway."""
READING = frozenset({"status", "counters", "bans", "preview", "why", "events", "allowed", "windows"})
"""Commands that change nothing: whoever may open the socket may give them."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question, and where its answer goes."""

    command: str
    arguments: Mapping[str, Any]
    uid: int
    reply: Future[dict[str, Any]] = field(default_factory=Future)


class Server:
    """Listens at `path` and hands each request to `submit`. `timeout`: seconds that an answer may take;
    `clock`: seconds, for the rate at which a user may ask."""

    def __init__(
        self,
        path: str,
        submit: Callable[[Request], None],
        timeout: float = 60.0,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._path = path
        self._allowance = _Allowance(clock)
        self._submit = submit
        self._timeout = timeout
        self._clients = threading.BoundedSemaphore(CLIENTS)
        self._server: _Listener | None = None

    def start(self) -> None:
        """Bind and listen. A socket that a dead daemon left is replaced; a living one's is an EdgeError."""
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer._serve(self.request)

        try:
            Path(self._path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._remove_dead()
            mask = os.umask(0o117)
            try:
                self._server = _Listener(self._path, Handler)
            finally:
                os.umask(mask)
        except OSError as error:
            raise EdgeError(f"{self._path}: the control socket cannot be made: {error.strerror or error}") from error
        threading.Thread(target=self._server.serve_forever, args=(QUIET,), name="control", daemon=True).start()

    def _remove_dead(self) -> None:
        if not os.path.exists(self._path):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(self._path) == 0:
                raise EdgeError(f"{self._path}: another logwarden answers there")
        os.unlink(self._path)

    def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._server:
            self._server.ending = True
            ending = threading.Thread(target=self._server.shutdown, name="control-end")
            ending.start()
            while ending.is_alive():
                with socket.socket(socket.AF_UNIX) as knock:
                    knock.connect_ex(self._path)
                ending.join(0.05)
            self._server.server_close()
            Path(self._path).unlink(missing_ok=True)
            self._server = None

    def _serve(self, connection: socket.socket) -> None:
        if not self._clients.acquire(blocking=False):
            _send(connection, {"ok": False, "error": "too many clients at once"})
            return
        try:
            connection.settimeout(PATIENCE)
            line = _receive(connection, MAX_REQUEST)
            _send(connection, self._answer(line, _peer(connection)))
        except OSError:
            return  # the client went away: there is nobody to tell
        finally:
            self._clients.release()

    def _answer(self, line: bytes | None, uid: int) -> dict[str, Any]:
        if uid and not self._allowance.take(uid):
            return {"ok": False, "error": f"user {uid} asks too often: wait a moment"}
        if line is None:
            return {"ok": False, "error": f"a request is one line of at most {MAX_REQUEST} bytes"}
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):
            return {"ok": False, "error": "a request is one line of JSON"}
        if not isinstance(asked, dict) or not isinstance(asked.get("command"), str):
            return {"ok": False, "error": 'a request is a JSON object with a "command"'}
        command = asked.pop("command")
        if command not in READING and uid not in {0, os.geteuid()}:
            return {"ok": False, "error": f"{command} is for root"}
        request = Request(command, asked, uid)
        self._submit(request)
        try:
            return request.reply.result(self._timeout)
        except TimeoutError:
            return {"ok": False, "error": "the daemon did not answer in time"}


class _Allowance:
    """How many more requests each user may make now: a token bucket for each."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[int, tuple[float, float]] = {}

    def take(self, uid: int) -> bool:
        """Whether there is one left; it is taken."""
        with self._lock:
            now = self._clock()
            left, since = self._left.get(uid, (BURST, now))
            left = min(BURST, left + (now - since) * RATE)
            self._left[uid] = (left - 1 if left >= 1 else left), now
            return left >= 1


class _Listener(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False  # a client that sends nothing must not hold the stop up
    request_queue_size = 64
    ending = False

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002
        """Who knocks so that the listener wakes and ends is sent away."""
        return not self.ending


def _peer(connection: socket.socket) -> int:
    """The user id of the other end, as the kernel vouches for it (unix(7): struct ucred is pid, uid, gid)."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def _receive(connection: socket.socket, limit: int) -> bytes | None:
    """One line, without its newline; None where it is longer than `limit`."""
    received = bytearray()
    while b"\n" not in received:
        if len(received) > limit:
            return None
        chunk = connection.recv(65_536)
        if not chunk:
            break
        received += chunk
    return bytes(received.partition(b"\n")[0])


def _send(connection: socket.socket, answer: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(answer).encode() + b"\n")


def ask(path: str, command: str, timeout: float = 90.0, **arguments: Any) -> dict[str, Any]:
    """Put one question to the daemon that listens at `path`. Raises EdgeError with its error, or where none answers."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            _send(connection, {"command": command, **arguments})
            line = _receive(connection, 1 << 30)
    except OSError as error:
        raise EdgeError(f"{path}: no daemon answers ({error.strerror or error}); is logwarden running?") from error
    try:
        answer: dict[str, Any] = json.loads(line or b"")
    except ValueError as error:
        raise EdgeError(f"{path}: the daemon closed the connection without an answer") from error
    if not answer.pop("ok", False):
        refusal = EdgeError(str(answer.get("error", "the daemon refused")))
        refusal.exit_status = int(answer.get("status", refusal.exit_status))
        raise refusal
    return answer
