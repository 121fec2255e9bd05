"""How fast bans are in the kernel's hands, on this machine: `sudo python -m tests.bench.bans [--bans N] [BACKEND ...]`.

Owns: a network namespace of its own, which ends with it; each backend in turn. The time is all of `apply`, the process
that it starts included. Restart is a reconcile into an empty kernel, as after a reboot, and one into a kernel that kept
its bans; the tracker's share of a restart is counted apart. Then the whole daemon beside fail2ban (`live.py`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from logwarden.firewall import BACKENDS, reconcile
from logwarden.model import Ban, Policy
from logwarden.tracker import Tracker

from ..namespaces import namespaces
from . import live

SINGLE = 200
BURST = 2_000


def bans(count: int, first: int, now: float) -> list[Ban]:
    """Bans of different addresses, from `first`.0.0.1 on."""
    return [
        Ban(f"{first + (n >> 16)}.{n >> 8 & 255}.{n & 255}.1/32", now, now + 3600, "sshd.yaml", "")
        for n in range(count)
    ]


def seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def measured(name: str, count: int) -> list[str]:
    """The row of one backend: one ban p50, p99; a burst; a restart without and with the bans in the kernel."""
    backend = BACKENDS[name]()
    backend.init()
    now = time.time()
    single = sorted(seconds(lambda ban=ban: backend.apply([ban], now)) for ban in bans(SINGLE, 20, now))  # type: ignore[misc]
    burst = seconds(lambda: backend.apply(bans(BURST, 30, now), now))
    backend.fini()
    kept = bans(count, 40, now)
    empty = seconds(lambda: reconcile(backend, kept, time.time()))
    full = seconds(lambda: reconcile(backend, kept, time.time()))
    backend.fini()
    milliseconds = [single[SINGLE // 2], single[SINGLE * 99 // 100], burst]
    return [name, *(f"{each * 1e3:.1f} ms" for each in milliseconds), f"{empty:.2f} s", f"{full:.2f} s"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bans", type=int, default=100_000)
    parser.add_argument("--no-live", action="store_true", help="leave out the whole daemon beside fail2ban")
    parser.add_argument("--only-live", action="store_true", help="the whole daemon beside fail2ban alone")
    parser.add_argument("backends", nargs="*", default=["ipset", "nftables"])
    given = parser.parse_args()
    if given.only_live:
        live.main(given.bans)
        return
    table = Table("backend", "one ban p50", "p99", f"{BURST:,} at once", f"{given.bans:,} anew", f"{given.bans:,} kept")
    with namespaces(1) as (here,), here.inside():
        for name in given.backends:
            table.add_row(*measured(name, given.bans))
    Console().print(table)
    tracker, past = Tracker(Policy(5, 600, 3600)), bans(given.bans, 40, time.time())
    if not given.no_live:
        live.main(given.bans)
    Console().print(f"tracker: {given.bans:,} bans taken up in {seconds(lambda: tracker.restore((), past)):.2f} s")


if __name__ == "__main__":
    main()
