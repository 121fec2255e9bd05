"""`logwarden init`: a first config, by looking at the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from logwarden import config, document, ssh_session, survey
from logwarden.cli import group
from logwarden.errors import EdgeError


def machine(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def made(root: Path, admin: str | None = None, *, mailed: bool = True, enforce: bool = False) -> str:
    text = survey.first_config(root, admin, mailed=mailed, enforce=enforce, to="root")
    config.from_document(document.parse(text.encode(), "first.yaml"), file=None)  # it can be used
    return text


def meant(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def test_a_machine_with_a_journal_has_it_read(tmp_path: Path) -> None:
    machine(tmp_path, "run/log/journal/x", "var/log/syslog")
    assert meant(made(tmp_path))["sources"] == {"journal": True}


def test_one_without_has_the_files_read_that_syslogd_writes(tmp_path: Path) -> None:
    machine(tmp_path, "var/log/messages", "var/log/secure")
    assert meant(made(tmp_path))["sources"] == {"files": [{"path": "/var/log/messages"}, {"path": "/var/log/secure"}]}


def test_it_observes_unless_told_otherwise_and_never_bans_who_asked(tmp_path: Path) -> None:
    bans = meant(made(tmp_path, "203.0.113.9"))["bans"]
    assert (bans["mode"], bans["allowlist"]) == ("observe", ["203.0.113.9"])
    assert meant(made(tmp_path, enforce=True))["bans"]["mode"] == "enforce"


@pytest.mark.parametrize("admin", ["2001:db8::", "2001:10:20:30:40:50:1:2", "::1"])
def test_an_address_is_an_address_and_no_number_or_mapping_of_yaml(tmp_path: Path, admin: str) -> None:
    assert meant(made(tmp_path, admin))["bans"]["allowlist"] == [admin]


def test_the_backend_is_the_one_that_is_installed(tmp_path: Path) -> None:
    assert meant(made(machine(tmp_path, "usr/sbin/nft")))["bans"]["backend"] == "nftables"
    assert meant(made(machine(tmp_path, "usr/sbin/ipset")))["bans"]["backend"] == "ipset"


def test_a_firewall_manager_at_work_is_named_and_one_at_rest_is_not(tmp_path: Path) -> None:
    machine(tmp_path, "etc/ufw/ufw.conf", "run/firewalld/x")
    (tmp_path / "etc/ufw/ufw.conf").write_text("ENABLED=no\n")
    text = made(tmp_path)
    assert "firewalld is at work" in text
    assert "ufw" not in text
    (tmp_path / "etc/ufw/ufw.conf").write_text("# a comment\nENABLED=yes\n")
    assert "ufw is at work" in made(tmp_path)


def test_where_no_mail_server_answers_it_says_what_to_do(tmp_path: Path) -> None:
    assert "No mail server" not in made(tmp_path)
    assert "exim4-daemon-light" in made(tmp_path, mailed=False)


def test_the_command_writes_a_config_that_all_may_read_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_session, "client_address", lambda: "203.0.113.9")
    target = tmp_path / "etc" / "logwarden.yaml"
    asked = ["init", "--config", str(target), "--to", "admin@example.org"]
    assert CliRunner().invoke(group, asked).exit_code == 0
    found = config.load(str(target))
    assert (found.digest.to, target.stat().st_mode & 0o777) == (("admin@example.org",), 0o644)
    target.write_text("mine: {}\n")
    assert isinstance(CliRunner().invoke(group, asked).exception, EdgeError)
    assert target.read_text() == "mine: {}\n"
    shown = CliRunner().invoke(group, [*asked, "--print"])
    assert "admin@example.org" in shown.output
    assert CliRunner().invoke(group, [*asked, "--force"]).exit_code == 0
    assert "admin@example.org" in target.read_text()
