"""logcheck and fail2ban beside logwarden: told where they are at work, and not where they only lie about."""

from __future__ import annotations

from pathlib import Path

import pytest

from logwarden.neighbours import neighbours

CRON, LOGCHECK = "etc/cron.d/logcheck", "usr/sbin/logcheck"
JOB = "2 * * * * logcheck if [ -x /usr/sbin/logcheck ]; then nice -n10 /usr/sbin/logcheck; fi\n"
SERVER = "usr/bin/fail2ban-server"
ENABLED = "etc/systemd/system/multi-user.target.wants/fail2ban.service"


def put(root: Path, name: str, content: str = "") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content)


def test_a_logcheck_that_runs_is_told_with_what_both_would_do_and_the_way_over(tmp_path: Path) -> None:
    put(tmp_path, CRON, f"# m h dom mon dow user command\n{JOB}")
    put(tmp_path, LOGCHECK)
    (said,) = neighbours(tmp_path)
    assert "logcheck mails every hour what logwarden mails too" in said
    assert said.index("`logcheck: {rules: true}`") < said.index("`apt remove logcheck`")


@pytest.mark.parametrize("gone", ["the package", "the cron job", "what the cron job runs"])
def test_a_logcheck_that_does_not_run_is_not_told(tmp_path: Path, gone: str) -> None:
    if gone != "the package":  # its cron job is a conffile, which stays
        put(tmp_path, LOGCHECK)
    if gone != "the cron job":
        put(tmp_path, CRON, JOB if gone == "the package" else f"#{JOB}")
    assert list(neighbours(tmp_path)) == []


@pytest.mark.parametrize("sign", [ENABLED, "run/fail2ban/fail2ban.sock", "run/fail2ban/fail2ban.pid"])
def test_a_fail2ban_that_is_enabled_or_runs_is_told_with_what_both_would_do_and_the_way_over(
    tmp_path: Path, sign: str
) -> None:
    put(tmp_path, SERVER)
    (tmp_path / sign).parent.mkdir(parents=True)
    (tmp_path / sign).symlink_to("/lib/systemd/system/fail2ban.service.is.not.here")
    (said,) = neighbours(tmp_path)
    assert "both would ban the same address" in said
    assert "a ban lifted here stays in force there" in said
    assert said.index("`systemctl disable --now fail2ban`") < said.index("`bans: {mode: enforce}`")


def test_a_fail2ban_that_was_disabled_or_removed_is_not_told(tmp_path: Path) -> None:
    put(tmp_path, SERVER)
    put(tmp_path, "etc/fail2ban/jail.conf")
    assert list(neighbours(tmp_path)) == []
    put(tmp_path, ENABLED)
    (tmp_path / SERVER).unlink()
    assert list(neighbours(tmp_path)) == []
