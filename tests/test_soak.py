"""The installed service under steady load: 5,000 lines and 50 bans a second, rotations, reloads; and it does not grow.

Half a minute; `make soak` lets it go on for thirty (SOAK=1800). The first third is a warm-up: every address is known
after a minute of it, digests have been made, and the first rotated file and the view that digests are made of are
open. Then the median of the last third is held against that of the second.
"""

from __future__ import annotations

import json
import os
from statistics import median
from typing import NamedTuple

import pytest
from booted import Machine
from installed import CONFIG, SERVICE, active, install, shows

pytestmark = [pytest.mark.root, pytest.mark.slow]

SECONDS = float(os.environ.get("SOAK", "30"))
GROWTH = 1.05 if SECONDS >= 600 else 1.15
"""How much larger memory may be in the last third than in the second. In half a minute it is not warm yet."""
LOG = "/var/log/soak/app.log"
CONFIGURED = f"""
sources: {{files: [{{path: {LOG}, from_start: true}}]}}
bans:
  permit: [10.0.0.0/8]
  policies: {{soak.yaml: {{threshold: 1, window: 20s, ban: 20s}}}}
  growth: {{factor: 1, ceiling: 1h, decay: 1m}}
  repeat: null
digest: {{schedule: '*:*:15', to: [/var/lib/logwarden/digests.txt]}}
"""
RULE = """
program: soak
rules:
  - id: soak-denied
    match: 'denied <ADDR>'
    samples: [{line: 'denied 203.0.113.9', address: 203.0.113.9}]
    near_misses: ['denied']
"""
LOAD = """
import datetime, os, sys, time
path, seconds = sys.argv[1], float(sys.argv[2])
written = banned = 0
log, start, rotation = open(path, "a"), time.monotonic(), 1
while (spent := time.monotonic() - start) < seconds:
    now, lines = datetime.datetime.now().astimezone().isoformat(), []
    while written < spent * 5000:
        written += 1
        text = "CRON[1]: pam_unix(cron:session): session closed for user root"
        if written % 100 == 0:  # 50 a second, and each comes back after a minute
            banned += 1
            text = f"soak[1]: denied 10.0.{banned % 3000 // 250}.{banned % 250}"
        elif written % 1001 == 0:
            text = f"oddity[1]: number {written} is odd"
        lines.append(f"{now} host {text}\\n")
    log.write("".join(lines))
    log.flush()
    if spent > rotation * 10:
        rotation += 1
        os.rename(path, path + ".1")
        log.close()
        log = open(path, "a")
    time.sleep(0.02)
log.close()
print(written)
"""


class Sample(NamedTuple):
    """The daemon at one moment: bytes of memory, open files, seconds behind."""

    rss: float
    files: float
    lag: float


def sample(machine: Machine) -> Sample:
    found = json.loads(machine.out("logwarden", "status", "--json"))
    files = machine.out("ls", f"/proc/{shows(machine, 'MainPID')}/fd").split()
    behind = [*found["lag"].values(), *(each["seconds"] for each in found["unread"].values())]
    return Sample(found["rss"], len(files), max(behind, default=0.0))


def accounted(machine: Machine) -> int:
    """How many lines of the log have been read: not those that exim4 writes to its own when half an hour is over."""
    found = json.loads(machine.out("logwarden", "status", "--json"))["sources"]
    return int(found.get(f"file:{LOG}", {"read": 0})["read"])


def growth(values: list[float]) -> float:
    """The median of the last third, over that of the second."""
    third = len(values) // 3
    return median(values[-third:]) / max(median(values[third : 2 * third]), 1e-9)


def test_under_steady_load_neither_memory_nor_open_files_nor_lag_grow(machine: Machine) -> None:
    install(machine)
    (machine.root / "etc/logwarden/attack.d/soak.yaml").write_text(RULE)
    (machine.root / CONFIG).write_text(CONFIGURED)
    (machine.root / "root/load.py").write_text(LOAD)
    machine.run("install", "-d", "/var/log/soak")
    machine.run("install", "-m", "644", "/dev/null", LOG)
    machine.run("systemctl", "restart", SERVICE, timeout=300)
    machine.until(lambda: active(machine), "the start")

    command = f"python3 /root/load.py {LOG} {SECONDS} >/root/written"
    machine.run("systemd-run", "--unit=load", "sh", "-c", command)
    samples: list[Sample] = []
    while machine.run("systemctl", "is-active", "load", check=False).stdout.strip() == "active":
        samples.append(sample(machine))
        if len(samples) % 5 == 0:
            machine.run("systemctl", "reload", SERVICE)
        machine.run("sleep", str(max(1.0, SECONDS / 180)))

    written = int((machine.root / "root/written").read_text())
    assert written >= SECONDS * 4_900, "the load was not what it should be"
    machine.until(lambda: accounted(machine) >= written, f"{written} lines, each counted")
    metrics = machine.out("logwarden", "metrics").splitlines()
    made = next(float(line.split()[1]) for line in metrics if line.startswith("logwarden_bans_made_total "))
    rss, files, lag = (list(values) for values in zip(*samples, strict=True))
    print(f"{written} lines, {made:.0f} bans; RSS x{growth(rss):.3f}; {rss=}; {files=}; {lag=}")
    assert accounted(machine) == written, "each once"
    assert made >= SECONDS * 45
    assert growth(rss) < GROWTH
    assert growth(files) <= (1.0 if SECONDS >= 600 else 1.1)
    assert max(files) <= median(files) + 3
    assert median(lag[-len(lag) // 3 :]) < 2.0
    assert shows(machine, "NRestarts") == "0"
