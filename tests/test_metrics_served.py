"""`logwarden metrics` beside a daemon: as a textfile, on a loopback port and on a Unix socket, as a scraper asks."""

from __future__ import annotations

import http.client
import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from test_observed import STATUS

from logwarden.cli.observe import metrics
from logwarden.control import Request, Server

PATIENCE = 20.0


@pytest.fixture
def settings(tmp_path: Path) -> str:
    """A config, whose daemon does not run."""
    config = tmp_path / "logwarden.yaml"
    config.write_text(f"socket: {tmp_path}/control.sock\n")
    return str(config)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[None]:
    """It runs, and says the same of itself each time."""
    seconds = itertools.count().__next__  # on this clock nobody asks too often

    def answer(request: Request) -> None:
        request.reply.set_result({"ok": True, **STATUS})

    server = Server(str(tmp_path / "control.sock"), answer, clock=seconds)
    server.start()
    yield
    server.stop()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(metrics, arguments)


def test_a_textfile_is_written_whole_and_for_everybody_to_read(settings: str, daemon: None, tmp_path: Path) -> None:
    target = tmp_path / "collector/logwarden.prom"
    target.parent.mkdir()
    target.write_text("of before")
    assert run("--config", settings, "--textfile", str(target)).exit_code == 0
    assert "\nlogwarden_up 1.0\n" in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(target.parent.iterdir()) == [target]


def test_a_textfile_says_that_the_daemon_is_down(settings: str, tmp_path: Path) -> None:
    target = tmp_path / "logwarden.prom"
    assert run("--config", settings, "--textfile", str(target)).exit_code == 0
    assert "\nlogwarden_up 0.0\n" in target.read_text()


def test_a_textfile_that_cannot_be_written_is_named(settings: str, tmp_path: Path) -> None:
    done = run("--config", settings, "--textfile", str(tmp_path / "none/logwarden.prom"))
    assert done.exit_code != 0
    assert "none/logwarden.prom: No such file or directory" in str(done.exception)


@contextmanager
def serving(settings: str, door: str, reached: Callable[[], socket.socket]) -> Iterator[None]:
    """The command that listens on `door`, when it does."""
    argv = [sys.executable, "-m", "logwarden", "metrics", "--config", settings, "--listen", door]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    reached().close()
                    break
                except OSError:
                    assert process.poll() is None, process.communicate()[1]
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            yield
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


def got(door: socket.socket, path: str = "/metrics") -> tuple[int, str]:
    with closing(door):
        door.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(door)
        answer.begin()
        return answer.status, answer.read().decode()


@pytest.mark.slow
def test_a_scraper_finds_metrics_on_a_port_of_loopback_alone(settings: str, daemon: None) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]

    def reached() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), PATIENCE)

    with serving(settings, str(port), reached):
        status, text = got(reached())
        assert (status, "\nlogwarden_up 1.0\n" in text) == (200, True)
        assert "logwarden_bans_made_total 7.0" in text
        assert got(reached(), "/etc/passwd")[0] == 404
        listening = Path("/proc/net/tcp").read_text().splitlines() + Path("/proc/net/tcp6").read_text().splitlines()
        (address,) = {
            fields[1].partition(":")[0] for fields in map(str.split, listening) if fields[1].endswith(f":{port:04X}")
        }
        assert address == "0100007F"


@pytest.mark.slow
def test_a_scraper_finds_metrics_on_a_unix_socket_also_where_a_dead_one_lies(settings: str, tmp_path: Path) -> None:
    path = str(tmp_path / "metrics.sock")
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(path)

    def reached() -> socket.socket:
        door = socket.socket(socket.AF_UNIX)
        door.settimeout(PATIENCE)
        try:
            door.connect(path)
        except OSError:
            door.close()
            raise
        return door

    with serving(settings, path, reached):
        status, text = got(reached())
        assert (status, "\nlogwarden_up 0.0\n" in text) == (200, True)
        second = run("--config", settings, "--listen", path)
        assert "metrics.sock: another logwarden answers there" in str(second.exception)


@pytest.mark.parametrize("door", ["0", "65536", "0.0.0.0:9735", "metrics.sock"])
def test_it_listens_nowhere_else(settings: str, door: str) -> None:
    done = run("--config", settings, "--listen", door)
    assert done.exit_code == 2
    assert "--listen takes a port of the loopback interface" in done.output
