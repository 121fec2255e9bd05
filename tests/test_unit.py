"""The systemd unit and its user, as systemd's own tools read them."""

from __future__ import annotations

import os
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


def with_users(root: Path) -> None:
    """Make the users and groups of the unit below `root`."""
    (root / "etc").mkdir()
    argv = ["systemd-sysusers", f"--root={root}", str(SYSTEMD / "logwarden.sysusers.conf")]
    subprocess.run(argv, capture_output=True, check=True)


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_the_user_of_the_unit_is_made_by_sysusers(tmp_path: Path) -> None:
    with_users(tmp_path)
    user = settings(UNIT)["User"]
    assert f"{user}:x:" in (tmp_path / "etc/passwd").read_text()
    assert f"{user}:x:" in (tmp_path / "etc/group").read_text()


@pytest.mark.root
@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="systemd-tmpfiles is not installed")
def test_tmpfiles_makes_the_folders_of_the_unit_as_the_unit_does(tmp_path: Path) -> None:
    with_users(tmp_path)
    argv = ["systemd-tmpfiles", "--create", f"--root={tmp_path}", str(SYSTEMD / "logwarden.tmpfiles.conf")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    set_to = settings(UNIT)
    uid = int((tmp_path / "etc/passwd").read_text().partition(f"{set_to['User']}:x:")[2].partition(":")[0])
    for kind, parent in (("State", "var/lib"), ("Cache", "var/cache")):
        made = os.stat(tmp_path / parent / set_to[f"{kind}Directory"])
        assert f"{made.st_mode & 0o7777:04o}" == set_to.get(f"{kind}DirectoryMode", "0755")  # as systemd.exec(5) has it
        assert made.st_uid == uid
