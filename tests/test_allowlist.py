"""Who is never banned: names, files, what was looked up, who has logged in and who is logged in."""

from __future__ import annotations

import itertools
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import Small

from logwarden import adoption, allowlist, config, logins, sessions, ssh_session, watch
from logwarden.address import Prefix, parse, prefix
from logwarden.allowlist import Allowlist, Protected, Refresher
from logwarden.errors import CommandError
from logwarden.logins import ADDRESSES, Logins
from logwarden.matcher import users
from logwarden.matcher.analysis import Analysis
from logwarden.matcher.patterns import Pattern, text_of
from logwarden.model import AttackRule, Batch, Location, Provenance
from logwarden.rules import attack
from logwarden.sessions import Sessions

NOW = 1_700_000_000.0
PATIENCE = 20.0
STAMP = "2023-11-14T22:13:20+00:00 web1"
ACCEPTED = "Accepted publickey for alice from 203.0.113.7 port 4242 ssh2: ED25519 SHA256:abc"
FAILED = "Failed password for alice from 203.0.113.7 port 4242 ssh2"
RULE = AttackRule(
    Location("sshd.yaml", 1),
    "sshd.yaml",
    "failed",
    ("sshd",),
    "Failed password for (invalid user )?<USER> from <ADDR> port <PORT> ssh2",
)
ATTACK_D = Path(__file__).parent.parent / "attack.d"


def batch(*lines: str, provenance: tuple[Provenance, ...] = ()) -> Batch:
    return Batch("auth.log", "".join(f"{STAMP} {line}\n" for line in lines).encode(), len(lines), "", None, provenance)


def heard(*lines: str, provenance: tuple[Provenance, ...] = ()) -> Logins:
    logins = Logins(7 * 86400)
    logins.hear(batch(*lines, provenance=provenance), NOW)
    return logins


# --- the list -----------------------------------------------------------------------------------------------------


def test_an_allowlist_holds_addresses_prefixes_names_and_files() -> None:
    found = Allowlist.sorted(["192.0.2.1", "2001:db8::/32", "home.example.org", "/etc/allow"])
    assert list(map(str, found.prefixes)) == ["192.0.2.1/32", "2001:db8::/32"]
    assert (found.names, found.files) == (("home.example.org",), ("/etc/allow",))


def test_a_file_has_an_entry_a_line_and_says_which_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "allow"
    file.write_text("# the office\n192.0.2.0/28  # first floor\n\nvpn.example.org\n192.0.2.300\n")
    found, _, troubles = Allowlist.sorted([str(file), str(tmp_path / "none")]).read({})
    assert list(map(str, found.prefixes)) == ["192.0.2.0/28"]
    assert found.names == ("vpn.example.org",)
    assert [f"{file}:5: " in troubles[0], "none: No such file" in troubles[1]] == [True, True]


def test_of_a_file_that_is_too_large_the_beginning_is_in_force_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "allow"
    file.write_text("192.0.2.1\n192.0.2.2\n")
    monkeypatch.setattr(allowlist, "LARGEST", 19)
    found, _, troubles = Allowlist.sorted([str(file)]).read({})
    assert found.prefixes == (prefix("192.0.2.1"),)
    assert troubles == [f"allowlist: {file}: only the first 1.9e-05 MB of it are in force"]
    monkeypatch.setattr(allowlist, "LARGEST", 20)
    assert len(Allowlist.sorted([str(file)]).read({})[0].prefixes) == 2


@given(st.binary(max_size=200))
def test_any_bytes_are_a_file_with_entries_or_troubles(content: bytes) -> None:
    file = Path("/dev/shm") / f"logwarden-test-{os.getpid()}"
    try:
        file.write_bytes(content)
        Allowlist.sorted([str(file)]).read({})
    finally:
        file.unlink()


def test_a_name_protects_what_it_resolves_to_and_keeps_that_when_it_does_not_resolve_any_more() -> None:
    told: list[Protected] = []
    answers: list[tuple[str, ...] | OSError] = [("192.0.2.7",), OSError(2, "no resolver"), ("192.0.2.8",)]

    def look_up(_: str) -> tuple[str, ...]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    refresher = Refresher(Allowlist(names=("home.example.org",)), told.append, Protected(), look_up)
    refresher.read()
    refresher.resolve()
    assert prefix("192.0.2.7") in told[-1].allowed
    refresher.resolve()
    assert prefix("192.0.2.7") in told[-1].allowed
    assert "it keeps its last addresses" in told[-1].troubles[-1]
    refresher.resolve()
    assert not told[-1].troubles
    assert set(told[-1].allowed) == {prefix("192.0.2.8")}
    assert "192.0.2.8" in told[-1].names["home.example.org"]


@pytest.mark.parametrize("gone", ["removed", "a directory in its place"])
def test_a_file_that_cannot_be_read_says_what_it_said_last_and_an_empty_one_nothing(tmp_path: Path, gone: str) -> None:
    file, told = tmp_path / "allow", list[Protected]()
    file.write_text("192.0.2.7\nhome.example.org\n")
    refresher = Refresher(Allowlist.sorted([str(file)]), told.append, Protected(), lambda _: ("192.0.2.8",))
    refresher.read()
    refresher.resolve()
    file.unlink()
    if gone != "removed":
        file.mkdir()
    refresher.read()
    assert set(told[-1].allowed) == {prefix("192.0.2.7"), prefix("192.0.2.8")}
    assert told[-1].troubles[0].endswith("; what it said last is still in force")
    if gone != "removed":
        file.rmdir()
    file.write_text("")
    refresher.read()
    assert (told[-1].allowed, told[-1].troubles) == (frozenset(), ())


def test_a_file_that_was_never_read_protects_nobody_and_that_is_said_each_time(tmp_path: Path) -> None:
    wanted = Allowlist.sorted([str(tmp_path / "allow")])
    before = Protected.now(wanted, Protected())
    assert before.troubles[0].endswith("allow: No such file or directory; it protects nobody")
    assert Protected.now(wanted, before).troubles == before.troubles


def test_what_has_not_changed_is_not_told_again() -> None:
    told: list[Protected] = []
    refresher = Refresher(Allowlist.sorted(["192.0.2.1"]), told.append, Protected())
    refresher.read()
    refresher.read()
    assert len(told) == 1


def test_the_hosts_own_addresses_stay_protected_while_the_kernel_does_not_say_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = {prefix("192.0.2.1"): "an address of this host"}

    def silent() -> dict[Prefix, str]:
        raise CommandError("ip: no answer within 30 s")

    monkeypatch.setattr("logwarden.host.protected", lambda: own)
    told: list[Protected] = []
    refresher = Refresher(Allowlist(), told.append, Protected())
    refresher.read()
    monkeypatch.setattr("logwarden.host.protected", silent)
    refresher.read()
    assert told[-1].own == own
    assert told[-1].troubles == ("ip: no answer within 30 s; what was the host's own before is still protected",)
    assert Protected.now(Allowlist(), Protected(own=own)).own == own
    assert Protected.now(Allowlist(), Protected()).troubles == (
        "ip: no answer within 30 s; the host's own is not protected",
    )


def test_what_a_file_says_is_known_while_a_name_is_still_being_looked_up(tmp_path: Path) -> None:
    """A resolver that does not answer takes half a minute a name; who is added to the file is let in meanwhile."""
    told: SimpleQueue[Protected] = SimpleQueue()
    asked, answer = threading.Event(), threading.Event()

    def look_up(_: str) -> tuple[str, ...]:
        asked.set()
        assert answer.wait(PATIENCE)
        return ("192.0.2.8",)

    file = tmp_path / "allow"
    file.write_text("slow.example.org\n")
    refresher = Refresher(Allowlist.sorted([str(file)]), told.put, Protected(), look_up)
    refresher.start()
    try:
        assert not told.get(timeout=PATIENCE).allowed
        assert asked.wait(PATIENCE), "a name in a file is looked up at once"
        file.write_text("slow.example.org\n192.0.2.7\n")
        refresher.refresh()
        assert told.get(timeout=PATIENCE).allowed == {prefix("192.0.2.7")}
        answer.set()
        assert told.get(timeout=PATIENCE).allowed == {prefix("192.0.2.7"), prefix("192.0.2.8")}
    finally:
        answer.set()
        refresher.stop()


def test_names_are_looked_up_again_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowlist, "REFRESH", 0.01)
    told: SimpleQueue[Protected] = SimpleQueue()
    addresses = (f"192.0.2.{number}" for number in itertools.count(1))
    refresher = Refresher(Allowlist(names=("home.example.org",)), told.put, Protected(), lambda _: (next(addresses),))
    refresher.start()
    try:
        seen = [told.get(timeout=PATIENCE).names.get("home.example.org", ()) for _ in range(5)]
    finally:
        refresher.stop()
    assert seen[-3:] == [("192.0.2.2",), ("192.0.2.3",), ("192.0.2.4",)]


# --- logins -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        f"sshd[1]: {ACCEPTED}",
        "sshd-session[1]: Accepted password for alice from 203.0.113.7 port 4242 ssh2",
        "sshd[1]: Accepted publickey for alice from 203.0.113.7 port 4242 ssh2: ED25519-CERT SHA256:AAAA"
        " ID alice (serial 1) CA ED25519 SHA256:BBBB",
        "sshd[1]: Accepted gssapi-with-mic for alice from 203.0.113.7 port 4242 ssh2: alice@EXAMPLE.NET",
        "dovecot: imap-login: Login: user=<alice>, method=PLAIN, rip=203.0.113.7, lip=192.0.2.1, mpid=9, TLS",
    ],
)
def test_who_mistypes_his_password_where_he_has_logged_in_is_known(line: str) -> None:
    logins = heard("cron[1]: nothing", line)
    assert logins.as_same_user(parse("203.0.113.7"), RULE, FAILED, NOW) == "alice has logged in from 203.0.113.7 lately"
    assert logins.as_same_user(parse("203.0.113.7"), RULE, FAILED.replace("alice", "bob"), NOW) is None
    assert logins.as_same_user(parse("203.0.113.7"), RULE, FAILED.replace("alice", "alice-2"), NOW) is None
    assert logins.as_same_user(parse("203.0.113.8"), RULE, FAILED, NOW) is None
    assert logins.as_same_user(parse("203.0.113.7"), RULE, FAILED, NOW + 8 * 86400) is None


@pytest.mark.parametrize(
    "line",
    [
        f"sshd[1]: Invalid user {ACCEPTED} from 198.51.100.9 port 4242",
        f"sshd[1]: Failed password for invalid user {ACCEPTED} from 198.51.100.9 port 4242 ssh2",
        f"evil[1]: {ACCEPTED}",
        f"evil[1]: sshd[1]: {ACCEPTED}",
        "dovecot: imap-login: Disconnected: user=<x Login: user=<alice>, rip=203.0.113.7>, rip=198.51.100.9",
    ],
)
def test_what_a_stranger_writes_is_no_login(line: str) -> None:
    assert heard(line).as_same_user(parse("203.0.113.7"), RULE, FAILED, NOW) is None


def test_a_login_that_somebody_else_wrote_into_the_journal_is_none() -> None:
    nobody, root = (
        Provenance(65534, "session-3.scope", "logger", "syslog"),
        Provenance(0, "ssh.service", "sshd", "syslog"),
    )
    lines = ["cron[1]: nothing", f"sshd[1]: {ACCEPTED}"]
    assert heard(*lines, provenance=(root, nobody)).as_same_user(parse("203.0.113.7"), RULE, FAILED, NOW) is None
    assert heard(*lines, provenance=(nobody, root)).as_same_user(parse("203.0.113.7"), RULE, FAILED, NOW)


def test_a_line_that_holds_what_a_login_begins_with_a_thousand_times_is_looked_at_once() -> None:
    hostile = "x: " + "Login: user=<a>," * 1_000 + " rip=1 " + "Accepted a for b from 1 port 1 " * 1_000
    asked = batch(hostile, hostile, "sshd[1]: Accepted password for ada from 192.0.2.1 port 4242 ssh2")
    assert len(list(logins._found(asked.block))) == 5
    heard = Logins(3_600.0)
    heard.hear(asked, NOW)
    assert heard.within(prefix("192.0.2.0/24"), NOW) == "ada has logged in from 192.0.2.1 lately"
    assert all(len(found) <= logins.LONGEST for found in heard._heard)


def test_logins_outlive_the_process_and_are_bounded() -> None:
    logins = heard(f"sshd[1]: {ACCEPTED}")
    again = Logins(7 * 86400)
    again.load(logins.dump(NOW))
    assert again.as_same_user(parse("203.0.113.7"), RULE, FAILED, NOW)
    for number in range(ADDRESSES):
        again.note("bob", f"198.51.{number >> 8}.{number & 255}", NOW)
    assert again.as_same_user(parse("203.0.113.7"), RULE, FAILED, NOW) is None
    again.load({"2001:db8::7": {"alice": NOW}})  # as it was written down before there were prefixes
    assert again.within(prefix("2001:db8::/64"), NOW) == "alice has logged in from 2001:db8::/64 lately"
    assert Logins(0).dump(NOW) == {}


@pytest.mark.parametrize(
    ("file", "message", "forgiven"),
    [
        ("sshd", "Failed password for invalid user alice from 203.0.113.7 port 4242 ssh2", True),
        ("sshd", "Failed password for alice's from 203.0.113.7 port 4242 ssh2", False),
        ("sshd", "Failed password for root alice from 203.0.113.7 port 4242 ssh2", False),
        ("sshd", "Failed password for alice from 203.0.113.7 from 203.0.113.7 port 4242 ssh2", False),
        (
            "nginx-probe",
            '[error] 4711#4711: *8 open() "/var/www/html/cgi-bin/alice" failed (2: No such file or directory), client:'
            ' 203.0.113.7, server: example.net, request: "GET /cgi-bin/alice?user=alice HTTP/1.1", host: "192.0.2.1"',
            False,
        ),
        (
            "dovecot",
            "imap-login: Disconnected (auth failed, 3 attempts): user=<alice>, method=PLAIN, rip=203.0.113.7",
            True,
        ),
        ("dovecot", "imap-login: Disconnected (auth failed, 3 attempts): user=<bob alice>, rip=203.0.113.7", False),
        ("dovecot", "auth: sql(alice,203.0.113.7): Password mismatch (given password: x)", True),
        ("dovecot", "auth: sql(bob,203.0.113.7): Password mismatch (given password: alice)", False),
        (
            "pam",
            "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.7"
            "  user=alice",
            True,
        ),
        ("postfix", "warning: unknown[203.0.113.7]: SASL LOGIN authentication failed: alice", False),
    ],
)
def test_the_same_user_is_whom_the_rule_names_and_no_word_of_the_message(
    file: str, message: str, forgiven: bool
) -> None:
    """A stranger beside alice writes her name where he may write what he likes; only whom he tries to be counts."""
    logins = heard(f"sshd[1]: {ACCEPTED}")
    rules, refused = attack.parse((ATTACK_D / f"{file}.yaml").read_bytes(), f"{file}.yaml")
    assert not refused
    matching = [
        rule for rule in rules if Pattern(rule, 0, Analysis(text_of(rule)).facts)._regex.fullmatch(message.encode())
    ]
    assert matching, "no rule matches: the test shows nothing"
    said = {logins.as_same_user(parse("203.0.113.7"), rule, message, NOW) for rule in matching}
    assert said == {"alice has logged in from 203.0.113.7 lately" if forgiven else None}


def test_a_name_that_ends_within_a_character_is_a_name_that_nobody_has() -> None:
    rule = RULE._replace(regex="bad user <USER>[^a-z] from <ADDR>")
    assert users(rule, "bad user bobé from 192.0.2.1") == {r"bob\xc3"}


def test_a_rule_that_takes_too_long_to_say_whom_it_names_names_nobody() -> None:
    slow = RULE._replace(regex="(a|a)*<USER>(b|b)*(a|a)*(b|b)*c from <ADDR>")
    assert users(slow, "a" * 5_000 + "b" * 5_000 + " from 203.0.113.7") == frozenset()


# --- sessions -----------------------------------------------------------------------------------------------------


def utmp(*records: tuple[int, int, str, str]) -> bytes:
    """type, pid, user, host, as login(1) writes them."""
    pack = struct.Struct("=hxxi32s4s32s256shhiii16s20x").pack
    return b"".join(pack(k, p, b"pts/0", b"ts/0", u.encode(), h.encode(), 0, 0, 0, 0, 0, b"") for k, p, u, h in records)


def test_utmp_says_who_is_logged_in_from_where(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    file = tmp_path / "utmp"
    mine = os.getpid()
    file.write_bytes(
        utmp((7, mine, "alice", "203.0.113.7"), (7, mine, "bob", "2001:db8::7"), (8, mine, "eve", "203.0.113.8"))
        + utmp((7, gone.pid, "mallory", "203.0.113.9"), (7, mine, "root", ":0"), (7, mine, "x", "host.example.org"))
        + b"torn"
    )
    found = Sessions(str(file))
    assert found.of(prefix("203.0.113.7"), NOW) == "alice is logged in from 203.0.113.7"
    assert found.of(prefix("2001:db8::/64"), NOW) == "bob is logged in from 2001:db8::7"
    assert [found.of(prefix(f"203.0.113.{n}"), NOW) for n in (8, 9)] == [None, None]
    file.write_bytes(b"")
    assert found.of(prefix("203.0.113.7"), NOW + 0.5), "asked twice within a second"
    assert found.of(prefix("203.0.113.7"), NOW + 2) is None


def test_a_host_without_utmp_has_no_sessions_there(tmp_path: Path) -> None:
    assert list(sessions.from_utmp(str(tmp_path / "none"))) == []


@pytest.mark.root
def test_logind_says_who_is_logged_in_from_where() -> None:
    """libsystemd reads its own directory: in a mount namespace that is ours, with a file as logind writes it."""
    if sessions._libsystemd() is None:
        pytest.skip("there is no libsystemd.so.0 here")
    script = (
        "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && "
        "mkdir /run/systemd/sessions && cd /run/systemd/sessions && "
        "printf 'UID=1000\\nUSER=alice\\nACTIVE=1\\nSTATE=active\\nREMOTE=1\\nREMOTE_HOST=203.0.113.7\\n' > 3 && "
        "printf 'UID=1001\\nUSER=bob\\nACTIVE=0\\nSTATE=closing\\nREMOTE=1\\nREMOTE_HOST=203.0.113.8\\n' > 4 && "
        f"exec {sys.executable} -c 'from logwarden import sessions; print(list(map(tuple, sessions.from_logind())))'"
    )
    argv = ["unshare", "--mount", "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout == "[('uid 1000', IPv4Address('203.0.113.7'))]\n", done.stderr


# --- the administrator's own session --------------------------------------------------------------------------------


def test_an_ssh_session_is_known_by_the_environment_of_an_ancestor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    parent = os.getppid()
    for pid, above, environment in (
        (parent, 77, b"HOME=/"),
        (77, 1, b"A=b\0SSH_CONNECTION=203.0.113.7 1 192.0.2.1 22\0"),
    ):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "environ").write_bytes(environment)
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) b) S {above} 1 1\n")
    assert ssh_session.client_address(str(tmp_path)) == "203.0.113.7"
    assert ssh_session.client_address(str(tmp_path / "none")) is None
    monkeypatch.setenv("SSH_CONNECTION", "2001:db8::7 1 192.0.2.1 22")
    assert ssh_session.client_address(str(tmp_path)) == "2001:db8::7"


@pytest.mark.parametrize(
    "said", ["UNKNOWN 65535 UNKNOWN 65535", "0.0.0.0/0, x", "]\nbans:", " ", "mail.example.org 1 2 3"]
)
def test_an_ssh_session_that_names_no_address_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """It goes into the allowlist that `init` writes, and whoever became root by su may have written it himself."""
    monkeypatch.setenv("SSH_CONNECTION", said)
    assert ssh_session.client_address(str(tmp_path)) is None
    monkeypatch.setenv("SSH_CONNECTION", "::ffff:203.0.113.7 1 192.0.2.1 22")
    assert ssh_session.client_address(str(tmp_path)) == "203.0.113.7"


def test_a_neighbour_of_who_is_protected_is_counted_alone_over_a_reload(tmp_path: Path) -> None:
    """His /64 holds an address that a file of the allowlist names: he counts by his own, over a reload too."""
    (tmp_path / "friends").write_text("2001:db8::1\n")
    host = Small(tmp_path)
    host.config.write_text(
        host.config.read_text().replace("permit_doc", f"allowlist: [{tmp_path}/friends], permit_doc", 1)
    )
    with host.running() as daemon:
        host.attack("2001:db8::bad", 2)
        adoption.adopt(daemon, watch.build(config.load(str(host.config))), host.hands.wall)
        host.attack("2001:db8::bad", 1)
        assert list(host.bans()) == ["2001:db8::bad/128"]
