"""The config file -> a frozen Config. Each setting's name, default and meaning stand in config.schema.json.

Owns: the defaults, the checks that a schema cannot express, and the messages `file:line: path: what was expected`.
Never: looks at the machine, but for its host name, for which default sources exist, and for what is remembered of it.
Fails: with one ConfigError that lists every problem, in the order of the file.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from . import actions, address, document, doors, duration, firewall
from .actions import Action
from .allowlist import Allowlist
from .document import Document
from .errors import ConfigError, LogwardenError
from .mailer import Smtp
from .memory import Memory
from .model import Location, Manner, Policy, Refusal
from .schedule import Schedule
from .tracker import Aggregation, Growth

DEFAULT_PATH = "/etc/logwarden/logwarden.yaml"

SMALLEST = 16_000_000
"""Bytes that the database must at least be allowed."""
JOURNAL_DIRECTORIES = ("/run/log/journal", "/var/log/journal")
USUAL_FILES = ("/var/log/syslog", "/var/log/messages", "/var/log/auth.log", "/var/log/secure", "/var/log/mail.log")
"""What is read where no source is named and there is no journal: what rsyslog writes on Debian and on Fedora."""


class JournalConfig(NamedTuple):
    units: tuple[str, ...] = ()
    priority: int = 7
    directories: tuple[str, ...] = ()
    every: float | None = None


class FileConfig(NamedTuple):
    path: str
    program: str | None = None
    continues: str | None = None
    from_start: bool = False
    every: float | None = None
    manner: Manner = Manner()


class PresetsConfig(NamedTuple):
    """Which presets may be read, by programs or paths: those that are `wanted` (None: all) and not `unwanted`."""

    wanted: tuple[str, ...] | None = None
    unwanted: tuple[str, ...] = ()


class SourcesConfig(NamedTuple):
    journal: JournalConfig | None
    files: tuple[FileConfig, ...]
    presets: PresetsConfig = PresetsConfig()


class RetentionConfig(NamedTuple):
    """Seconds and bytes."""

    age: float
    size: int


class RulesConfig(NamedTuple):
    level: str
    ignore: tuple[str, ...]
    attack: tuple[str, ...]
    aggressive: bool


class LogcheckConfig(NamedTuple):
    rules: bool
    path: str
    level: str


class BansConfig(NamedTuple):
    mode: str
    backend: str
    default: Policy
    policies: Mapping[str, Policy]
    allowlist: Allowlist
    permit: tuple[address.Prefix, ...]
    permit_documentation: bool
    widest_ipv4: int
    widest_ipv6: int
    ipv6_prefix: int
    known_for: float
    growth: Growth
    repeat: Policy | None
    aggregate: Aggregation | None
    firewall: firewall.Settings
    actions: tuple[Action, ...]
    on_stop: str

    @property
    def effective_backend(self) -> str:
        """Observing is banning with a firewall that does nothing."""
        return self.backend if self.mode == "enforce" else "dry-run"


class MaintenanceConfig(NamedTuple):
    """At each time that `at` names, for `length` seconds, what hosts of the glob `host` say is set apart."""

    at: Schedule
    length: float
    title: str
    host: str


class ImmediateConfig(NamedTuple):
    """What is mailed at once: whether the first ban by an attack file, whether the lines of rules of severity ALERT,
    and the lines of which other attack rules (globs). At most one mail in `every` seconds."""

    bans: bool
    alerts: bool
    rules: tuple[str, ...]
    every: float


class RouteConfig(NamedTuple):
    """A digest of some lines alone: of hosts and programs that the globs name, and of these severities or outcomes
    (none: all)."""

    to: tuple[str, ...]
    schedule: Schedule
    host: str
    program: str
    severity: tuple[str, ...]
    format: str
    attach: bool


class DigestConfig(NamedTuple):
    schedule: Schedule
    jitter: float
    to: tuple[str, ...]
    sender: str
    heartbeat: float | None
    format: str
    attach: bool
    routes: tuple[RouteConfig, ...]
    immediate: ImmediateConfig
    subject: str | None
    templates: str | None


class MailConfig(NamedTuple):
    transport: str
    host: str
    port: int
    tls: Literal["none", "starttls", "tls"]
    user: str | None
    password_file: str | None
    sendmail: tuple[str, ...]
    timeout: float
    lifetime: float


class Config(NamedTuple):
    """Everything that the composition floor hands down. `file` is None where the defaults alone are used."""

    file: str | None
    host: str
    state: str
    socket: str
    retention: RetentionConfig
    sources: SourcesConfig
    programs: Mapping[str, float]
    """How often each of these programs is expected to say something, in seconds."""
    rules: RulesConfig
    logcheck: LogcheckConfig
    bans: BansConfig
    digest: DigestConfig
    maintenance: tuple[MaintenanceConfig, ...]
    mail: MailConfig


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
    problems = _against(rules, given, memory or Memory()) or list(_impossible(given))
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


def _impossible(given: Document) -> Iterator[Refusal]:
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


def _bytes(text: str) -> int:
    """`512MB` in bytes."""
    return int(text[:-2]) * {"MB": 1_000_000, "GB": 1_000_000_000}[text[-2:]]


def _room(text: str) -> None:
    if _bytes(text) < SMALLEST:
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
        retention=RetentionConfig(duration.parse(filled["retention"]["age"]), _bytes(filled["retention"]["size"])),
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
