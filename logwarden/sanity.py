"""Values in a config file that the schema takes and nobody can mean.

Owns: the checks that a schema cannot express, each by the path of its setting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from . import actions, address, document, doors, duration, firewall
from .allowlist import Allowlist
from .document import Document
from .errors import LogwardenError
from .mailer import Smtp
from .model import Refusal
from .schedule import Schedule

SMALLEST = 16_000_000
"""Bytes that the database must at least be allowed."""


def impossible(given: Document) -> Iterator[Refusal]:
    """Values of the right type that cannot be meant."""
    for path, check in _CHECKS.items():
        for place, value in _find(given.data, path):
            try:
                check(value)
            except (ValueError, LogwardenError) as error:
                name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
                yield Refusal(given.where(place), f"{name}: {error}")
    paths: dict[str, int] = {}
    for place, value in _find(given.data, ("sources", "files", "*", "path")):
        if paths.setdefault(value, index := int(place[2])) != index:
            yield Refusal(
                given.where(place), f"sources.files[{index}].path: is the same as sources.files[{paths[value]}]"
            )


def _find(data: Any, path: document.Path, place: document.Path = ()) -> Iterator[tuple[document.Path, Any]]:
    """Each value at `path`, in which '*' stands for any key or index, and its place."""
    if not path:
        yield place, data
        return
    step, rest = path[0], path[1:]
    if step == "*":
        items = enumerate(data) if isinstance(data, list) else data.items()
        for key, value in items:
            yield from _find(value, rest, (*place, key))
    elif isinstance(data, dict) and step in data:
        yield from _find(data[step], rest, (*place, step))


def _positive(text: str) -> None:
    if duration.parse(text) <= 0:
        raise ValueError("expected more than 0")


def _positive_or_none(text: str | None) -> None:
    if text is not None:
        _positive(text)


def _regex(text: str | None) -> None:
    try:
        re.compile(text or "")
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error


def _log(item: Mapping[str, Any]) -> None:
    if "time" in item and item.get("format") != "json":
        raise ValueError("time goes with format json alone")


def _mail(mail: Mapping[str, Any]) -> None:
    """What the transport itself says of settings that go together."""
    given = {key: mail[key] for key in ("host", "tls", "user", "password_file") if key in mail}
    if mail.get("transport", "smtp") == "smtp":
        Smtp(**given)


def _bans(bans: Mapping[str, Any]) -> None:
    """nftables has chains of its own alone."""
    hook = bans.get("hook", "PREROUTING")
    if bans.get("backend") == "nftables" and hook not in ("PREROUTING", "INPUT", "none"):
        raise ValueError(f"hook: with nftables PREROUTING, INPUT or none, not {hook}")


def room(text: str) -> int:
    """`512MB` in bytes."""
    return int(text[:-2]) * {"MB": 1_000_000, "GB": 1_000_000_000}[text[-2:]]


def _room(text: str) -> None:
    if room(text) < SMALLEST:
        raise ValueError(f"expected {SMALLEST // 1_000_000}MB at least")


_CHECKS: Mapping[document.Path, Callable[[Any], object]] = {
    ("sources", "files", "*"): _log,
    ("sources", "files", "*", "continues"): _regex,
    ("bans", "window"): _positive,
    ("bans", "ban"): _positive,
    ("bans", "policies", "*", "window"): _positive,
    ("bans", "policies", "*", "ban"): _positive,
    ("bans", "allowlist", "*"): Allowlist.check,
    ("bans", "permit", "*"): address.prefix,
    ("bans", "hook"): firewall.Hook.parse,
    ("bans", "known_for"): duration.parse,
    ("bans", "growth", "ceiling"): _positive,
    ("bans", "growth", "decay"): _positive,
    ("bans", "repeat", "window"): _positive,
    ("bans", "repeat", "ban"): _positive,
    ("bans", "aggregate", "window"): _positive,
    ("bans", "aggregate", "ban"): _positive,
    ("bans", "actions", "*", "timeout"): _positive,
    ("bans", "actions", "*", "ban"): actions.check,
    ("bans", "actions", "*", "unban"): actions.check,
    ("bans",): _bans,
    ("digest", "schedule"): Schedule.parse,
    ("digest", "to", "*"): doors.check,
    ("digest", "routes", "*", "to", "*"): doors.check,
    ("digest", "routes", "*", "schedule"): Schedule.parse,
    ("digest", "jitter"): duration.parse,
    ("digest", "heartbeat"): _positive_or_none,
    ("digest", "immediate", "every"): _positive,
    ("maintenance", "*", "at"): Schedule.parse,
    ("maintenance", "*", "for"): _positive,
    ("retention", "age"): _positive,
    ("retention", "size"): _room,
    ("sources", "journal", "expect", "every"): _positive,
    ("sources", "files", "*", "expect", "every"): _positive,
    ("programs", "*", "expect", "every"): _positive,
    ("mail", "timeout"): _positive,
    ("mail", "lifetime"): _positive,
    ("mail",): _mail,
}
"""What is asked of a value that the schema has found to be of the right type."""
