"""The same messages through a real journald and the file that a real rsyslogd writes of them: one event each."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from demo.stage import daemon
from test_journey import Host, host, mailbox, until  # noqa: F401 - fixtures
from torture.journald import Journald, lacking

pytestmark = [pytest.mark.slow, pytest.mark.root]

RSYSLOG = """
global(workDirectory="{place}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="/run/systemd/journal/syslog")
action(type="omfile" file="{place}/syslog" template="{template}" fileCreateMode="0644")
"""
SOCKET = "syslog"


class Both:
    """A journald that forwards to an rsyslogd, as Debian sets them up."""

    def __init__(self, place: Path, template: str) -> None:
        place.mkdir()
        self.file = place / "syslog"
        self.journald = Journald(place, "ForwardToSyslog=yes\n")
        (place / "rsyslog.conf").write_text(RSYSLOG.format(place=place, template=template))
        argv = self.journald.enter("rsyslogd", "-n", "-f", str(place / "rsyslog.conf"), "-i", str(place / "pid"))
        self._rsyslogd = subprocess.Popen(argv)
        until(lambda: (self.journald.run / SOCKET).exists())

    def log(self, program: str, *messages: str, pid: bool = True) -> None:
        """As syslog(3) of glibc does, to /dev/log."""
        tag = f"{program}[{os.getpid()}]" if pid else program
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            door.connect(str(self.journald.run / "dev-log"))
            for message in messages:
                door.send(f"<38>{datetime.now():%b %e %H:%M:%S} {tag}: {message}".encode())

    def stop(self) -> None:
        self._rsyslogd.terminate()
        self._rsyslogd.wait()
        self.journald.stop()


@pytest.fixture(params=["RSYSLOG_FileFormat", "RSYSLOG_TraditionalFileFormat"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Both]:
    if why := lacking() or (None if shutil.which("rsyslogd", path="/usr/sbin:/usr/bin") else "no rsyslogd"):
        pytest.skip(f"needs a journald and an rsyslogd of its own: {why}")
    running = Both(tmp_path / "both", request.param)
    yield running
    running.stop()


def test_each_message_is_one_event_and_what_is_said_twice_is_two(both: Both, host: Host) -> None:  # noqa: F811
    sources = f"{{journal: {{directories: [{both.journald.directory}]}}, files: [{{path: {both.file}}}]}}"
    config = host.config.read_text()
    host.config.write_text(config.replace(f"{{files: [{{path: {host.place}/log/*.log, from_start: true}}]}}", sources))
    attack = "Failed password for root from 203.0.113.9 port 4242 ssh2"
    with daemon(host.config):
        both.log("app", "odd", "odd", "with\ta tab", "normal 1")
        both.log("sudo", "without a pid", pid=False)
        both.log("sshd", attack, attack)
        both.journald.write("app", "by the native protocol\nand in two lines")
        until(lambda: total(host, "file:") == 8)
        until(lambda: total(host, "journal:") >= 8)
    with daemon(host.config):
        both.log("app", "odd", "the end")
        until(lambda: total(host, "file:") == 10)
        until(lambda: total(host, "journal:") >= 10)
        assert "203.0.113.9" not in host.run("bans"), "two failures, each seen twice, are not three"
    kept = Counter(message for message in host.kept() if not message.startswith(("Journal started", "System Journal")))
    assert {message.replace("#011", "\t"): count for message, count in kept.items()} == {
        "odd": 3,
        "with\ta tab": 1,
        "without a pid": 1,
        attack: 2,
        "by the native protocol#012and in two lines": 1,
        "the end": 1,
    }


def total(host: Host, source: str) -> int:  # noqa: F811
    """Lines of a kind of source that are accounted for."""
    with sqlite3.connect(f"file:{host.place}/state/state.db?mode=ro", uri=True) as db:
        query = "SELECT coalesce(sum(lines), 0) FROM tally WHERE source LIKE ?"
        return int(db.execute(query, (source + "%",)).fetchone()[0])
