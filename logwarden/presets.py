"""Which log files are read: those that the config names, and those that attack files know (presets).

A preset becomes what somebody would write under `sources.files`, with `for: attacks`. Whether it is there, and may be
read, is the source's affair.

Owns: which presets count, and the reason why another one does not. Never: looks at the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .model import Found, Manner, Preset
from .settings import Config, SourcesConfig
from .sources.file import FileSpec
from .sources.presets import covered

SYSLOG = ("/var/log/syslog", "/var/log/messages")
"""Files with the messages of all daemons."""
STDOUT = 6
"""syslog(3)'s LOG_INFO: what systemd makes of a line that a daemon prints."""


class Choice(NamedTuple):
    """A preset, and why it does not count (None: it does)."""

    preset: Preset
    why_not: str | None


def choose(sources: SourcesConfig, presets: Sequence[Preset]) -> list[Choice]:
    """Judge each preset, in the order in which they are given."""
    return list(_choices(sources, presets))


def files(config: Config, presets: Sequence[Preset]) -> list[FileSpec]:
    """All files that are read: the config's own first."""
    own = [
        FileSpec(file.path, file.program, file.continues, file.from_start, manner=file.manner)
        for file in config.sources.files
    ]
    besides = tuple(file.path for file in config.sources.files)
    counting = (preset for preset, why_not in _choices(config.sources, presets) if why_not is None)
    return own + [
        FileSpec(preset.path, preset.program, manner=Manner(alone=True, time=preset.time), besides=besides)
        for preset in counting
    ]


def report(config: Config, presets: Sequence[Preset], found: Mapping[str, Found]) -> list[dict[str, Any]]:
    """Each preset as plain data: `file`, `path`, `program`; the files `read`, those `left` out with the reason, and why
    all of it does not count, if so."""
    return [
        {
            "file": preset.file,
            "path": preset.path,
            "program": preset.program,
            "why_not": why_not,
            "read": list(result.read),
            "left": dict(result.left),
        }
        for preset, why_not in _choices(config.sources, presets)
        for result in [found.get(preset.path, Found()) if why_not is None else Found()]
    ]


def _choices(sources: SourcesConfig, presets: Sequence[Preset]) -> Iterator[Choice]:
    named: dict[str, str] = {}
    for preset in presets:
        first = named.get(preset.path)
        why_not = f"{first} has it" if first is not None else _why_not(sources, preset)
        if why_not is None:
            named[preset.path] = preset.file
        yield Choice(preset, why_not)


def _why_not(sources: SourcesConfig, preset: Preset) -> str | None:
    wanted, unwanted = sources.presets
    names = {preset.program, preset.path}
    if (wanted is not None and names.isdisjoint(wanted)) or not names.isdisjoint(unwanted):
        return "sources.presets leaves it out"
    if covered(preset.path, (file.path for file in sources.files)):
        return "sources.files names it"
    if preset.journal and _hears_all(sources):
        return "the journal or syslog has it"
    return None


def _hears_all(sources: SourcesConfig) -> bool:
    """Whether whatever a daemon prints comes through this host's own journal, or a file that syslogd writes of it."""
    journal, own = sources.journal, [file.path for file in sources.files]
    if any(covered(path, own) for path in SYSLOG):
        return True
    return journal is not None and not journal.units and not journal.directories and journal.priority >= STDOUT


def unknown(config: Config, presets: Sequence[Preset]) -> list[str]:
    """What `sources.presets` names and no attack file knows."""
    wanted, unwanted = config.sources.presets
    names = {name for preset in presets for name in (preset.program, preset.path)}
    return [name for name in (*(wanted or ()), *unwanted) if name not in names]
