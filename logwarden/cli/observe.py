"""The commands for those who watch the watcher: `metrics` for Prometheus, `check-health` for Nagios."""

from __future__ import annotations

import os
import socket
import socketserver
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import click

from .. import config, control, health
from .. import metrics as families
from ..errors import EdgeError, LogwardenError
from .options import config_option

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PATIENCE = 10.0
"""Seconds that a scrape may take to send its request."""


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
        _write(Path(textfile), _exposition(path))
    else:
        click.echo(_exposition(path), nl=False)


def _write(target: Path, content: bytes) -> None:
    """Put `content` at `target`: who reads meanwhile gets the old or the new, and no half."""
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as new:
            new.write(content)
            os.fchmod(new.fileno(), 0o644)
        os.replace(new.name, target)
    except OSError as error:
        raise EdgeError(f"{target}: {error.strerror}") from error


class _Inet(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


class _Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def _serve(path: str, listen: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            content = _exposition(path) if self.path in ("/", "/metrics") else b""
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
            _remove_dead(listen)
            return _Unix(listen, handler)
    except OSError as error:
        raise EdgeError(f"{listen}: cannot listen there: {error.strerror}") from error
    raise click.UsageError("--listen takes a port of the loopback interface, or the absolute path of a Unix socket")


def _remove_dead(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        if os.path.exists(path) and probe.connect_ex(path) != 0:
            os.unlink(path)


class Range(click.ParamType):  # type: ignore[type-arg, unused-ignore] # generic since click 8.5
    """WARNING,CRITICAL in seconds."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> health.Bounds:
        try:
            warning, critical = map(float, value.split(",")) if isinstance(value, str) else value
            return health.Bounds(warning, critical)
        except ValueError:
            self.fail("expected two numbers of seconds, e.g. 10,60", param, ctx)


@click.command("check-health")
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
        click.echo(f"LOGWARDEN UNKNOWN - {' '.join(str(error).split())}")
        sys.exit(health.UNKNOWN)
    try:
        status, text = health.judge(_status(path), time.time(), lag, outbox)
    except EdgeError as error:
        status, text = health.CRITICAL, f"LOGWARDEN CRITICAL - {error}"
    click.echo(text)
    sys.exit(status)
