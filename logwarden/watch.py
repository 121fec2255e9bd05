"""What a config puts in force, compiled: built whole, then swapped in, so that a bad edit never blinds the daemon.

Owns: from a Config to rules, matcher, guard, tracker, firewall and sources, each from its own registry.
Never: starts anything. Fails: with ConfigError or EdgeError, and then nothing has changed.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from . import matcher, presets, process, rules
from .address import Guard
from .allowlist import Protected
from .echo import Echoes
from .errors import CommandError, EdgeError
from .firewall import BACKENDS, Firewall, Run
from .matcher import Matcher
from .model import AttackRule, Ban, Policy, Preset, Refusal, RuleSet
from .settings import Config, JournalConfig
from .sighting import Sighting
from .sources import Source
from .sources.file import FileSource
from .sources.journal import JournalSource
from .sources.sdjournal import Selection, available
from .state import State
from .tracker import Hit, Known, Tracker
from .tracker.attempts import CAPACITY, names_user

REMEMBERED = 7 * 86400.0
"""Seconds of past bans that a new tracker hears of at least, so that bans go on growing over a restart."""

FIRST = 120.0
"""Seconds that a child may take for what a first start needs; it takes thirty. systemd waits five minutes for us."""

SYSLOG_FILES = tuple(
    f"/var/log/{name}" for name in ("syslog", "messages", "auth.log", "secure", "mail.log", "maillog", "kern.log")
)
"""What rsyslog writes by default on Debian and on Fedora."""


class Watch(NamedTuple):
    """One config in force."""

    config: Config
    rules: RuleSet
    matcher: Matcher
    guard: Guard

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """Every rule that is not in force, by the loader's word or by the matcher's."""
        return (*self.rules.refused, *self.matcher.refused)


def build(config: Config, *, lean: bool = False) -> Watch:
    """Load and compile everything that `config` names. Takes seconds where the rules are new and many.

    `lean`: what a first start needs more than another one, 40 MB which a process keeps, is a child's affair.
    Its guard knows what the config says; what was looked up is `protection`'s to add before anybody is judged.
    """
    ruleset = load_rules(config, partial(_check, config) if lean else None)
    compiled = matcher.compile(ruleset, Path(config.state) / "cache", run=process.run)
    return Watch(config, ruleset, compiled, guard(config, Protected()))


def _check(config: Config) -> None:
    """Have `logwarden check` judge and compile all rules, and keep what it finds where a start looks for it."""
    cache = Path(config.state) / "cache"
    if os.access(cache if cache.exists() else config.state, os.W_OK):
        argv = [sys.executable, "-P", "-m", __package__, "check"]
        argv += ["--config", config.file] if config.file else []
        with suppress(CommandError):  # whatever it has to say, we shall say as well
            process.run(argv, timeout=FIRST, heard=False)


def load_rules(config: Config, fill: Callable[[], object] | None = None) -> RuleSet:
    """The rules of all directories that `config` names. `fill`: see `rules.load`."""
    given = config.rules
    return rules.load(
        ignore=given.ignore,
        attack=given.attack,
        level=given.level,
        aggressive=given.aggressive,
        logcheck=config.logcheck.path if config.logcheck.rules else None,
        logcheck_level=config.logcheck.level,
        cache=str(Path(config.state) / "cache" / "judged.json"),
        fill=fill,
    )


def rule_directories(config: Config) -> tuple[str, ...]:
    """Where an edit changes what is in force."""
    return (*config.rules.ignore, *config.rules.attack, *([config.logcheck.path] if config.logcheck.rules else []))


def guard(config: Config, protected: Protected) -> Guard:
    """Who is never banned: the allowlist, and what this host cannot do without, as far as it is `protected`."""
    bans = config.bans
    return Guard(
        (*bans.allowlist.prefixes, *protected.allowed),
        protected.own,
        permit=bans.permit,
        permit_documentation=bans.permit_documentation,
        widest_ipv4=bans.widest_ipv4,
        widest_ipv6=bans.widest_ipv6,
    )


def policies(watch: Watch) -> dict[str, Policy]:
    """The policy of each attack file that has one: the config's comes before the file's own."""
    own = {rule.file: rule.policy for rule in watch.rules.attack if rule.policy}
    return {**own, **watch.config.bans.policies}


def tracker(
    watch: Watch,
    state: State,
    now: float,
    hits: Iterable[Hit] = (),
    bans: Iterable[Ban] = (),
    known: Known | None = None,
) -> Tracker:
    """A tracker that takes up where the one before it, or a former process, stood.

    `hits` and `bans` are those that the database does not know yet; `known` says who logged in lately, and from where.
    """
    default, own = watch.config.bans.default, policies(watch)
    bans_ = watch.config.bans
    made = Tracker(
        default,
        own,
        watch.guard,
        growth=bans_.growth,
        repeat=bans_.repeat,
        aggregation=bans_.aggregate,
        ipv6_length=bans_.ipv6_prefix,
        known=known,
    )
    shortest = min(policy.ban for policy in (default, *own.values()))
    repeat = bans_.repeat.window if bans_.repeat else 0.0
    remembered = max(REMEMBERED, repeat, bans_.growth.ceiling, bans_.growth.memory(shortest))
    longest = max(policy.window for policy in (default, *own.values()))
    rows = state.attacks(now - 2 * longest)
    naming = {str(rule): rule for rule in watch.rules.attack if names_user(rule)}
    made.restore(chain(_written(rows, naming), hits), chain(state.bans_since(now - remembered), bans), now)
    return made


def _written(rows: Iterable[Any], naming: Mapping[str, AttackRule]) -> Iterator[Hit]:
    """Hits of before: the latest, which somebody who logs in may take back, with the rule that names the user."""
    latest: deque[Any] = deque()
    for row in rows:
        latest.append(row)
        if len(latest) > CAPACITY:
            yield _hit(latest.popleft(), None)
    yield from (_hit(row, naming.get(row["rule"])) for row in latest)


def _hit(row: Any, rule: AttackRule | None) -> Hit:
    return Hit(row["time"], row["file"], row["address"], row["score"], row["host"], rule, row["raw"])


def firewall(config: Config, run: Run) -> Firewall:
    """The backend that the config asks for; one that does nothing where it only observes. `run` runs its commands."""
    return BACKENDS[config.bans.effective_backend](config.bans.firewall, run)


def sources(config: Config, known: Sequence[Preset] = ()) -> Sequence[Source]:
    """The sources that the config names, and those that its rules know as presets, not yet started."""
    found: list[Source] = []
    if files := presets.files(config, known):
        found.append(FileSource(files))
    if config.sources.journal:
        found.append(_journal(config.sources.journal))
    return found


def _journal(given: JournalConfig) -> JournalSource:
    # Priority 7 is all there is, and then no match: an entry may have no priority at all.
    selection = Selection(given.units, given.priority if given.priority < 7 else None)
    return JournalSource(selection, directories=given.directories)


def echoes(config: Config, shown: Iterable[Sighting]) -> Echoes | None:
    """Where several sources are read, which may show the same message: what they have `shown` lately, oldest first."""
    files, journal = config.sources.files, config.sources.journal
    ways = len(files) + any(glob.has_magic(file.path) for file in files)
    ways += max(1, len(journal.directories)) if journal else 0
    return Echoes(shown) if ways > 1 else None


def read_twice(config: Config) -> list[str]:
    """Advice where the journal is read, and beside it a file that syslogd writes of it: a sentence, or none."""
    journal, files = config.sources.journal, config.sources.files
    if journal is None or journal.directories:
        return []
    both = [path for path in SYSLOG_FILES if any(fnmatch.fnmatchcase(path, file.path) for file in files)]
    return [
        f"sources: the journal is read, and so is {path}, which syslogd usually writes of it: what is in both is "
        "reported once, but read and matched twice; one of them is enough"
        for path in both[:1]
    ]


def missing(watch: Watch) -> list[str]:
    """What the config takes for granted and is not so, a sentence each; what `Protected` needs it says itself."""
    config, files = watch.config, {rule.file for rule in watch.rules.attack}
    kinds = {"ignore": watch.rules.ignore, "attack": watch.rules.attack}
    lacks = [f"no {kind} rule is in force" for kind, found in kinds.items() if not found]
    lacks += [f"bans.policies: no attack file is called {name}" for name in config.bans.policies if name not in files]
    unknown = presets.unknown(config, watch.rules.presets)
    lacks += [f"sources.presets: no attack file in force knows a log of {name}" for name in unknown]
    if config.digest.templates and not Path(config.digest.templates).is_dir():
        lacks.append(f"digest.templates: {config.digest.templates} is no directory")
    if watch.matcher.unkept:
        lacks.append(watch.matcher.unkept)
    if config.sources.journal:
        try:
            available()
        except EdgeError as error:
            lacks.append(str(error))
    return lacks
