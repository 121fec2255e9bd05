"""What the installed service asks of other machines, from inside its sandbox: names of the DNS, and a mail server."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from booted import Machine
from installed import ENFORCE, active, banned, enforce, install
from namespaces import entered
from postbox import Server, certified, make_authority, secured

pytestmark = [pytest.mark.root, pytest.mark.slow]

IN_HOSTS, IN_DNS, SOMEBODY_ELSE = "203.0.113.21", "203.0.113.22", "198.51.100.77"
HOSTS = f"{IN_HOSTS} attacker.example.org attacker\n"
ZONE = (
    f"--host-record=scanner.example.net,{IN_DNS}",
    f"--address=/evil.example.net/{SOMEBODY_ELSE}",  # whose own name is another one
    "--ptr-record=77.100.51.198.in-addr.arpa,victim.example.net",
)
DROP_IN = """
[Service]
LoadCredential=smtp:/etc/logwarden/smtp-password
Environment=SSL_CERT_FILE=/etc/logwarden/ca.pem
"""
MAIL = """
mail: {{host: localhost, port: {port}, tls: starttls, user: warden,
  password_file: /run/credentials/logwarden.service/smtp}}
"""


def refuse(machine: Machine, name: str) -> None:
    """What sshd with UseDNS says of six attempts from a host of this name."""
    for port in range(6):
        line = f"User root from {name} not allowed because not listed in AllowUsers"
        machine.run("logger", "-t", "sshd", f"--id={4000 + port}", line)


def test_names_in_the_place_of_addresses_are_looked_up_in_etc_hosts_and_in_the_dns(machine: Machine) -> None:
    if not shutil.which("dnsmasq", path="/usr/sbin:/usr/bin"):
        pytest.skip("dnsmasq is not installed")
    with (machine.root / "etc/hosts").open("a") as hosts:
        hosts.write(HOSTS)
    (machine.root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    loopback = ("--listen-address=127.0.0.1", "--bind-interfaces")
    machine.run("systemd-run", "--unit=dns", "dnsmasq", "-k", "-u", "root", "-R", "-h", *loopback, *ZONE)
    machine.until(lambda: machine.run("getent", "hosts", "scanner.example.net", check=False).stdout, "the DNS")
    install(machine)
    machine.until(lambda: active(machine), "the start")
    enforce(machine)

    refuse(machine, "evil.example.net")
    refuse(machine, "attacker.example.org")
    refuse(machine, "scanner.example.net")
    for address in (IN_HOSTS, IN_DNS):
        machine.until(lambda address=address: banned(machine, address), f"the ban of {address}")  # type: ignore[misc]
    assert not banned(machine, SOMEBODY_ELSE)
    assert "by its confirmed name attacker.example.org" in machine.out("logwarden", "why", IN_HOSTS)


def test_a_mail_server_that_asks_for_a_password_gets_the_one_that_systemd_has_handed_over(
    machine: Machine, tmp_path: Path
) -> None:
    authority = make_authority(tmp_path)
    drop_in = machine.root / "etc/systemd/system/logwarden.service.d"
    drop_in.mkdir(parents=True)
    (drop_in / "smtp.conf").write_text(DROP_IN)
    machine.run("install", "-d", "/etc/logwarden")
    shutil.copy(authority / "ca.pem", machine.root / "etc/logwarden")
    shutil.copy(authority / "password", machine.root / "etc/logwarden/smtp-password")
    machine.run("chmod", "600", "/etc/logwarden/smtp-password")
    install(machine)
    machine.until(lambda: active(machine), "the start")

    server = Server()
    with ExitStack() as serving:
        with entered(f"/proc/{machine.init}/ns/net"):
            port = serving.enter_context(secured(server, certified(authority)))
        enforce(machine, ENFORCE + MAIL.format(port=port))
        machine.run("logger", "-t", "oddity", "a line that no rule knows")
        machine.until(
            lambda: "no rule knows" in machine.out("logwarden", "digest", "--preview"), "the line in the digest"
        )
        machine.run("logwarden", "digest", "--now")
        machine.until(lambda: server.taken, "the mail")
    assert server.users == ["warden"]
    assert b"no rule knows" in (server.taken[0].content or b"")
    assert machine.out("stat", "-c", "%a %U", "/etc/logwarden/smtp-password") == "600 root\n"
