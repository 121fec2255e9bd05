"""The state of the daemon as a Nagios plugin tells it: OK, WARNING or CRITICAL, and performance data.

Owns: the thresholds' meaning and the line that is printed (Monitoring Plugins Development Guidelines).
Never: asks the daemon. Fails: never.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


class Bounds(NamedTuple):
    """Above the first it is a warning, above the second critical."""

    warning: float
    critical: float

    def judge(self, value: float) -> int:
        return CRITICAL if value > self.critical else WARNING if value > self.warning else OK


def undelivered(status: Mapping[str, Any], now: float) -> tuple[int, float]:
    """How many digests no mail server has taken, without those given up, and the age of the oldest in seconds."""
    waiting = [message for message in status["outbox"] if message["given_up"] is None]
    return len(waiting), max((now - message["created"] for message in waiting), default=0.0)


def line(status: int, text: str, data: str = "") -> str:
    """What a plugin prints: one line, in which a `|` begins the performance data, and nothing moves a cursor."""
    said = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return f"LOGWARDEN {WORDS[status]} - {said.replace('|', '/')}" + (f" | {data}" if data else "")


def judge(status: Mapping[str, Any], now: float, lag: Bounds, outbox: Bounds) -> tuple[int, str, str]:
    """The exit status, what is said of it, and performance data.

    `lag` bounds how far the sources are behind, `outbox` the oldest digest's age."""
    waiting, age = undelivered(status, now)
    behind = max([*status["lag"].values(), *(each["seconds"] for each in status["unread"].values())], default=0.0)
    said = [
        (lag.judge(behind), f"{behind:.1f} s behind"),
        (outbox.judge(age), f"{waiting} digests undelivered"),
        (CRITICAL if status["uncommitted"]["why"] else OK, f"database: {status['uncommitted']['why'] or 'fine'}"),
        (WARNING if status["problems"] else OK, f"{len(status['problems'])} problems"),
    ]
    worst = max(level for level, _ in said)
    text = ", ".join(sentence for level, sentence in said if level == worst)
    lines = sum(counts["read"] for counts in status["sources"].values())
    data = [
        f"lag={behind:.1f}s;{lag.warning:g};{lag.critical:g};0",
        f"outbox={age:.0f}s;{outbox.warning:g};{outbox.critical:g};0",
        f"lines={lines}c",
        f"bans={status['bans']};;;0",
        f"queue={status['waiting']};;;0",
        f"problems={len(status['problems'])};0;;0",
    ]
    return worst, text, " ".join(data)
