"""What was captured, kept for the quick tests: a line of each shape, with names and addresses of documentation.

The machine has no others but the kernel's release, link-local addresses and Docker's network: these are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

KEPT = Path(__file__).resolve().parent.parent / "captured"
_REPLACED = (
    (re.compile(r"fe80::[0-9a-f:]+"), "fe80::1"),
    (re.compile(r"\b172\.(1[6-9]|2\d|3[01])\.\d+\.\d+"), "192.0.2.33"),
    (re.compile(r"\b[56]\.\d+\.\d+-[\w.+-]+"), "6.1.0-28-amd64"),
    (re.compile(r"\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b"), "02:00:00:00:00:01"),
)
_VARIES = re.compile(r"[0-9a-f]{6,}|\d+|<[^<>\s]*>|\b[0-9A-Za-z+/]{20,}\b")


def keep(name: str, lines: Iterable[str]) -> None:
    """Write the first line of each shape to tests/captured/NAME."""
    shapes = {_VARIES.sub("0", line.partition(" mail ")[2]): line for line in reversed(list(lines))}
    KEPT.mkdir(exist_ok=True)
    (KEPT / name).write_text("".join(f"{scrub(line)}\n" for line in sorted(shapes.values())))


def scrub(line: str) -> str:
    """A line without what belongs to the machine that it was captured on."""
    for pattern, instead in _REPLACED:
        line = pattern.sub(instead, line)
    return line
