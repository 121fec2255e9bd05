"""A test that asks an oracle is skipped where there is none, but not in CI, whose set-up has installed it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(("ci", "status", "said"), [("true", 1, "must not be skipped: no grep"), ("", 0, "SKIPPED")])
def test_where_grep_is_missing_its_tests_fail_in_ci_alone(ci: str, status: int, said: str) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-k", "grep_says"]
    argv = [sys.executable, "-m", "pytest", *options, "tests/test_ere_oracle.py"]
    environment = {**os.environ, "CI": ci, "PATH": "/nonexistent"}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, said in done.stdout) == (status, True), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("file", ["tests/test_hyperscan.py", "tests/test_ere.py"])
@pytest.mark.parametrize(("ci", "status", "said"), [("true", 2, "must not be skipped: "), ("", 5, "SKIPPED")])
def test_where_hyperscan_was_not_built_whole_files_fail_in_ci_alone(
    ci: str, status: int, said: str, file: str, tmp_path: Path
) -> None:
    (tmp_path / "without.py").write_text("import sys\nsys.modules['logwarden.matcher._hyperscan'] = None\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "without", file]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, said in done.stdout) == (status, True), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("ci", "status", "said"), [("true", 1, "not be skipped: the oracle logcheck"), ("", 0, "")])
def test_without_root_what_asks_logcheck_fails_in_ci_alone(ci: str, status: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "mortal.py").write_text("import os\nos.geteuid = lambda: 1000\n")
    options = ["-q", "-p", "no:cacheprovider", "-p", "mortal", "-k", "reports_what_logcheck_reports or of_a_log"]
    argv = [sys.executable, "-m", "pytest", *options, "tests/test_rules_logcheck.py"]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, said in done.stdout) == (status, True), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ci", "uid", "status", "said"),
    [("true", 0, 1, "must not be skipped: systemd"), ("true", 1000, 0, "SKIPPED"), ("", 0, 0, "SKIPPED")],
)
def test_what_the_set_up_of_a_ci_that_is_root_has_installed_may_not_be_missing_there(
    ci: str, uid: int, status: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "user.py").write_text(f"import os\nos.geteuid = lambda: {uid}\n")
    for tool in ("unshare", "true"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "/nonexistent")
    options = ["-q", "-p", "no:cacheprovider", "-p", "user", "-k", "exposes"]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(tmp_path), "PATH": str(tmp_path)}
    argv = [sys.executable, "-m", "pytest", *options, "tests/test_unit.py"]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, said in done.stdout) == (status, True), done.stdout


@pytest.mark.slow
def test_how_many_tests_were_not_run_for_want_of_root_is_said_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "mortal.py").write_text("import os\nos.geteuid = lambda: 1000\n")
    options = ["-q", "-p", "no:cacheprovider", "-p", "mortal", "-k", "tmpfiles"]
    environment = {**os.environ, "CI": "true", "PYTHONPATH": str(tmp_path)}
    argv = [sys.executable, "-m", "pytest", *options, "tests/test_unit.py"]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0
    assert "tests not run for want of root: 1" in done.stdout


def test_ci_says_that_it_is_ci(tmp_path: Path) -> None:
    (tmp_path / "make").write_text('#!/bin/sh\necho "$1 with CI=$CI"\n')
    (tmp_path / "make").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "test with CI=true\n"
