"""The config file -> a frozen Config. Each setting's name, default and meaning stand in config.schema.json.

Owns: the defaults, and the messages `file:line: path: what was expected`.
Never: looks at the machine, but for its host name, for which default sources exist, and for what is remembered of it.
Fails: with one ConfigError that lists every problem, in the order of the file.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import address, document, duration, firewall
from .actions import Action
from .allowlist import Allowlist
from .document import Document
from .errors import ConfigError
from .memory import Memory
from .model import Location, Manner, Policy, Refusal
from .sanity import impossible, room
from .schedule import Schedule
from .settings import (
    BansConfig,
    Config,
    DigestConfig,
    FileConfig,
    ImmediateConfig,
    JournalConfig,
    LogcheckConfig,
    MailConfig,
    MaintenanceConfig,
    PresetsConfig,
    RetentionConfig,
    RouteConfig,
    RulesConfig,
    SourcesConfig,
)
from .tracker import Aggregation, Growth

DEFAULT_PATH = "/etc/logwarden/logwarden.yaml"

JOURNAL_DIRECTORIES = ("/run/log/journal", "/var/log/journal")
USUAL_FILES = ("/var/log/syslog", "/var/log/messages", "/var/log/auth.log", "/var/log/secure", "/var/log/mail.log")
"""What is read where no source is named and there is no journal: what rsyslog writes on Debian and on Fedora."""


SHIPPED = "/usr/share/logwarden/"
"""Where the Debian package has what it ships."""


@functools.cache
def schema() -> Mapping[str, Any]:
    """The JSON Schema of the config file."""
    text = Path(__file__).with_name("config.schema.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return] # our own file


def load(file: str = DEFAULT_PATH, *, remember: bool = False) -> Config:
    """Read the config file. The default one may be missing: then every default holds. Raises ConfigError.

    `remember`: what the schema says of it is kept beside its state, so that the next start need not load what asks a
    schema, which takes 40 ms and 5 MB.
    """
    if file == DEFAULT_PATH and not os.path.exists(file):
        return from_document(document.parse(b"", file), file=None)
    source = document.read(file)
    memory = Memory(_beside_state(source.data) if remember else None)
    found = from_document(source, file=file, memory=memory)
    memory.save()
    return found


def _beside_state(data: Any) -> str | None:
    """Where it is kept what is known of a config that nobody has judged yet; None: it names no place."""
    if data is not None and not isinstance(data, dict):
        return None
    state = (data or {}).get("state", schema()["properties"]["state"]["default"])
    return os.path.join(state, "cache", "config.json") if isinstance(state, str) else None


def from_document(source: Document, *, file: str | None, memory: Memory | None = None) -> Config:
    """Check `source` and fill in the defaults. Raises ConfigError with every problem, a line each."""
    rules = schema()
    given = source if source.data is not None else source._replace(data={})
    problems = _against(rules, given, memory or Memory()) or list(impossible(given))
    if problems:
        raise ConfigError("\n".join(map(str, problems)))
    return _config(_filled(rules, given.data), given.data, file)


def _against(rules: Mapping[str, Any], given: Document, memory: Memory) -> list[Refusal]:
    """In what a file departs from the schema, now or when it was asked last."""

    def ask() -> list[tuple[int, str]]:
        return [(problem.where.line, problem.why) for problem in given.problems(rules)]

    return [Refusal(Location(given.file, line), why) for line, why in memory.recall("config", given.digest, ask)]


def _filled(schema: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with the schema's defaults for each key that it leaves out, at every depth."""
    filled = dict(given)
    for key, rule in schema.get("properties", {}).items():
        if rule.get("type") == "object" and "properties" in rule:
            filled[key] = _filled(rule, given.get(key) or {})
        elif key not in given and "default" in rule:
            filled[key] = rule["default"]
    return filled


def _installed(directory: str) -> str:
    """A directory of shipped rules where this installation has it: pip and pipx have a prefix of their own."""
    ours = os.path.join(sys.prefix, os.path.relpath(directory, "/usr"))
    return ours if directory.startswith(SHIPPED) and os.path.isdir(ours) else directory


def _config(filled: Mapping[str, Any], given: Mapping[str, Any], file: str | None) -> Config:
    host = filled["host"] or socket.gethostname()
    bans, digest, mail, rules = filled["bans"], filled["digest"], filled["mail"], filled["rules"]
    return Config(
        file=file,
        host=host,
        state=filled["state"],
        socket=filled["socket"],
        retention=RetentionConfig(duration.parse(filled["retention"]["age"]), room(filled["retention"]["size"])),
        sources=_sources(filled["sources"], named="sources" in given and given["sources"].keys() != {"presets"}),
        programs={name: duration.parse(known["expect"]["every"]) for name, known in filled["programs"].items()},
        rules=RulesConfig(
            rules["level"],
            tuple(map(_installed, rules["ignore"])),
            tuple(map(_installed, rules["attack"])),
            rules["aggressive"],
        ),
        logcheck=LogcheckConfig(**filled["logcheck"]),
        bans=BansConfig(
            mode=bans["mode"],
            backend=bans["backend"],
            default=_policy(bans),
            policies={name: _policy(policy) for name, policy in bans["policies"].items()},
            allowlist=Allowlist.sorted(bans["allowlist"]),
            permit=tuple(map(address.prefix, bans["permit"])),
            permit_documentation=bans["permit_documentation"],
            widest_ipv4=bans["widest_ipv4"],
            widest_ipv6=bans["widest_ipv6"],
            ipv6_prefix=bans["ipv6_prefix"],
            known_for=duration.parse(bans["known_for"]),
            growth=_growth(bans["growth"]),
            repeat=_policy(bans["repeat"]) if bans["repeat"] else None,
            aggregate=_aggregation(bans["aggregate"]) if bans["aggregate"] else None,
            firewall=firewall.Settings(firewall.Hook.parse(bans["hook"]), bans["set_size"], bans["cut"]),
            actions=tuple(map(_action, bans["actions"])),
            on_stop=bans["on_stop"],
        ),
        digest=DigestConfig(
            schedule=Schedule.parse(digest["schedule"]),
            jitter=duration.parse(digest["jitter"]),
            to=tuple(digest["to"]),
            sender=digest["from"] or f"logwarden@{host}",
            heartbeat=duration.parse(digest["heartbeat"]) if digest["heartbeat"] else None,
            format=digest["format"],
            attach=digest["attach"],
            routes=tuple(_route(each, digest) for each in digest["routes"]),
            immediate=_immediate(digest["immediate"]),
            subject=digest["subject"],
            templates=digest["templates"],
        ),
        maintenance=tuple(map(_maintenance, filled["maintenance"])),
        mail=MailConfig(
            **{
                **mail,
                "sendmail": tuple(mail["sendmail"]),
                "timeout": duration.parse(mail["timeout"]),
                "lifetime": duration.parse(mail["lifetime"]),
            }
        ),
    )


def _policy(given: Mapping[str, Any]) -> Policy:
    return Policy(given["threshold"], duration.parse(given["window"]), duration.parse(given["ban"]))


def _maintenance(given: Mapping[str, Any]) -> MaintenanceConfig:
    length = duration.parse(given["for"])
    return MaintenanceConfig(
        Schedule.parse(given["at"]), length, given.get("title", "maintenance"), given.get("host", "*")
    )


def _route(given: Mapping[str, Any], digest: Mapping[str, Any]) -> RouteConfig:
    return RouteConfig(
        to=tuple(given["to"]),
        schedule=Schedule.parse(given.get("schedule", digest["schedule"])),
        host=given.get("host", "*"),
        program=given.get("program", "*"),
        severity=tuple(given.get("severity", ())),
        format=given.get("format", digest["format"]),
        attach=given.get("attach", digest["attach"]),
    )


def _immediate(given: Mapping[str, Any]) -> ImmediateConfig:
    return ImmediateConfig(given["bans"], given["alerts"], tuple(given["rules"]), duration.parse(given["every"]))


def _growth(given: Mapping[str, Any]) -> Growth:
    return Growth(float(given["factor"]), duration.parse(given["ceiling"]), duration.parse(given["decay"]))


def _aggregation(given: Mapping[str, Any]) -> Aggregation:
    policy = _policy(given)
    lengths = given.get("ipv4_prefix", 24), given.get("ipv6_prefix", 48)
    return Aggregation(policy.threshold, policy.window, policy.ban, *lengths, given.get("cap", 256))


def _action(given: Mapping[str, Any]) -> Action:
    ban, unban = (tuple(given.get(key, ())) for key in ("ban", "unban"))
    timeout = duration.parse(given.get("timeout", "10s"))
    return Action(ban, unban, timeout, given.get("retries", 2), given.get("at_once", 2))


def _sources(filled: Mapping[str, Any], *, named: bool) -> SourcesConfig:
    presets = _presets(filled["presets"])
    if not named:
        if any(map(os.path.isdir, JOURNAL_DIRECTORIES)) and importlib.util.find_spec("systemd"):
            return SourcesConfig(JournalConfig(), (), presets)
        return SourcesConfig(None, tuple(FileConfig(path) for path in USUAL_FILES), presets)
    files = tuple(map(_file, filled["files"]))
    journal = filled["journal"]
    if isinstance(journal, bool):
        return SourcesConfig(JournalConfig() if journal else None, files, presets)
    units, directories = tuple(journal.get("units", ())), tuple(journal.get("directories", ()))
    journal = JournalConfig(units, journal.get("priority", 7), directories, _every(journal))
    return SourcesConfig(journal, files, presets)


def _file(item: Mapping[str, Any]) -> FileConfig:
    given = {key: item[key] for key in ("path", "program", "continues", "from_start") if key in item}
    time = item.get("time", "time") if item.get("format") == "json" else None
    return FileConfig(**given, every=_every(item), manner=Manner(item.get("for") == "attacks", time))


def _presets(given: bool | Sequence[str] | Mapping[str, Sequence[str]]) -> PresetsConfig:
    if isinstance(given, bool):
        return PresetsConfig(None if given else ())
    return PresetsConfig(None, tuple(given["except"])) if isinstance(given, Mapping) else PresetsConfig(tuple(given))


def _every(item: Mapping[str, Any]) -> float | None:
    expect = item.get("expect")
    return duration.parse(expect["every"]) if expect else None
