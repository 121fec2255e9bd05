"""From the line in the log to the kernel's set: the whole daemon, and fail2ban's server, in one run, on one machine.

Owns: a namespace each, a log each, the same lines: five failed logins an address. An address counts as banned when
the kernel says so, which is asked by netlink each half millisecond, as `ipset test` does it.
The addresses are 10.0.0.0/8 and 198.18.0.0/15, which no wire leads to.
"""

from __future__ import annotations

import math
import os
import random
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from logwarden.firewall import entries, netlink
from logwarden.firewall.netlink import attribute
from logwarden.model import Ban
from logwarden.state import State

from ..demo.stage import daemon
from ..namespaces import namespaces
from . import peers

ROOT = Path(__file__).resolve().parents[2]
SINGLE, THEIR_SINGLE, BURST = 300, 20, 2_000
FLOOD, MINUTE = 1_000_000, 60.0
GAP = 0.02
BURSTS, BURST_PAUSE = 9, 0.005
PATIENCE = 120.0
IPSET_CMD_TEST = 0x60B

console = Console(highlight=False)


def address(number: int, first: str = "198.18") -> str:
    return f"{first}.{number >> 8 & 255}.{number & 255}"


def lines(addresses: list[str], times: int = 5) -> str:
    stamp = datetime.now(UTC).isoformat()
    each = "{} web1 sshd[9]: Failed password for root from {} port 4242 ssh2\n"
    return "".join(each.format(stamp, text) for text in addresses for _ in range(times))


def write(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def said(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def held(name: str) -> int:
    count = said("ipset", "list", "-terse", name).partition("Number of entries: ")[2].split()
    return int(count[0]) if count else 0


def until(done: Callable[[], bool], begun: float, pause: float = 0.0005) -> float:
    """Seconds since `begun` until it is so; infinite where it is not within PATIENCE."""
    while not done():
        if time.perf_counter() - begun > PATIENCE:
            return float("inf")
        time.sleep(pause)
    return time.perf_counter() - begun


def is_banned(name: str, text: str) -> bool:
    entry = attribute(1, b"\x07") + attribute(2, name.encode() + b"\0") + entries._FAMILIES[4].data(text, None)
    with netlink.connect() as kernel:
        netlink.send(kernel, IPSET_CMD_TEST, netlink.ACK, socket.AF_INET, entry)
        return netlink.acknowledged(kernel) == 0


def singles(log: Path, name: str, count: int) -> list[float]:
    """Seconds from write to ban, of one attacker after the other, sorted. They come when they like, and not just when
    the one before is banned: that would meet whoever rests between two looks at his rest, each time."""
    found, chance = [], random.Random(count)
    for number in range(count):
        text = address(number)
        time.sleep(chance.uniform(0, GAP))
        begun = time.perf_counter()
        write(log, lines([text]))
        found.append(until(lambda text=text: is_banned(name, text), begun))  # type: ignore[misc]
    return sorted(found)


def burst(log: Path, name: str, nth: int = 0) -> float:
    """Seconds until all are banned: from when the last of them is, they are counted. To count them takes a process, and
    one after the other would have a core and the kernel's lock of the sets for themselves; so would he who asks for
    the last one all the time, where a hundredth of what it takes is as exact as it need be."""
    before, all_of_them = held(name), [address(nth * BURST + number, "198.19") for number in range(BURST)]
    text = lines(all_of_them)
    begun = time.perf_counter()
    write(log, text)
    until(lambda: is_banned(name, all_of_them[-1]), begun, BURST_PAUSE)
    return until(lambda: held(name) >= before + BURST, begun)


def bursts(log: Path, name: str) -> list[float]:
    """Seconds for each of BURSTS, one after the other, and a rest between two."""
    found = []
    for nth in range(BURSTS):
        found.append(burst(log, name, nth))
        time.sleep(1)
    return found


# --- ours ---------------------------------------------------------------------------------------------------


def settings(place: Path, log: Path) -> Path:
    file = place / "logwarden.yaml"
    file.write_text(f"""
state: {place}/state
socket: {place}/control.sock
sources: {{files: [{{path: {log}}}]}}
rules: {{ignore: [{ROOT}/ignore.d], attack: [{ROOT}/attack.d]}}
bans: {{policies: {{sshd.yaml: {{threshold: 5, window: 10m, ban: 1h}}}}, permit: [10.0.0.0/8, 198.18.0.0/15]}}
digest: {{schedule: yearly}}
mail: {{transport: stdout}}
""")
    return file


def restart(config: Path, place: Path, count: int) -> float:
    """Seconds from the start of the process until so many bans, which state has, are in an empty kernel."""
    now = time.time()
    state = State(str(place / "state"))
    with state.transaction() as tx:
        period = tx.open_period(now)
        for n in range(count):
            tx.add_ban(period, Ban(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32", now, now + 7200, "sshd.yaml", "bench"))
    state.close()
    said("iptables", "-t", "raw", "-F")
    said("ipset", "flush")
    last = f"10.{count - 1 >> 16}.{count - 1 >> 8 & 255}.{count - 1 & 255}"
    begun = time.perf_counter()

    def all_there() -> bool:
        return is_banned("logwarden4", last) and held("logwarden4") >= count  # to count takes a process

    with ThreadPoolExecutor(1) as pool:  # they are in force before the daemon is ready
        there = pool.submit(until, all_there, begun, 0.02)
        with daemon(config):
            return there.result()


def flood(process: subprocess.Popen[bytes], log: Path, database: Path) -> tuple[float, float, float]:
    """A million addresses in a minute, and an honest line each second: peak MB, seconds that took, worst delay."""
    begun, written, delays, seen = time.perf_counter(), 0, [0.0], 0
    waiting: dict[str, float] = {}
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        while written < FLOOD or (waiting and time.perf_counter() - begun < MINUTE + PATIENCE):
            due = min(FLOOD, int((time.perf_counter() - begun) / MINUTE * FLOOD))
            chunk = [f"10.{128 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in range(written, due)]
            text, written, second = lines(chunk, 1), due, int(time.perf_counter() - begun)
            if written < FLOOD and f"honest {second}" not in waiting and second > len(delays) + len(waiting) - 1:
                text += f"{datetime.now(UTC).isoformat()} web1 app[1]: honest {second}\n"
                waiting[f"honest {second}"] = time.perf_counter()
            write(log, text)
            for number, message in db.execute("SELECT id, message FROM entry WHERE id > ? ORDER BY id", [seen]):
                seen = number
                if message in waiting:
                    delays.append(time.perf_counter() - waiting.pop(message))
            time.sleep(0.02)
    peak = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line)
    late = max([*delays, *(time.perf_counter() - since for since in waiting.values())])
    return int(peak.split()[1]) / 1024, time.perf_counter() - begun, late


def ours(place: Path, bans: int) -> tuple[list[float], list[float], float, tuple[float, float, float]]:
    log = place / "auth.log"
    log.touch()
    config = settings(place, log)
    with daemon(config):
        alone, many = singles(log, "logwarden4", SINGLE), bursts(log, "logwarden4")
    again = restart(config, place, bans)
    (place / "state" / "state.db").unlink()  # and with it the 100,000 bans; the compiled rules stay
    (place / "state" / "lock").unlink()
    said("ipset", "flush")
    with daemon(config) as process:
        return alone, many, again, flood(process, log, place / "state" / "state.db")


# --- theirs -------------------------------------------------------------------------------------------------


@contextmanager
def server(argv: list[str], place: Path) -> Iterator[None]:
    output = (place / "fail2ban.out").open("ab")
    with output, subprocess.Popen(argv, stdout=output, stderr=output) as process:
        try:
            until((place / "f2b.sock").exists, time.perf_counter())
            yield
        finally:
            process.terminate()


def theirs(place: Path) -> tuple[list[float], float, float] | None:
    log = place / "auth.log"
    log.touch()
    argv = peers.fail2ban_server(place, log)
    if argv is None:
        return None
    with server(argv, place):
        until(lambda: "Jail 'sshd' started" in (place / "fail2ban.log").read_text(), time.perf_counter())
        alone, many = singles(log, "f2b-sshd", THEIR_SINGLE), burst(log, "f2b-sshd")
        count = held("f2b-sshd")
    begun = time.perf_counter()
    with server(argv, place):
        return alone, many, until(lambda: held("f2b-sshd") >= count, begun)


def main(bans: int = 100_000) -> None:
    with tempfile.TemporaryDirectory(prefix="logwarden-bench-") as place:  # fetched where there is a network
        peers.fail2ban_server(Path(place), Path(place, "log"))
    with tempfile.TemporaryDirectory(prefix="logwarden-bench-") as place, namespaces(2) as (here, there):
        for name in ("ours", "theirs"):
            Path(place, name).mkdir()
        with there.inside():
            peer = theirs(Path(place, "theirs"))
        with here.inside():
            alone, many, again, (peak, took, late) = ours(Path(place, "ours"), bans)
    table = Table("", "p50", "p99", f"{BURST:,} at once", "restart", box=None)
    if peer:
        row = [peer[0][len(peer[0]) // 2], max(peer[0]), *peer[1:]]
        table.add_row("fail2ban (p99: worst of 20)", *(f"{each:.3f} s" for each in row[:3]), f"{row[3]:.2f} s, 2,020")
    row = [statistics.median(alone), alone[math.ceil(SINGLE * 0.99) - 1], statistics.median(many)]
    table.add_row("logwarden", *(f"{each:.4f} s" for each in row), f"{again:.2f} s, {bans:,}")
    console.print(table)
    if peer:
        console.print(f"median, times better: {statistics.median(peer[0]) / row[0]:.0f}")
    console.print(f"{BURST:,} at once, {BURSTS} times: {' '.join(f'{each:.2f}' for each in sorted(many))} s")
    console.print(
        f"{FLOOD:,} attackers in {took:.0f} s: at most {peak:.0f} MB; an honest line {late:.2f} s late at worst"
    )
    console.print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
