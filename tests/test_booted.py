"""The system that other tests boot is one: see booted.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from booted import booted


@pytest.mark.root
def test_a_systemd_boots_with_what_it_was_given_and_leaves_nothing(tmp_path: Path) -> None:
    seed, place = tmp_path / "seed", tmp_path / "place"
    (seed / "etc").mkdir(parents=True)
    (seed / "etc/greeting").write_text("good morning\n")
    place.mkdir()
    with booted(place, seed, name="sunrise") as machine:
        assert machine.out("cat", "/etc/greeting", "/etc/hostname") == "good morning\nsunrise\n"
        machine.run("logger", "-t", "cock", "it crows")
        machine.until(lambda: "it crows" in machine.journal("-t", "cock"))
        (machine.root / "etc/greeting").write_text("good evening\n")
        assert machine.run("test", "-e", "/etc/never", check=False).returncode == 1
        init = machine.init
    assert not os.path.exists(f"/proc/{init}")
    assert not os.path.exists("/etc/greeting")
