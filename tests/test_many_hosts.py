"""Many hosts' logs, consolidated by a real rsyslogd that takes TCP on loopback: each line is its own host's."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from demo.stage import Mailbox, daemon
from small import Small
from test_journey import Host, host, mailbox, until  # noqa: F401 - fixtures

from logwarden import header

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("rsyslogd", path="/usr/sbin:/usr/bin") is None, reason="needs rsyslogd"),
]

CONFIG = """
global(workDirectory="{place}" preserveFQDN="on" net.enableDNS="off")
module(load="imtcp")
template(name="hosts" type="string" string="{place}/hosts/%HOSTNAME%.log")
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="{place}/port")
action(type="omfile" dynaFile="hosts" template="{template}" fileCreateMode="0644" dirCreateMode="0755")
action(type="omfile" file="{place}/all.log" template="{template}" fileCreateMode="0644")
"""
TEMPLATES = ("RSYSLOG_FileFormat", "RSYSLOG_TraditionalFileFormat", "RSYSLOG_SyslogProtocol23Format")


class Relay:
    """A central rsyslogd: a file for each host, and one for all."""

    def __init__(self, place: Path, template: str) -> None:
        self.place = place
        place.mkdir()
        (place / "conf").write_text(CONFIG.format(place=place, template=template))

    @contextmanager
    def running(self) -> Iterator[None]:
        argv = ["/usr/sbin/rsyslogd", "-n", "-f", str(self.place / "conf"), "-i", str(self.place / "pid")]
        port = self.place / "port"
        with subprocess.Popen(argv) as process:
            try:
                until(lambda: port.exists() and answers(port.read_text()))
                with socket.create_connection(("127.0.0.1", int(port.read_text()))) as self._socket:
                    yield
            finally:
                process.terminate()

    def send(self, *messages: str) -> None:
        self._socket.sendall("".join(message + "\n" for message in messages).encode())

    def lines(self, name: str) -> list[bytes]:
        path = self.place / name
        return path.read_bytes().splitlines() if path.exists() else []


def answers(port: str) -> bool:
    """Whether rsyslogd, which says where it listens before it does, is listening."""
    with socket.socket() as door:
        return port.isdigit() and door.connect_ex(("127.0.0.1", int(port))) == 0


def messages(port: int) -> list[str]:
    """What hosts and routers send of one moment, each in its own manner; the last ones do not say who they are."""
    now = datetime.now(UTC)
    old = now.astimezone().strftime("%b %e %H:%M:%S")
    iso = now.isoformat(timespec="microseconds")
    attack = f"Failed password for root from 203.0.113.9 port {port} ssh2"
    return [
        f"<38>{old} web1 sshd[42]: {attack}",
        f"<38>1 {iso} web2.example.com sshd 43 - - {attack}",
        f"<38>{iso} web3 sshd[44]: {attack}",
        f"<189>{old} 192.0.2.1 45: *{old}: %SYS-5-CONFIG_I: Configured from console {port}",
        f"<189>{old} 192.0.2.2 %ASA-6-302013: Built inbound TCP connection {port}",
        f"<189>{old} router1 firewall,info input: in:ether1 out:(none) {port}",
        f"<38>{old} web1 app: normal {port}",
        f"<38>{old} sshd[47]: {attack}",
        f"<189>48: *{old}.123: %SYS-5-CONFIG_I: Configured from console {port}",
        f"<189>{old} %LINK-3-UPDOWN: Interface Vlan{port}, changed state to up",
        f"<30>dnsmasq-dhcp[49]: DHCPACK(br0) 192.0.2.9 {port}",
    ]


SENDER = "127.0.0.1"
HOSTS = {"web1", "web2.example.com", "web3", "192.0.2.1", "192.0.2.2", "router1", SENDER}
COUNT = len(messages(1))


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_host_the_program_and_the_message_come_from_the_line(template: str, tmp_path: Path) -> None:
    relay = Relay(tmp_path / "relay", template)
    sent = messages(1)
    with relay.running():
        relay.send(*sent)
        own = [f"hosts/{name}.log" for name in HOSTS]
        until(lambda: len(relay.lines("all.log")) == sum(len(relay.lines(name)) for name in own) == COUNT)
    now = datetime.now(UTC).timestamp()
    events = [header.parse(line, None, now) for line in relay.lines("all.log")]
    assert {event.host for event in events} == HOSTS
    assert all(event.time is not None and abs(event.time - now) < 60 for event in events)
    attacks = [(event.program, event.pid, event.message) for event in events[:3]]
    assert attacks == [("sshd", pid, "Failed password for root from 203.0.113.9 port 1 ssh2") for pid in (42, 43, 44)]
    assert [(event.host, event.program, event.pid, event.message) for event in events[7:]] == [
        (SENDER, "sshd", 47, "Failed password for root from 203.0.113.9 port 1 ssh2"),
        (SENDER, "48", None, f"*{sent[8].split('*')[1]}"),
        (SENDER, "%LINK-3-UPDOWN", None, "Interface Vlan1, changed state to up"),
        (SENDER, "dnsmasq-dhcp", 49, "DHCPACK(br0) 192.0.2.9 1"),
    ]
    for name in HOSTS:
        (path,) = (relay.place / "hosts").glob(f"{name}.log")
        assert {header.parse(line, None, now).host for line in path.read_bytes().splitlines()} == {name}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_central_log_is_accounted_for_host_by_host_and_what_two_files_hold_counts_once(
    template: str,
    host: Host,  # noqa: F811
    mailbox: Mailbox,  # noqa: F811
    tmp_path: Path,
) -> None:
    relay = Relay(tmp_path / "relay", template)
    config = host.config.read_text()
    files = f"[{{path: {relay.place}/hosts/*.log}}, {{path: {relay.place}/all.log}}]"
    host.config.write_text(config.replace(f"[{{path: {host.place}/log/*.log, from_start: true}}]", files))
    with daemon(host.config), relay.running():
        relay.send(*messages(1))
        until(lambda: host.read() == 2 * COUNT)
        relay.send(*messages(2))
        until(lambda: host.read() == 4 * COUNT)
        host.run("digest", "--now")
        told = mailbox.next().get_body(("plain",)).get_content()  # type: ignore[union-attr]
    with sqlite3.connect(f"file:{host.place}/state/state.db?mode=ro", uri=True) as db:
        kept = db.execute("SELECT host, outcome, count(*) FROM entry GROUP BY 1, 2 ORDER BY 1, 2").fetchall()
    assert kept == [
        (SENDER, "attack", 2),
        (SENDER, "unexplained", 6),
        ("192.0.2.1", "unexplained", 2),
        ("192.0.2.2", "unexplained", 2),
        ("router1", "unexplained", 2 if "23" in template else 4),  # 4: naming no program, it says too little
        ("web1", "attack", 2),
        ("web2.example.com", "attack", 2),
        ("web3", "attack", 2),
    ]
    assert "router1" in told


# --- what is host by host ---------------------------------------------------------------------------------------


@pytest.fixture(params=["hosts/*.log", "all.log"])
def central(request: pytest.FixtureRequest, host: Host, tmp_path: Path) -> tuple[Host, Relay]:  # noqa: F811
    """A daemon's host that reads what a relay writes."""
    relay = Relay(tmp_path / "relay", TEMPLATES[0])
    config = host.config.read_text()
    files = f"[{{path: {relay.place}/{request.param}}}]"
    host.config.write_text(config.replace(f"[{{path: {host.place}/log/*.log, from_start: true}}]", files))
    return host, relay


def said(name: str, message: str, tag: str = "app") -> str:
    """What a host sends now."""
    return f"<38>{datetime.now(UTC).isoformat(timespec='microseconds')} {name} {tag}: {message}"


def failed(name: str, port: int) -> str:
    return said(name, f"Failed password for root from 203.0.113.9 port {port} ssh2", "sshd[9]")


def test_attacks_count_on_each_host_apart_and_ban_where_one_of_them_has_had_enough(
    central: tuple[Host, Relay],
) -> None:
    """The threshold is 3."""
    fed, relay = central
    with daemon(fed.config), relay.running():
        relay.send(*[failed(name, port) for port in (1, 2) for name in ("web1", "web2", "web3")])
        until(lambda: fed.read() == 6)
        assert json.loads(fed.run("bans", "--json")) == []
        relay.send(failed("web2", 3))
        until(lambda: fed.read() == 7)
        (ban,) = json.loads(fed.run("bans", "--json"))
        assert (ban["prefix"], ban["hits"]) == ("203.0.113.9/32", 3)


def test_a_kind_of_line_is_one_group_of_the_digest_which_names_its_hosts(
    central: tuple[Host, Relay],
    mailbox: Mailbox,  # noqa: F811
) -> None:
    fed, relay = central
    with daemon(fed.config), relay.running():
        relay.send(
            *[said(name, f"disk {number} is failing") for name, number in (("web1", 1), ("web2", 2), ("web1", 3))]
        )
        relay.send(said("web3", "out of paper", "lpd"))
        until(lambda: fed.read() == 4)
        fed.run("digest", "--now")
        told = " ".join(mailbox.next().get_body(("plain",)).get_content().split())  # type: ignore[union-attr]
    assert "4 lines of 2 kinds" in told
    assert "3 lines app" in told
    assert "on web1, web2" in told
    assert "On web3 1 kind" in told


def test_a_host_that_falls_silent_is_missed_though_others_go_on_in_the_same_file(tmp_path: Path) -> None:
    """Two hosts speak every six hours for ten days, then one of them alone."""
    relay, small = Relay(tmp_path / "relay", TEMPLATES[0]), Small(tmp_path)
    text = small.config.read_text().replace("files: []", f"files: [{{path: {relay.place}/all.log}}]")
    small.config.write_text(text.replace("schedule: daily", "schedule: yearly"))
    sent = 0

    def hear(*names: str) -> None:
        nonlocal sent
        small.hands.pass_by(6 * 3_600)
        relay.send(*[said(name, f"normal {sent}") for name in names])
        sent += len(names)
        small.step_until(lambda: sum(small.daemon.state.read().values()) == sent)

    with relay.running(), small.running():
        for _ in range(40):
            hear("web1", "web2")
        assert "SILENCE" not in small.preview()
        for _ in range(3):
            hear("web1")
        told = " ".join(small.preview().split())
    assert "SILENCE host web2" in told
    assert told.count("SILENCE") == 1
