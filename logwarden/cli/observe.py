"""The commands for those who watch the watcher: `metrics` for Prometheus, `check-health` for Nagios."""

from __future__ import annotations

import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any, NoReturn

import click

from .. import atomic, config, control, health
from .. import metrics as families
from ..errors import EdgeError, LogwardenError
from .options import config_option

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PATIENCE = 10.0
"""Seconds that a scrape may take to send its request."""
FRESH = 1.0
"""Seconds for which a scrape is as good as new."""


def _status(path: str) -> dict[str, Any]:
    return control.ask(path, "status", timeout=10.0)


def _exposition(path: str) -> bytes:
    try:
        said = {**_status(path), **control.ask(path, "counters", timeout=10.0)}
        return families.exposition(said, time.time())
    except EdgeError:
        return families.exposition(None, time.time())


@click.command()
@config_option
@click.option("--textfile", metavar="FILE", help="Write to FILE, whole or not at all, for the node exporter.")
@click.option(
    "--listen", metavar="PORT|PATH", help="Serve /metrics on this loopback port, or on a Unix socket, until stopped."
)
def metrics(config_file: str, textfile: str | None, listen: str | None) -> None:
    """Print Prometheus metrics, or serve them. A process of its own: the daemon opens no port.

    \b
    logwarden metrics
    logwarden metrics --textfile /var/lib/prometheus/node-exporter/logwarden.prom
    logwarden metrics --listen 9735
    logwarden metrics --listen /run/logwarden-metrics/metrics.sock
    """
    path = config.load(config_file).socket
    if listen is not None:
        _serve(path, listen)
    elif textfile is not None:
        _write(textfile, _exposition(path))
    else:
        click.echo(_exposition(path), nl=False)


def _write(target: str, content: bytes) -> None:
    try:
        atomic.write(target, content, 0o644)
    except OSError as error:
        raise EdgeError(f"{target}: {error.strerror}") from error


class _Latest:
    """What was scraped last: however many ask at once, and however often, the daemon is asked once in FRESH seconds.
    Each user of this host may connect to a port of the loopback interface."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._made = -FRESH
        self._content = b""

    def get(self) -> bytes:
        with self._lock:
            if not self._made <= time.time() < self._made + FRESH:
                self._content = _exposition(self._path)
                self._made = time.time()
            return self._content


class _Inet(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


class _Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def _serve(path: str, listen: str) -> None:
    latest = _Latest(path)

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            content = latest.get() if self.path in ("/", "/metrics") else b""
            self.send_response(200 if content else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def address_string(self) -> str:
            return "a client"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """A scrape every few seconds is not worth a line."""

    with _bound(listen, Handler) as server:
        server.serve_forever()


def _bound(listen: str, handler: type[BaseHTTPRequestHandler]) -> socketserver.BaseServer:
    try:
        if listen.isdigit() and 0 < int(listen) < 65536:
            return _Inet((LOOPBACK[0], int(listen)), handler)
        if listen.startswith("/"):
            control.remove_dead(listen)
            return _Unix(listen, handler)
    except OSError as error:
        raise EdgeError(f"{listen}: cannot listen there: {error.strerror}") from error
    raise click.UsageError("--listen takes a port of the loopback interface, or the absolute path of a Unix socket")


class Range(click.ParamType):  # type: ignore[type-arg, unused-ignore] # generic since click 8.5
    """WARNING,CRITICAL in seconds."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> health.Bounds:
        try:
            warning, critical = map(float, value.split(",")) if isinstance(value, str) else value
            return health.Bounds(warning, critical)
        except ValueError:
            self.fail("expected two numbers of seconds, e.g. 10,60", param, ctx)


class Plugin(click.Command):
    """Wrong usage is UNKNOWN, and not click's 2, which would be CRITICAL: the state of the daemon is not known."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **more)
        except click.UsageError as error:
            _answer(health.UNKNOWN, error.format_message())


def _answer(status: int, text: str, data: str = "") -> NoReturn:
    click.echo(health.line(status, text, data))
    sys.exit(status)


@click.command("check-health", cls=Plugin)
@config_option
@click.option(
    "--lag", type=Range(), default="30,300", show_default=True, metavar="WARN,CRIT", help="Seconds behind the logs."
)
@click.option(
    "--outbox",
    type=Range(),
    default="7200,86400",
    show_default=True,
    metavar="WARN,CRIT",
    help="Age of the oldest digest that no mail server took, seconds.",
)
def check_health(config_file: str, lag: health.Bounds, outbox: health.Bounds) -> None:
    """Answer as a Nagios plugin: exits with 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, and prints performance data.

    \b
    logwarden check-health
    logwarden check-health --lag 10,60 --outbox 3600,7200
    """
    try:
        path = config.load(config_file).socket
    except LogwardenError as error:
        _answer(health.UNKNOWN, str(error))
    try:
        _answer(*health.judge(_status(path), time.time(), lag, outbox))
    except EdgeError as error:
        forbidden = isinstance(error.__cause__, PermissionError)  # to us; it may be well
        _answer(health.UNKNOWN if forbidden else health.CRITICAL, str(error))
    except KeyError as error:
        _answer(health.UNKNOWN, f"the daemon that answers is of another version: it does not tell {error}")
