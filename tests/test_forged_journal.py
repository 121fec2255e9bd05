"""A real journald and the real `logger`: who is not the program that he names has nobody banned."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.stage import daemon
from test_journey import Host, host, mailbox, until  # noqa: F401 - fixtures
from torture.journald import Journald, lacking

pytestmark = [pytest.mark.root, pytest.mark.slow]

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
EVIL, VICTIM = "203.0.113.9", "192.0.2.1"


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    if why := lacking() or next((f"no {name}" for name in ("logger", "setpriv") if not shutil.which(name)), None):
        pytest.skip(f"needs a journald of its own: {why}")
    (tmp_path / "journald").mkdir()
    running = Journald(tmp_path / "journald")
    yield running
    running.stop()


def log(journald: Journald, address: str, *user: str) -> None:
    """Three lines of sshd's, by logger(1), in the two ways in which it writes to the journal."""
    message = f"Failed password for root from {address} port 4242 ssh2"
    door = ("logger", "--socket", "/run/systemd/journal/dev-log", "-t", "sshd", "-p", "auth.info")
    for _ in range(2):
        subprocess.run(journald.enter(*user, *door, message), check=True)
    entry = f"SYSLOG_IDENTIFIER=sshd\nPRIORITY=6\n_UID=0\n_SYSTEMD_UNIT=ssh.service\nMESSAGE={message}\n"
    subprocess.run(journald.enter(*user, "logger", "--journald"), input=entry.encode(), check=True)


def test_what_nobody_logs_as_sshd_bans_no_one_and_is_reported(host: Host, journald: Journald) -> None:  # noqa: F811
    text = host.config.read_text()
    files = f"files: [{{path: {host.place}/log/*.log, from_start: true}}]"
    assert files in text
    host.config.write_text(text.replace(files, f"journal: {{directories: [{journald.directory}]}}"))
    with daemon(host.config):
        log(journald, VICTIM, *NOBODY)
        log(journald, EVIL)  # root, who may write for every program: the lines are sshd's own, word for word
        until(lambda: host.read() >= 6)
        until(lambda: json.loads(host.run("bans", "--json")))
        assert [ban["prefix"] for ban in json.loads(host.run("bans", "--json"))] == [f"{EVIL}/32"]
        assert "it names sshd but came from" in host.run("digest", "--preview")
        assert host.run("why", VICTIM).count("not counted") == 3
