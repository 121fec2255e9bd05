"""The package upgraded while logs are written and rotated: each line is counted once, and a ban holds all along."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from booted import Machine
from installed import ENFORCE, active, attack, banned, enforce, install, shows

pytestmark = [pytest.mark.root, pytest.mark.slow]

HE = "203.0.113.9"
SOURCES = """
sources: {journal: true, files: [{path: /var/log/numbered/app.log, from_start: true}]}
"""
WRITER = """
import datetime, itertools, os, syslog, time
path = "/var/log/numbered/app.log"
syslog.openlog("chatter")
log = open(path, "a")
for number in itertools.count(1):
    if os.path.exists("/root/enough"):
        break
    log.write(f"{datetime.datetime.now().astimezone().isoformat()} host numbered[1]: line {number} of it\\n")
    log.flush()
    if number % 5 == 0:
        syslog.syslog(f"line {number} of it")
    if number % 1000 == 0:
        for older in range(9, 0, -1):
            if os.path.exists(f"{path}.{older}"):
                os.replace(f"{path}.{older}", f"{path}.{older + 1}")
        os.rename(path, f"{path}.1")
        log.close()
        log = open(path, "a")
    time.sleep(0.002)
print(number - 1)
"""
GUARD = """
while ! test -e /root/enough; do
    ipset test NAME ADDRESS 2>/dev/null || echo "not in the set"
    iptables -t raw -S | grep -q "match-set NAME " || echo "no rule"
    echo looked >&2
done
"""


def numbers(machine: Machine, program: str) -> Counter[int]:
    """How often each numbered line of a program is accounted for."""
    lines = machine.out("logwarden", "events", "--program", program, "--json").splitlines()
    found = (re.fullmatch(r"line (\d+) of it", json.loads(line)["message"]) for line in lines)
    return Counter(int(each[1]) for each in found if each)


def newer(deb: Path, place: Path) -> Path:
    """The same package as its next version."""
    subprocess.run(["dpkg-deb", "-R", deb, place / "tree"], check=True)
    control = place / "tree/DEBIAN/control"
    control.write_text(re.sub("^Version: (.*)$", r"Version: \1+1", control.read_text(), flags=re.M))
    subprocess.run(["dpkg-deb", "-b", place / "tree", place / "newer.deb"], check=True, capture_output=True)
    return place / "newer.deb"


def test_an_upgrade_under_load_counts_each_line_once_and_lifts_no_ban(
    machine: Machine, deb: Path, tmp_path: Path
) -> None:
    install(machine)
    machine.until(lambda: active(machine), "the start")
    machine.run("install", "-d", "-m", "755", "/var/log/numbered")
    enforce(machine, ENFORCE + SOURCES)
    attack(machine, HE)
    machine.until(lambda: banned(machine, HE), "the ban")
    (holds,) = (
        name
        for name in machine.out("ipset", "list", "-name").split()
        if machine.run("ipset", "test", name, HE, check=False).returncode == 0
    )
    assert f"match-set {holds} " in machine.out("iptables", "-t", "raw", "-S")
    (machine.root / "root/writer.py").write_text(WRITER)
    (machine.root / "root/guard.sh").write_text(GUARD.replace("NAME", holds).replace("ADDRESS", HE))
    machine.run("systemd-run", "--unit=guard", "sh", "-c", "sh /root/guard.sh >/root/gone 2>/root/looked")
    machine.run("systemd-run", "--unit=writer", "sh", "-c", "python3 /root/writer.py >/root/written")
    machine.until(lambda: numbers(machine, "numbered"), "the first lines")

    before = shows(machine, "MainPID")
    (machine.root / "root/newer.deb").write_bytes(newer(deb, tmp_path).read_bytes())
    install(machine, "newer.deb")
    machine.until(lambda: active(machine) and shows(machine, "MainPID") != before, "the restart")
    assert machine.out("dpkg-query", "-W", "-f=${Version}", "logwarden").endswith("+1")
    (machine.root / "root/enough").touch()
    for unit in ("writer", "guard"):
        machine.until(lambda unit=unit: "inactive" in machine.run("systemctl", "is-active", unit, check=False).stdout)  # type: ignore[misc]

    written = int((machine.root / "root/written").read_text())
    assert written > 1_000, "no log was rotated meanwhile"
    every = Counter(range(1, written + 1))
    machine.until(lambda: numbers(machine, "numbered") == every, f"each of {written} lines of the file, once")
    fifth = Counter(range(5, written + 1, 5))
    machine.until(lambda: numbers(machine, "chatter") == fifth, "each line of the journal, once")
    assert (machine.root / "root/gone").read_text() == ""
    assert (machine.root / "root/looked").read_text().count("looked") > 20
    assert "no gaps" in machine.out("logwarden", "digest", "--preview")
