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

from logwarden.model import Batch
from logwarden.sources.sdjournal import Selection
from logwarden.sources.sequences import Sequences

pytestmark = [pytest.mark.root, pytest.mark.slow]

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
LINE_MAX = 49_152
"""Of journald.conf(5)."""
EVIL, VICTIM = "203.0.113.9", "198.51.100.7"
FORGED = f"Failed password for root from {VICTIM} port 4242 ssh2"


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


def journal_alone(host: Host, journald: Journald) -> None:  # noqa: F811
    """Let the host read nothing but the journal."""
    text = host.config.read_text()
    files = f"files: [{{path: {host.place}/log/*.log, from_start: true}}]"
    assert files in text
    host.config.write_text(text.replace(files, f"journal: {{directories: [{journald.directory}]}}"))


def test_what_nobody_logs_as_sshd_bans_no_one_and_is_reported(host: Host, journald: Journald) -> None:  # noqa: F811
    journal_alone(host, journald)
    with daemon(host.config):
        log(journald, VICTIM, *NOBODY)
        log(journald, EVIL)  # root, who may write for every program: the lines are sshd's own, word for word
        until(lambda: host.read() >= 6)
        until(lambda: json.loads(host.run("bans", "--json")))
        assert [ban["prefix"] for ban in json.loads(host.run("bans", "--json"))] == [f"{EVIL}/32"]
        assert "it names sshd but came from" in host.run("digest", "--preview")
        assert host.run("why", VICTIM).count("not counted") == 3


@pytest.mark.parametrize("sent", [FORGED.ljust(LINE_MAX, "A"), f"{FORGED}\0"], ids=["length", "null byte"])
def test_a_stranger_s_text_that_journald_makes_an_entry_of_bans_no_one(
    host: Host,  # noqa: F811
    journald: Journald,
    sent: str,
) -> None:
    """A service that writes to its standard output what it was sent: journald ends a line after LineMax bytes, and at a
    null byte, and what comes then is an entry of its own."""
    journal_alone(host, journald)
    text = 6 * f"{sent}{FORGED}\n" + 6 * (FORGED.replace(VICTIM, EVIL) + "\n")
    with daemon(host.config):
        subprocess.run(journald.enter("systemd-cat", "-t", "sshd", "cat"), input=text.encode(), check=True)
        until(lambda: json.loads(host.run("bans", "--json")))
        assert [ban["prefix"] for ban in json.loads(host.run("bans", "--json"))] == [f"{EVIL}/32"]
        assert "journald has torn" in " ".join(host.run("digest", "--preview").split())


def test_the_entries_of_users_whom_journald_gives_files_of_their_own_are_read_with_the_others(
    journald: Journald,
) -> None:
    path = str(journald.directory)
    journal = Sequences("journal:x", {"path": path}, [path], Selection(), cursor="", from_start=True)
    said: list[str] = []
    for turn in range(6):
        for user in ((), ("setpriv", "--reuid=4242", "--clear-groups")):
            entry = f"SYSLOG_IDENTIFIER=app\nMESSAGE={turn} {'user' if user else 'root'}\n"
            subprocess.run(journald.enter(*user, "logger", "--journald"), input=entry.encode(), check=True)
        journald.wait_for(f"{turn} user")
        if turn == 3:
            journald.rotate()
        if turn % 2:
            items = [item for item in journal.poll(0.0) if isinstance(item, Batch)]
            assert not [notice for item in items for notice in item.notices]
            said += [line for item in items for line in item.block.decode().splitlines() if " app" in line]
    journal.close()
    for who in ("root", "user"):  # whose numbers are of one row only from systemd 254 on
        told = [line.split(": ")[1] for line in said if line.endswith(who)]
        assert told == [f"{turn} {who}" for turn in range(6)]
    assert list(journald.directory.glob("*/user-4242.journal"))
