"""Bans by hand and what may forbid them, as a user types it, to a real daemon with a dry-run firewall."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.stage import Mailbox, daemon
from test_journey import LOGWARDEN, Host, attack, until

pytestmark = pytest.mark.slow

EVIL = "203.0.113.9"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    mailbox = Mailbox()
    with mailbox.served() as port:
        yield Host(tmp_path, port)


def banned(host: Host) -> list[str]:
    return [ban["prefix"] for ban in json.loads(host.run("bans", "--json"))]


def change(host: Host, old: str, new: str) -> None:
    text = host.config.read_text()
    assert old in text
    host.config.write_text(text.replace(old, new))


def accept(host: Host, user: str, address: str) -> None:
    host.write(f"Accepted password for {user} from {address} port 4242 ssh2", tag="sshd[9]")


def test_a_ban_by_hand_is_refused_where_it_would_lock_its_author_out(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    with daemon(host.config):
        monkeypatch.setenv("SSH_CONNECTION", f"{EVIL} 4242 192.0.2.1 22")
        for network in (EVIL, "203.0.113.0/24"):
            said = host.run("ban", network, status=1)
            assert f"{EVIL} is where your own ssh session comes from; --force bans it all the same" in said
        host.run("ban", "198.51.100.7")
        host.run("ban", EVIL, "--force")
        assert banned(host) == ["198.51.100.7/32", f"{EVIL}/32"]
        assert "127.0.0.1/32 is" in host.run("ban", "127.0.0.1", status=1)


def test_a_ban_by_hand_is_refused_below_sudo_and_su_too(host: Host, tmp_path: Path) -> None:
    """sshd's child has SSH_CONNECTION in its environment; sudo takes it out for what it starts."""
    shell = tmp_path / "as-root.sh"
    shell.write_text('#!/bin/sh\nenv -i PATH="$PATH" HOME=/ sh -c \'"$@"; exit $?\' sh "$@"\nexit $?\n')
    with daemon(host.config):
        for client, network in (("2001:db8:5::7", "2001:db8:5::/64"), (EVIL, EVIL)):
            session = {"PATH": os.environ["PATH"], "SSH_CONNECTION": f"{client} 4242 192.0.2.1 22"}
            argv = ["sh", str(shell), *LOGWARDEN, "ban", network, "--config", str(host.config)]
            done = subprocess.run(argv, env=session, capture_output=True, text=True, check=False)
            assert done.returncode == 1
            said = f"{client} is where your own ssh session comes from; --force bans it all the same"
            assert said in " ".join(done.stderr.split())
            assert banned(host) == []
            argv.append("--force")
            assert subprocess.run(argv, env=session, capture_output=True, check=False).returncode == 0
            assert len(banned(host)) == 1
            host.run("unban", network)


def test_what_was_forgiven_stays_forgiven_over_a_reload_and_a_restart(host: Host) -> None:
    """Whoever has logged in mistypes twice; that somebody else's failure there comes to a ban by it must not be."""
    with daemon(host.config):
        accept(host, "alice", EVIL)
        attack(host, EVIL, 2, user="alice")
        until(lambda: host.read() == 3)
        host.run("reload")
        attack(host, EVIL, 1, user="root")
        until(lambda: host.read() == 4)
        assert banned(host) == []
    with daemon(host.config):
        attack(host, EVIL, 1, user="root")
        until(lambda: host.read() == 5)
        assert banned(host) == []
        attack(host, EVIL, 1, user="root")
        until(lambda: banned(host) == [f"{EVIL}/32"])


def test_why_tells_every_line_the_policy_and_the_timeline(host: Host) -> None:
    with daemon(host.config):
        attack(host, EVIL, 3)
        attack(host, "2001:db8:0:1::9", 2)
        until(lambda: host.read() == 5)
        host.run("unban", EVIL)
        said = host.run("why", EVIL)
        assert said.count("sshd.yaml#failed  ") == 3
        assert "sshd.yaml: banned for 1h when scores within 10m reach 3" in said
        assert said.index("BANNED") < said.index("LIFTED")
        assert host.run("why", "2001:db8:0:1::77").count("sshd.yaml#failed  ") == 2
        assert host.run("why", "2001:db8::/32").count("sshd.yaml#failed  ") == 2
        assert "No attack and no ban is known." in host.run("why", "198.51.100.1")
        assert "never banned" in host.run("why", "127.0.0.1")
        told = json.loads(host.run("why", "203.0.113.0/24", "--json"))
        assert [hit["counted"] for hit in told["lines"]] == [1, 1, 1]
        assert told["bans"][0]["lifted"]


def test_what_is_allowed_for_a_while_is_lifted_and_not_banned_also_after_a_restart(host: Host) -> None:
    with daemon(host.config):
        attack(host, EVIL, 3)
        until(lambda: banned(host) == [f"{EVIL}/32"])
        assert "is allowed until" in host.run("allow", EVIL, "--for", "1d")
        assert banned(host) == []
        assert f"{EVIL}/32" in host.run("allow")
    with daemon(host.config):
        attack(host, EVIL, 9)
        until(lambda: host.read() == 12)
        assert banned(host) == []
        assert "in the allowlist" in host.run("ban", EVIL, status=1)
        host.run("allow", EVIL, "--end")
        host.run("ban", EVIL)
        assert banned(host) == [f"{EVIL}/32"]
        assert "not allowed by hand" in host.run("allow", EVIL, "--end", status=1)


def test_a_file_of_the_allowlist_that_changes_lifts_what_it_covers_without_a_reload(host: Host) -> None:
    allow = host.place / "allow"
    allow.write_text("# nobody yet\n")
    change(host, "allowlist: [203.0.113.77]", f"allowlist: [203.0.113.77, {allow}]")
    with daemon(host.config):
        attack(host, EVIL, 3)
        until(lambda: banned(host) == [f"{EVIL}/32"])
        allow.write_text(f"{EVIL}\n")
        until(lambda: banned(host) == [])
        attack(host, EVIL, 9)
        until(lambda: host.read() == 12)
        assert banned(host) == []
        allow.write_text("198.51.100.300\n")
        until(lambda: "allow:1: " in host.run("status"))


def test_a_name_of_the_allowlist_protects_what_it_resolves_to(host: Host) -> None:
    change(host, "permit_documentation: true", "permit_documentation: true, permit: [127.0.0.0/8]")
    with daemon(host.config):
        assert "own address" in host.run("ban", "127.0.0.1", status=1)
        change(host, "203.0.113.77", "203.0.113.77, localhost, no-such-name.invalid")
        host.run("reload")
        until(lambda: "no-such-name.invalid" in host.run("status"))
        with_name = json.loads(host.run("why", "127.0.0.1", "--json"))
        assert with_name["protected"]


def test_who_mistypes_a_password_where_he_logged_in_is_reported_and_not_banned(host: Host) -> None:
    with daemon(host.config):
        accept(host, "alice", EVIL)
        attack(host, EVIL, 9, user="alice")
        until(lambda: host.read() == 10)
        assert banned(host) == []
        assert f"alice has logged in from {EVIL} lately" in host.run("digest", "--preview")
        attack(host, EVIL, 3, user="root")
        until(lambda: banned(host) == [f"{EVIL}/32"])
    with daemon(host.config):
        host.run("unban", EVIL)
        attack(host, EVIL, 9, user="alice")
        until(lambda: host.read() == 22)
        assert banned(host) == []


def test_flush_lifts_everything_with_and_without_a_daemon(host: Host) -> None:
    with daemon(host.config):
        host.run("ban", EVIL)
        assert "1 bans lifted" in host.run("flush", "--yes")
        assert banned(host) == []
        host.run("ban", EVIL)
        assert banned(host) == [f"{EVIL}/32"]
    assert "1 bans lifted" in host.run("flush", "--yes")
    with daemon(host.config):
        assert banned(host) == []


def test_actions_hear_of_bans_by_rule_and_by_hand_and_of_their_end(host: Host) -> None:
    place = host.place / "told"
    tell = f"[{sys.executable}, -c, \"import sys; print(*sys.argv[1:], file=open('{place}', 'a'))\""
    change(
        host,
        "bans: {",
        f"bans: {{actions: [{{ban: {tell}, ban, '{{address}}', '{{attack}}'], unban: {tell}, end, '{{address}}']}}], ",
    )
    with daemon(host.config):
        attack(host, EVIL, 3)
        until(lambda: place.exists() and f"ban {EVIL} sshd.yaml\n" in place.read_text())
        host.run("ban", "198.51.100.7")
        until(lambda: "ban 198.51.100.7 manual\n" in place.read_text())
        host.run("unban", EVIL)
        until(lambda: f"end {EVIL}\n" in place.read_text())


def test_an_action_that_fails_is_said_and_holds_no_ban_up(host: Host) -> None:
    change(host, "bans: {", "bans: {actions: [{ban: [/nonexistent, '{address}'], retries: 0}], ")
    with daemon(host.config):
        host.run("ban", EVIL)
        assert banned(host) == [f"{EVIL}/32"]
        until(lambda: "/nonexistent: No such file" in host.run("status"))


def completed(words: str) -> list[str]:
    """What the shell offers for the last of these words."""
    count = str(len(words.split()) - 1)
    environment = {**os.environ, "COMP_WORDS": words, "COMP_CWORD": count, "_LOGWARDEN_COMPLETE": "bash_complete"}
    said = subprocess.run(LOGWARDEN, env=environment, capture_output=True, text=True, check=False).stdout
    return [line.removeprefix("plain,") for line in said.split()]


def test_the_shell_completes_the_addresses_that_are_banned_or_allowed(host: Host) -> None:
    with daemon(host.config):
        host.run("ban", EVIL)
        host.run("ban", "2001:db8:9::/64")
        host.run("allow", "203.0.113.10")
        assert completed(f"logwarden unban --config {host.config} 203") == [EVIL]
        assert completed(f"logwarden allow --config {host.config} 203") == [EVIL]
        assert completed(f"logwarden allow --config {host.config} --end 203") == ["203.0.113.10"]
        table = host.run("bans")
        assert "dropped" in table.splitlines()[0]
        assert "before" in table.splitlines()[0]


def test_a_policy_of_the_config_replaces_the_file_s_and_repeat_offenders_stay_longer(host: Host) -> None:
    change(
        host,
        "bans: {",
        "bans: {policies: {sshd.yaml: {threshold: 2, window: 1h, ban: 1d}}, growth: {factor: 1}, "
        "repeat: {threshold: 2, window: 1w, ban: 3w}, ",
    )
    with daemon(host.config):
        attack(host, EVIL, 2)
        until(lambda: banned(host) == [f"{EVIL}/32"])
        host.run("unban", EVIL)
        attack(host, EVIL, 2)
        until(lambda: banned(host) == [f"{EVIL}/32"])
        (ban,) = json.loads(host.run("bans", "--json"))
        assert round((ban["until"] - ban["since"]) / 86400) == 21
        assert "a repeat offender" in ban["why"]
        assert ban["times"] == 2
