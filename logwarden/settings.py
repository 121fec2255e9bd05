"""What a config says: frozen records, with a value for each setting. What it means stands in config.schema.json.

Never: reads a file, or has a default that the schema has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from . import address, firewall
from .actions import Action
from .allowlist import Allowlist
from .model import Manner, Policy
from .schedule import Schedule
from .tracker import Aggregation, Growth


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
