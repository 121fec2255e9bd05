"""The systemd unit and its user, as systemd's own tools read them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parent.parent / "systemd"
UNIT = SYSTEMD / "logwarden.service"

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def settings(unit: Path) -> dict[str, str]:
    """The unit's settings; of one that is repeated, the last."""
    lines = (line for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


@needs_systemd
def test_systemd_finds_nothing_to_say_about_the_unit(tmp_path: Path) -> None:
    installed = tmp_path / UNIT.name
    installed.write_text(UNIT.read_text().replace("/usr/bin/logwarden", sys.executable))
    argv = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", str(installed)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_unit_exposes_no_more_than_two_of_ten() -> None:
    argv = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_unit_keeps_what_the_defaults_of_the_config_need() -> None:
    set_to = settings(UNIT)
    assert (set_to["StateDirectory"], set_to["RuntimeDirectory"]) == ("logwarden", "logwarden")
    assert set_to["Type"] == "notify"
    assert set_to["RestartPreventExitStatus"] == "78"


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_the_user_of_the_unit_is_made_by_sysusers(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    argv = ["systemd-sysusers", f"--root={tmp_path}", str(SYSTEMD / "logwarden.sysusers.conf")]
    subprocess.run(argv, capture_output=True, check=True)
    user = settings(UNIT)["User"]
    assert f"{user}:x:" in (tmp_path / "etc/passwd").read_text()
    assert f"{user}:x:" in (tmp_path / "etc/group").read_text()
