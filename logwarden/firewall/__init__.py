"""The kernel's sets of banned prefixes: one small Protocol, and a backend for each way to drop packets.

A new backend is a module beside these that satisfies `Firewall`, a name in BACKENDS, and a line in the contract test
that all of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .breaker import Breaker
from .counters import Counters
from .dryrun import DryRun
from .ipset import Ipset
from .nftables import Nftables
from .protocol import Firewall, Hook, Run, Settings, command
from .reconcile import Repairs, reconcile

__all__ = ["BACKENDS", "Breaker", "Counters", "Firewall", "Hook", "Repairs", "Run", "Settings", "command", "reconcile"]

BACKENDS: Mapping[str, Callable[..., Firewall]] = {
    "ipset": Ipset,
    "nftables": Nftables,
    "dry-run": DryRun,
}
"""What makes each backend, of its `Settings` and of what runs its commands, or of nothing."""
