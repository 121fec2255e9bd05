"""Established flows of a banned prefix lose their connection-tracking entry.

A firewall that accepts ESTABLISHED before it looks into the sets would let such a flow live on. With the rule where
logwarden puts it by default, raw PREROUTING, the flow is dead anyway and only its entry is tidied away; so a failure
here is not a failure of the ban, and is not raised.
Costs nothing where no flow is tracked, or where conntrack(8) is not installed.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ..address import Ranges, host_prefix, parse, prefix
from ..errors import CommandError
from ..process import run

TRACKED = Path("/proc/sys/net/netfilter/nf_conntrack_count")
TIMEOUT = 5.0
FEW = 8
"""Up to this many prefixes it is cheaper to delete in vain than to look first which of them have flows."""


def cut(prefixes: Collection[str]) -> None:
    """Delete the flows that come from these prefixes. One conntrack process, two where there are many."""
    if not prefixes or not _any_flow():
        return
    with suppress(CommandError):
        alive = prefixes if len(prefixes) <= FEW else _with_flows(prefixes)
        if alive:
            # -R reads commands (conntrack(8), --load-file); -D alone would be one process a prefix.
            run(("conntrack", "-R", "-"), stdin="".join(f"-D -s {text}\n" for text in alive).encode(), timeout=TIMEOUT)


def _any_flow() -> bool:
    try:
        return int(TRACKED.read_text()) > 0
    except OSError:  # connection tracking is not loaded
        return False


def _with_flows(prefixes: Collection[str]) -> list[str]:
    banned = Ranges({prefix(text): text for text in prefixes})
    listed = b"".join(run(("conntrack", "-L", "-f", family), timeout=TIMEOUT) for family in ("ipv4", "ipv6"))
    sources = {word[4:] for line in listed.decode().splitlines() for word in line.split() if word.startswith("src=")}
    found = (banned.overlapping(host_prefix(parse(source))) for source in sources)
    return sorted({member[1] for member in found if member})
