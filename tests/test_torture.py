"""The short form of `make torture`: see tests/torture."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KILLS = 50
LIFE = 0.4
"""Seconds; shorter than that of `make torture`, for the sake of those who wait for the tests."""
NEEDED = ("logrotate", "xz", "zstd")


@pytest.mark.slow
def test_whatever_is_rotated_and_killed_each_line_is_in_exactly_one_place_once() -> None:
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    argv = [sys.executable, "-m", "tests.torture", "--kills", str(KILLS), "--life", str(LIFE)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
