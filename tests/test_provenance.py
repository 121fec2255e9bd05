"""Who may write for a program in the journal, and who may not."""

from __future__ import annotations

import pytest

from logwarden.model import Provenance
from logwarden.tracker.provenance import doubt


@pytest.mark.parametrize(
    ("program", "provenance"),
    [
        ("sshd", None),
        ("sshd", Provenance(0, "ssh.service", "sshd", "syslog")),
        ("sshd-session", Provenance(0, "ssh@7-192.0.2.1:22-203.0.113.9:4242.service", "sshd-session", "syslog")),
        ("login", Provenance(0, "getty@tty1.service", "login", "syslog")),
        ("postfix/smtpd", Provenance(101, "postfix@-.service", "smtpd", "syslog")),
        ("dovecot", Provenance(114, "dovecot.service", "auth", "syslog")),
        ("exim", Provenance(104, "exim4.service", "exim4", "syslog")),
        ("nginx", Provenance(33, "nginx.service", "nginx", "stdout")),
        ("httpd", Provenance(48, "httpd.service", "httpd", "journal")),
        ("named", Provenance(110, "bind9.service", "isc-net-0000", "syslog")),
        ("myapp", Provenance(61200, "myapp.service", "myapp", "stdout")),
        ("kernel", Provenance(None, None, None, "kernel")),
    ],
)
def test_a_program_may_write_for_itself(program: str, provenance: Provenance | None) -> None:
    assert doubt(program, provenance) is None


@pytest.mark.parametrize(
    "provenance",
    [
        Provenance(65534, "session-3.scope", "logger", "syslog"),
        Provenance(1000, "user@1000.service", "logger", "syslog"),
        Provenance(1000, "ssh.service", "sshd", "syslog"),  # a login shell in sshd's cgroup
        Provenance(1000, "session-3.scope", "sshd", "stdout"),  # comm is what the process says it is
        Provenance(33, "apache2.service", "logger", "syslog"),  # a web application
        Provenance(33, "cron.service", "logger", "syslog"),
        Provenance(33, None, "sshd", "syslog"),
        Provenance(33, "sshguard.service", "sshd", "syslog"),
        Provenance(33, "session-ssh.scope", "sshd", "syslog"),
        Provenance(None, "ssh.service", "sshd", "syslog"),
        Provenance(100_000, "ssh.service", "sshd", "syslog"),  # root of a user namespace
        Provenance(0, "ssh.service", "sshd", "kernel"),
        Provenance(),
    ],
)
def test_nobody_else_may_write_for_sshd(provenance: Provenance) -> None:
    assert (doubt("sshd", provenance) or "").startswith("it names sshd but came")


def test_a_piece_of_a_torn_line_is_nobodys() -> None:
    whole = Provenance(0, "ssh.service", "sshd", "stdout")
    assert doubt("sshd", whole) is None
    assert "torn" in (doubt("sshd", whole._replace(torn=True)) or "")


def test_only_the_kernel_is_the_kernel() -> None:
    assert doubt("kernel", Provenance(0, "x.service", "logger", "syslog")) is not None


def test_an_entry_that_names_no_program_is_root_s_or_nobody_s() -> None:
    assert doubt(None, Provenance(1000, "user@1000.service", "x", "journal")) is not None
    assert doubt(None, Provenance(0, "x.service", "x", "journal")) is None
