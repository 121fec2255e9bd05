"""Catching up takes no more memory than following: a real daemon, far behind a file, with every attack rule shipped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from demo.stage import daemon
from test_journey import Host

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
LINES = 1_000_000
MEMORY = 60_000_000
PATIENCE = 240.0


def backlog(lines: int) -> Iterator[str]:
    """Of a hundred lines 94 are ignored, three unexplained and three attacks."""
    stamp = datetime.now(UTC).isoformat(timespec="microseconds")
    for number in range(lines):
        kind = number % 100
        if kind < 94:
            yield f"{stamp} web1 app[{number % 30_000}]: normal {number}\n"
        elif kind < 97:
            yield f"{stamp} web{number % 7} app[1]: never seen before: {number} {'x' * (number % 200)}\n"
        else:
            address, port = f"203.0.113.{number // 100 % 250}", number % 60_000
            yield f"{stamp} web1 sshd[9]: Failed password for root from {address} port {port} ssh2\n"


def at_most(pid: int) -> int:
    """Bytes of memory that a process has had in use."""
    return int(Path(f"/proc/{pid}/status").read_text().split("\nVmHWM:")[1].split()[0]) * 1024


def test_memory_stays_below_60_mb_while_a_million_lines_are_caught_up(tmp_path: Path) -> None:
    host = Host(tmp_path, port=9)
    host.config.write_text(
        host.config.read_text().replace(f"attack: [{tmp_path}/attack.d]", f"attack: [{ROOT}/attack.d]")
    )
    (tmp_path / "state").mkdir(mode=0o750)  # as systemd does, so that `check` has where to put what it compiles
    host.run("check")
    with host.log.open("w") as log:
        log.writelines(backlog(LINES))
    with daemon(host.config) as process:
        deadline = time.monotonic() + PATIENCE
        while host.read() < LINES:
            assert time.monotonic() < deadline, f"{host.read()} lines in {PATIENCE:g} s"
            time.sleep(0.05)
        memory = at_most(process.pid)
    assert host.read() == LINES
    assert memory < MEMORY, f"{memory / 1e6:.1f} MB"
