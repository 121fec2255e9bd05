"""The control socket: one JSON object a line in each direction, over a Unix socket.

Request: {"command": NAME, ...arguments}. Answer: {"ok": true, ...} or {"ok": false, "error": TEXT}.
Owns: the socket (mode 0660), who may ask what (peer credentials of SO_PEERCRED: changing commands are for root and for
the daemon's own user), and the limits on what a client may send. None of them lets another user keep root away.
Never: answers anything itself. A request goes to the daemon's inbox with a reply that its consumer sets.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import socketserver
import stat
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import EdgeError

MAX_REQUEST = 65_536
"""Bytes of a request line; a client that sends more is cut off."""
PATIENCE = 10.0
"""Seconds that a client may take to send its line, and again to take the answer."""
QUIET = 3600.0
"""Seconds after which the listener wakes though nobody has come; `stop` knocks."""
CLIENTS, EACH = 16, 8
"""Connections of root's that are served at once, and as many of all others', EACH of one user's; more are sent away."""
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
        self._clock = clock
        self._allowance = _Allowance(clock)
        self._submit = submit
        self._timeout = timeout
        self._places = _Places()
        self._server: _Listener | None = None

    def start(self) -> None:
        """Bind and listen. A socket that a dead daemon left is replaced; a living one's is an EdgeError."""
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer._serve(self.request)

        try:
            Path(self._path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            remove_dead(self._path)
            mask = os.umask(0o117)
            try:
                self._server = _Listener(self._path, Handler)
            finally:
                os.umask(mask)
        except OSError as error:
            raise EdgeError(f"{self._path}: the control socket cannot be made: {error.strerror or error}") from error
        threading.Thread(target=self._server.serve_forever, args=(QUIET,), name="control", daemon=True).start()

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
        with suppress(OSError):  # the client went away: there is nobody to tell
            uid = _peer(connection)
            if not self._places.take(uid):
                _send(connection, {"ok": False, "error": "too many clients at once"})
                return
            try:
                line = self._asked(connection)
                answer = self._answer(line, uid)
                connection.settimeout(PATIENCE)
                _send(connection, answer)
            finally:
                self._places.free(uid)

    def _asked(self, connection: socket.socket) -> bytes | None:
        """The client's line: all of it within PATIENCE, or who sends a byte now and then keeps his place for days."""
        end = self._clock() + PATIENCE

        def wait() -> None:
            left = end - self._clock()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)

        return _receive(connection, MAX_REQUEST, wait)

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


class _Places:
    """The connections that are being served, by user."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[int] = Counter()

    def take(self, uid: int) -> bool:
        """Whether there is a place for one more of this user's; it is taken."""
        with self._lock:
            others = self._taken.total() - self._taken[0]
            fits = self._taken[0] < CLIENTS if uid == 0 else others < CLIENTS and self._taken[uid] < EACH
            self._taken[uid] += fits
            return fits

    def free(self, uid: int) -> None:
        """Give one back."""
        with self._lock:
            self._taken -= Counter([uid])  # without those that have none


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
    return _credentials(connection)[1]


def _credentials(connection: socket.socket) -> tuple[int, int, int]:
    """Process, user and group of the other end, as the kernel vouches for them (unix(7), struct ucred)."""
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid), int(uid), int(gid)


def remove_dead(path: str) -> None:
    """Remove the socket that one who is gone has left at `path`. Raises EdgeError where somebody answers there, or
    something else stands there, which is nobody's to remove; and OSError."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise EdgeError(f"{path}: this is no socket, and it stays")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PATIENCE)
        if probe.connect_ex(path) not in (errno.ECONNREFUSED, errno.ENOENT):
            raise EdgeError(f"{path}: another logwarden answers there")
    os.unlink(path)


def _receive(connection: socket.socket, limit: int, wait: Callable[[], None] = lambda: None) -> bytes | None:
    """One line, without its newline; None where it is longer than `limit`. `wait` is called before more is read."""
    received = bytearray()
    while b"\n" not in received:
        if len(received) > limit:
            return None
        wait()
        chunk = connection.recv(65_536)
        if not chunk:
            break
        received += chunk
    return bytes(received.partition(b"\n")[0])


def _send(connection: socket.socket, answer: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(answer).encode() + b"\n")


def listener(path: str) -> int | None:
    """The id of the process that listens at `path`; None where none does, or not for whoever asks."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        return _credentials(connection)[0]
    return None


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
