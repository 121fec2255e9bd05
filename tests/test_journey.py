"""A line's whole journey, through a real daemon: inotify, SQLite, SMTP, the control socket, signals."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from demo.stage import Mailbox, daemon

pytestmark = pytest.mark.slow

LOGWARDEN = [sys.executable, "-m", "logwarden"]
DEADLINE = 20.0


def until(done: Callable[[], bool]) -> None:
    """Ask until it is so; a test that waits for another process has nothing else to wait on."""
    deadline = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < deadline, "it did not come to pass"


class Host:
    """A small host in a directory: rules, logs, a config, and a mailbox at `port`."""

    def __init__(self, place: Path, port: int, extra: str = "") -> None:
        self.place = place
        self.log = place / "log" / "app.log"
        self.log.parent.mkdir()
        (place / "ignore.d").mkdir()
        (place / "attack.d").mkdir()
        self.rules = place / "ignore.d" / "app.rules"
        self.rules.write_text("app: normal <NUM>\nsshd: Failed password for ignored from <ADDR> port <PORT> ssh2\n")
        (place / "attack.d" / "sshd.yaml").write_text(
            """
program: [sshd, sshd-session]
policy: {threshold: 3, window: 10m, ban: 1h}
rules:
  - id: failed
    match: 'Failed password for <USER> from <ADDR> port <PORT> ssh2'
    samples: [{line: 'Failed password for root from 203.0.113.9 port 42 ssh2', address: 203.0.113.9}]
    near_misses: ['Failed password for root']
"""
        )
        self.config = place / "logwarden.yaml"
        self.config.write_text(
            f"""
state: {place}/state
socket: {place}/control.sock
host: web1
sources: {{files: [{{path: {place}/log/*.log, from_start: true}}]}}
rules: {{ignore: [{place}/ignore.d], attack: [{place}/attack.d]}}
bans: {{backend: dry-run, permit_documentation: true, allowlist: [203.0.113.77]}}
digest: {{schedule: daily, to: [admin@web1.example]}}
mail: {{host: 127.0.0.1, port: {port}}}
{extra}"""
        )

    def write(self, *messages: str, tag: str = "app[1]") -> None:
        stamp = datetime.now(UTC).isoformat()
        with self.log.open("a") as log:
            log.writelines(f"{stamp} web1 {tag}: {message}\n" for message in messages)

    def rotate(self) -> None:
        """Rename the log as logrotate does, and what it renamed before."""
        for number in range(8, 0, -1):
            older = self.log.with_name(f"app.log.{number}")
            if older.exists():
                older.rename(self.log.with_name(f"app.log.{number + 1}"))
        self.log.rename(self.log.with_name("app.log.1"))

    def run(self, *argv: str, status: int = 0) -> str:
        argv = (*LOGWARDEN, *argv, "--config", str(self.config))
        # Not what this process's C library holds: there readline, which pytest imports, has set COLUMNS.
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=dict(os.environ))
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def lines(self) -> dict[str, int]:
        counts: dict[str, int] = json.loads(self.run("status", "--json"))["lines"]
        return counts

    def read(self) -> int:
        """Lines committed, asked of the database itself: far quicker than a command."""
        with sqlite3.connect(f"file:{self.place}/state/state.db?mode=ro", uri=True) as db:
            return int(db.execute("SELECT coalesce(sum(lines), 0) FROM tally").fetchone()[0])

    def kept(self) -> list[str]:
        """The messages that the digest will be made of."""
        with sqlite3.connect(f"file:{self.place}/state/state.db?mode=ro", uri=True) as db:
            return [message for (message,) in db.execute("SELECT message FROM entry ORDER BY id")]


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def host(tmp_path: Path, mailbox: Mailbox) -> Iterator[Host]:
    with mailbox.served() as port:
        yield Host(tmp_path, port)


def attack(host: Host, address: str, times: int, user: str = "root") -> None:
    host.write(*[f"Failed password for {user} from {address} port 4242 ssh2"] * times, tag="sshd[9]")


def test_a_line_ends_in_exactly_one_place_and_the_digest_says_where(host: Host, mailbox: Mailbox) -> None:
    host.write("normal 1")
    with daemon(host.config):
        host.write("normal 2", "never seen before")
        attack(host, "203.0.113.9", 3)
        attack(host, "2001:db8::9", 2)
        until(lambda: host.read() == 8)
        assert host.lines() == {"ignored": 2, "attack": 5, "unexplained": 1, "quarantined": 0}
        assert [ban["prefix"] for ban in json.loads(host.run("bans", "--json"))] == ["203.0.113.9/32"]
        assert "never seen before" in host.run("digest", "--preview")
        assert "Security Alerts" in host.run("digest", "--now")
        mail = mailbox.next()
        assert mail["To"] == "admin@web1.example"
        assert "web1" in mail["Subject"]
        assert "Security Alerts" in mail["Subject"]
        body = mail.get_body(("plain",)).get_content()
        assert "203.0.113.9" in body
        assert "never seen before" in body
        assert "normal 1" not in body
        until(lambda: json.loads(host.run("status", "--json"))["outbox"] == [])
        assert "Nothing to report" in host.run("digest", "--now")


def test_an_ignore_rule_hides_an_attack_from_the_mail_and_not_from_the_ban(host: Host) -> None:
    with daemon(host.config):
        attack(host, "203.0.113.9", 3, user="ignored")
        until(lambda: "203.0.113.9" in host.run("bans"))
        assert host.lines()["attack"] == 3
        assert host.kept() == [], "none of the lines is shown"


def test_an_allowlisted_address_is_never_banned_and_the_digest_says_that_it_was_spared(host: Host) -> None:
    with daemon(host.config):
        attack(host, "203.0.113.77", 9)
        until(lambda: host.read() == 9)
        assert "No bans" in host.run("bans")
        assert "allowlist" in host.run("digest", "--preview")


def test_bans_come_back_after_a_restart(host: Host) -> None:
    with daemon(host.config):
        attack(host, "203.0.113.9", 2)
        until(lambda: host.read() == 2)
    with daemon(host.config):
        attack(host, "203.0.113.9", 1)
        until(lambda: host.read() == 3)
        assert "203.0.113.9/32" in host.run("bans"), "the window survived the restart"
    with daemon(host.config):
        assert "203.0.113.9/32" in host.run("bans")


def test_a_broken_edit_is_refused_and_the_daemon_keeps_working(host: Host) -> None:
    with daemon(host.config) as process:
        host.rules.write_text("app: (\napp: normal <NUM>\n")
        assert "app.rules:1:" in host.run("reload")
        host.write("normal 1")
        until(lambda: host.read() == 1)
        assert host.lines()["ignored"] == 1, "the rest of the file stays in force"
        good = host.config.read_text()
        host.config.write_text(good + "bogus: 1\n")
        assert "bogus: unknown key" in host.run("reload", status=78)
        host.config.write_text(good)
        host.rules.write_text("app: other <NUM>\napp: another <NUM>\n")
        process.send_signal(signal.SIGHUP)
        until(lambda: "2 ignore rules" in host.run("status"))
        host.write("other 2", "normal 3")
        until(lambda: host.read() == 3)
        assert host.lines() == {"ignored": 2, "attack": 0, "unexplained": 1, "quarantined": 0}
        preview = host.run("digest", "--preview")
        assert "app.rules:1" in preview or "bogus" in preview


def test_the_daemon_stops_within_two_seconds_of_sigterm(host: Host) -> None:
    with daemon(host.config) as process:
        host.write(*[f"line {number}" for number in range(20_000)])
        begun = time.monotonic()
        process.terminate()
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 2


def test_a_config_that_cannot_be_used_ends_the_daemon_with_78(host: Host) -> None:
    host.config.write_text("bans: {threshold: x}\n")
    assert "logwarden.yaml:1: bans.threshold: expected" in host.run("run", status=78)
    assert "logwarden.yaml:1: bans.threshold: expected" in host.run("check", status=78)


def test_sigkill_in_mid_batch_loses_and_repeats_no_line(host: Host) -> None:
    written = 0
    for kill in range(8):
        with daemon(host.config) as process:
            before = host.read()
            for _ in range(30):
                host.write(*[f"unique line number {written + n} end" for n in range(100)])
                written += 100
            goal = before + 150 * kill
            until(lambda: host.read() > goal)  # noqa: B023 - called at once
            process.send_signal(signal.SIGKILL)
            process.wait()
        if kill % 3 == 1:
            host.rotate()
    with daemon(host.config):
        until(lambda: host.read() >= written)
    seen = Counter(int(message.split()[3]) for message in host.kept())
    assert sorted(seen) == list(range(written))
    assert set(seen.values()) == {1}
    assert host.read() == written


def test_a_mail_server_that_is_down_loses_no_digest(tmp_path: Path) -> None:
    mailbox = Mailbox()
    with mailbox.served() as port:
        pass
    host = Host(tmp_path, port)
    with daemon(host.config):
        host.write("something new")
        until(lambda: host.read() == 1)
        host.run("digest", "--now")
        until(lambda: json.loads(host.run("status", "--json"))["outbox"][0]["attempts"] == 1)
        assert "not delivered yet" in host.run("status")
    with sqlite3.connect(tmp_path / "state" / "state.db") as db:
        db.execute("UPDATE outbox SET next=0")
    with serving(mailbox, port), daemon(host.config):
        assert "something new" in mailbox.next().get_body(("plain",)).get_content()


@contextmanager
def serving(mailbox: Mailbox, port: int) -> Iterator[None]:
    from aiosmtpd.controller import Controller

    postbox = Controller(mailbox, hostname="127.0.0.1", port=port)
    postbox.start()
    try:
        yield
    finally:
        postbox.stop()


def test_every_command_does_what_its_user_expects(host: Host) -> None:
    assert "2 ignore rules and 1 attack rules in force" in host.run("check")
    host.write("normal 1", "odd")
    attack(host, "203.0.113.9", 1)
    scanned = [json.loads(line) for line in host.run("scan", "--json", str(host.log)).splitlines()]
    assert [line["verdict"] for line in scanned] == ["ignored", "unexplained", "attack"]
    assert scanned[0]["ignored_by"].endswith("app.rules:1")
    assert scanned[2] == {
        "n": 3,
        "source": str(host.log),
        "time": scanned[2]["time"],
        "host": "web1",
        "program": "sshd",
        "pid": 9,
        "message": "Failed password for root from 203.0.113.9 port 4242 ssh2",
        "verdict": "attack",
        "ignored_by": None,
        "attack_by": "sshd.yaml#failed",
        "severity": "attack",
        "address": "203.0.113.9",
        "group": None,
    }
    assert re.fullmatch("[0-9a-f]{8}", scanned[1]["group"])
    every = [
        json.loads(line)["group"] for line in host.run("scan", "--json", "--groups", "all", str(host.log)).splitlines()
    ]
    assert every[1] == scanned[1]["group"]
    assert len(set(every)) == 3
    assert "group" not in json.loads(host.run("scan", "--json", "--groups", "none", str(host.log)).splitlines()[1])
    assert "odd" in host.run("scan", str(host.log))
    assert "is logwarden running" in host.run("status", status=1)
    with daemon(host.config):
        until(lambda: host.read() == 3)
        assert "on web1" in host.run("status")
        assert "198.51.100.7/32 is banned until" in host.run("ban", "198.51.100.7", "--for", "1h")
        assert "manual" in host.run("bans")
        assert "own address" in host.run("ban", "127.0.0.1", status=1)
        assert "multicast" in host.run("ban", "224.0.0.1", status=1)
        assert "allowlist" in host.run("ban", "203.0.113.77", status=1)
        assert "is not banned" in host.run("unban", "198.51.100.8", status=1)
        assert "198.51.100.7/32 is free" in host.run("unban", "198.51.100.7")
        host.run("ban", "198.51.100.9")
        assert "198.51.100.9/32 is free" in host.run("unban", "all")
        assert "No bans" in host.run("bans")
        assert "odd" in host.run("digest", "--preview")
        host.run("digest", "--preview", "--html", str(html := host.place / "d.html"))
        assert "<h2>Unexplained" in html.read_text()
        assert "odd" in host.run("digest", "--preview", "--since", "1d")
        group = scanned[1]["group"]
        assert host.run("digest", "--preview", "--open-group", group).endswith("web1 app[1]: odd\n")
        assert host.run("suggest", group).startswith("app: odd\n")
        assert "no line that is kept" in host.run("suggest", "nonsense", status=1)
        assert "No digest is kept" in host.run("digest", "list")
        assert "2 bans, 1 line" in host.run("digest", "--now")
        assert "Security Alerts: 2 bans" in host.run("digest", "list")
        assert "UNEXPLAINED" in host.run("digest", "show", "1")
        assert "no digest 9" in host.run("digest", "show", "9", status=1)
        assert host.run("suggest", group).startswith("app: odd\n"), "its lines are kept when the digest has told them"
        found = host.run("events", "--since", "1h")
        assert "app[1]: odd" in found
        assert "198.51.100.7/32 until" in found
        assert "odd" in host.run("events", "--program", "app", "--grep", "od+")
        assert host.run("events", "--host", "web2") == ""
        assert "Usage" in host.run("events", "--grep", "(", status=2)
        assert "in force" in host.run("reload")
    assert "Usage" in host.run("ban", status=2)
    assert "Usage" in host.run("digest", status=2)


def test_scan_tries_a_headerless_line_against_every_program_where_asked(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "bare"
    file.write_text("Failed password for root from 203.0.113.9 port 4242 ssh2\nnormal 7\nwhat")
    for program, expected in [
        ("*", ["attack", "ignored", "unexplained"]),
        ("app", ["unexplained", "ignored", "unexplained"]),
    ]:
        scanned = host.run("scan", "--json", "--program", program, str(file)).splitlines()
        assert [json.loads(line)["verdict"] for line in scanned] == expected


def test_a_journal_is_followed_by_cursor_over_a_restart(host: Host, tmp_path: Path) -> None:
    pytest.importorskip("systemd.journal")
    from test_journal import REMOTE, Writer

    if not os.path.exists(REMOTE):
        pytest.skip("needs systemd-journal-remote")
    (tmp_path / "journal").mkdir()
    write = Writer(tmp_path / "journal" / "x.journal")
    write("before the first start")
    config = host.config.read_text()
    host.config.write_text(config.replace("sources: {", f"sources: {{journal: {{directories: [{tmp_path}/journal]}}, "))
    with daemon(host.config):
        write("of the first run", "two\nlines")
        until(lambda: host.read() == 2)
    write("written while it was down")
    with daemon(host.config):
        until(lambda: host.read() == 3)
        write("of the second run")
        until(lambda: host.read() == 4)
    assert host.kept() == ["of the first run", "two#012lines", "written while it was down", "of the second run"]


def test_the_digest_comes_by_itself_when_the_schedule_says_so(host: Host, mailbox: Mailbox) -> None:
    host.config.write_text(host.config.read_text().replace("schedule: daily", "schedule: '*:*:*'"))
    with daemon(host.config):
        host.write("never seen before")
        assert "never seen before" in mailbox.next().get_body(("plain",)).get_content()


def test_systemd_hears_of_each_stage_of_life(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "systemd"))
        notices.settimeout(DEADLINE)

        def hear(what: str) -> str:
            while what not in (said := notices.recv(4096).decode()):
                pass
            return said

        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "systemd"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        with subprocess.Popen([*LOGWARDEN, "run", "--config", host.config]) as process:
            assert "STATUS=2 ignore and 1 attack rules" in hear("READY=1")
            hear("WATCHDOG=1")
            hear("WATCHDOG=1")
            process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in hear("RELOADING=1")
            hear("READY=1")
            process.terminate()
            hear("STOPPING=1")


def test_the_digest_may_be_printed_or_given_to_a_sendmail(host: Host, tmp_path: Path) -> None:
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/argv; cat > {tmp_path}/mail\n')
    sendmail.chmod(0o755)
    config = host.config.read_text()
    host.config.write_text(f"{config[: config.index('mail:')]}mail: {{transport: sendmail, sendmail: [{sendmail}]}}\n")
    with daemon(host.config):
        host.write("never seen before")
        until(lambda: host.read() == 1)
        host.run("digest", "--now")
        until(lambda: json.loads(host.run("status", "--json"))["outbox"] == [])
    assert (tmp_path / "argv").read_text().endswith("-- admin@web1.example\n")
    assert "never seen before" in (tmp_path / "mail").read_text()


def test_a_second_daemon_is_refused_and_leaves_the_first_ones_bans_alone(host: Host, tmp_path: Path) -> None:
    with daemon(host.config):
        host.run("ban", "198.51.100.7")
        assert "another logwarden uses this state directory" in host.run("run", status=1)
        other = Host.__new__(Host)
        other.config = tmp_path / "other.yaml"
        other.config.write_text(host.config.read_text().replace(f"{tmp_path}/state", f"{tmp_path}/state2"))
        assert "another logwarden answers there" in other.run("run", status=1)
        assert "198.51.100.7/32" in host.run("bans")


def test_unban_lifts_the_narrowest_ban(host: Host) -> None:
    with daemon(host.config):
        host.run("ban", "203.0.113.0/26")
        host.run("ban", "203.0.113.5")
        said = " ".join(host.run("unban", "203.0.113.5").split())
        assert said.startswith("203.0.113.5/32 is lifted. But 203.0.113.0/26, which holds it, stays banned until ")
        assert said.endswith(": banned by hand.")
        assert host.run("unban", "203.0.113.5") == "203.0.113.0/26 is free.\n"


def test_a_reload_that_allows_a_banned_address_frees_it_and_one_that_moves_the_state_says_so(host: Host) -> None:
    with daemon(host.config):
        attack(host, "203.0.113.9", 3)
        until(lambda: "203.0.113.9" in host.run("bans"))
        config = host.config.read_text()
        host.config.write_text(config.replace("203.0.113.77", "203.0.113.0/24").replace("state: /", "state: /else/"))
        host.run("reload")
        assert "No bans" in host.run("bans")
        assert "comes into use at the next restart" in host.run("status")


@pytest.mark.parametrize("mail", ["host: mail..example.org", "host: 127.0.0.1, port: 1", "host: nowhere.invalid"])
def test_whatever_the_mail_server_is_the_courier_lives_on_and_status_says_why(host: Host, mail: str) -> None:
    config = host.config.read_text()
    host.config.write_text(f"{config[: config.index('mail:')]}mail: {{{mail}, timeout: 2s}}\n")
    with daemon(host.config) as process:
        host.write("never seen before")
        until(lambda: host.read() == 1)
        host.run("digest", "--now")
        until(lambda: json.loads(host.run("status", "--json"))["outbox"][0]["error"] is not None)
        assert process.poll() is None


def test_a_hangup_while_the_rules_compile_is_waited_out(host: Host) -> None:
    with subprocess.Popen([*LOGWARDEN, "run", "--config", host.config]) as process:
        until(lambda: (host.place / "state" / "lock").exists())
        process.send_signal(signal.SIGHUP)
        until(lambda: (host.place / "control.sock").exists())
        host.run("status")
        process.terminate()
        assert process.wait(10) == 0


def test_a_reader_that_goes_away_is_no_error(host: Host) -> None:
    host.write(*[f"line {number}" for number in range(5_000)])
    argv = [*LOGWARDEN, "scan", "--json", "--config", str(host.config), str(host.log)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_check_names_what_the_config_takes_for_granted_and_is_not_so(host: Host) -> None:
    host.config.write_text(
        host.config.read_text().replace("bans: {", "bans: {policies: {no.yaml: {threshold: 1, window: 1m, ban: 1m}}, ")
    )
    host.rules.write_text("")
    said = host.run("check", status=1)
    assert "no ignore rule is in force" in said
    assert "no attack file is called no.yaml" in said


def test_rules_of_logcheck_are_read_in_place(host: Host, tmp_path: Path) -> None:
    place = tmp_path / "logcheck" / "ignore.d.server"
    place.mkdir(parents=True)
    (place / "app").write_text(
        r"^([[:alpha:]]{3} [ :[:digit:]]{11}|[0-9T:.+-]{32}) [._[:alnum:]-]+ app\[[[:digit:]]+\]: odd [[:digit:]]+$"
        + "\n"
    )
    host.config.write_text(host.config.read_text() + f"logcheck: {{rules: true, path: {tmp_path}/logcheck}}\n")
    host.write("odd 7", "odd x")
    scanned = [json.loads(line) for line in host.run("scan", "--json", str(host.log)).splitlines()]
    assert [line["verdict"] for line in scanned] == ["ignored", "unexplained"]
    assert scanned[0]["ignored_by"] == f"{place}/app:1"
