"""logcheck's own rule directories, read in place as logcheck 1.4 reads them.

Owns: which of its files count, and what each directory's rules do:

- ignore.d.{paranoid,server,workstation}: hide a line; the levels add up;
- violations.d, cracking.d: raise a line, which no rule of ignore.d then hides (a violation; an attack without source);
- violations.ignore.d, cracking.ignore.d: exempt a line from files of those, by the pairing of their names; the latter
  only where logcheck.conf sets SUPPORT_CRACKING_IGNORE=1. A line that is exempt from all that raise it is hidden.
  (Of a line that is exempt from cracking.d and raised by violations.d, logcheck says nothing if it has found another
  attack in the same run. That depends on the other lines: it is reported.)

A rule is what `grep -E -f` takes it for, white space included. A line that is blank, or starts with '#', is none.
Fails: by a Refusal for each file that run-parts would skip (but for what editors leave), each that cannot be read, and
each directory that is called almost like one of these.
Source: the script logcheck 1.4.2 (cleanrules, greplogoutput), run-parts(8).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence

from ..errors import RuleError
from ..model import AttackRule, Dialect, IgnoreRule, Location, Refusal, Severity
from .access import trouble
from .directory import is_noise, read

_RUN_PARTS = re.compile(r"[A-Za-z0-9_-]+")
_CRACKING_IGNORE = re.compile(rb"""^[ \t]*(?:export[ \t]+)?SUPPORT_CRACKING_IGNORE=["']?(\w*)""", re.MULTILINE)

_DIRECTORIES = frozenset(
    (
        *(f"ignore.d.{level}" for level in ("paranoid", "server", "workstation")),
        *(f"{section}{of}.d" for section in ("violations", "cracking") for of in ("", ".ignore")),
        "logcheck.logfiles.d",
    )
)
_LIKE_ONE = re.compile(r".*(\.d\b|ignore|violation|crack).*", re.DOTALL)

_RAISING = {"cracking": Severity.ATTACK, "violations": Severity.VIOLATION}


def load(path: str, levels: Sequence[str]) -> tuple[list[IgnoreRule], list[AttackRule], list[Refusal]]:
    """The rules of `path` (/etc/logcheck) at these levels, and what of it is not in force."""
    refused: list[Refusal] = []
    try:
        os.stat(f"{path}/.")
    except OSError as error:
        why = f"cannot be read: {trouble(path, error)}" if isinstance(error, PermissionError) else "no such directory"
        return [], [], [Refusal(Location(path, 1), why)]
    refused += _strangers(path)
    ignore = [
        IgnoreRule(where, text, dialect=Dialect.GREP)
        for level in levels
        for _, where, text in _rules(f"{path}/ignore.d.{level}", refused)
    ]
    attack: list[AttackRule] = []
    for section, severity in _RAISING.items():
        raising = list(_raising(f"{path}/{section}.d", severity, refused))
        attack += raising
        if section != "cracking" or _supports_cracking_ignore(path, refused):
            ignore += _exempting(f"{path}/{section}.ignore.d", raising, refused)
    return ignore, attack, refused


def _strangers(path: str) -> Iterator[Refusal]:
    """The directories that somebody may take for some of logcheck's."""
    with contextlib.suppress(OSError):  # to enter it is enough
        for name in sorted(os.listdir(path)):
            stranger = name not in _DIRECTORIES and _LIKE_ONE.fullmatch(name) and not is_noise(name)
            if stranger and os.path.isdir(f"{path}/{name}"):
                yield Refusal(Location(f"{path}/{name}", 1), "skipped: logcheck reads no directory of this name")


def exempts(ignore_file: str, raising_file: str) -> bool:
    """Whether a file of violations.ignore.d applies to what a file of violations.d raises, by their names."""
    return (
        raising_file == "logcheck"
        or ignore_file in (raising_file, f"logcheck-{raising_file}", "local")
        or ignore_file.startswith("local-")
    )


def _raising(directory: str, severity: Severity, refused: list[Refusal]) -> Iterator[AttackRule]:
    for name, where, text in _rules(directory, refused):
        file = f"{os.path.basename(directory)}/{name}"
        yield AttackRule(where, file, str(where.line), (), text, severity=severity, dialect=Dialect.GREP)


def _exempting(directory: str, raising: Sequence[AttackRule], refused: list[Refusal]) -> Iterator[IgnoreRule]:
    files = dict.fromkeys(rule.file for rule in raising)
    lonely: dict[str, None] = {}
    for name, where, text in _rules(directory, refused):
        paired = tuple(file for file in files if exempts(name, os.path.basename(file)))
        if paired:
            yield IgnoreRule(where, text, dialect=Dialect.GREP, exempts=paired)
        else:
            lonely[where.file] = None
    raised = os.path.basename(directory).replace(".ignore", "")
    refused += [Refusal(Location(file, 1), f"skipped: pairs with no file of {raised}") for file in lonely]


def _supports_cracking_ignore(path: str, refused: list[Refusal]) -> bool:
    try:
        return _CRACKING_IGNORE.findall(read(f"{path}/logcheck.conf"))[-1:] == [
            b"1"
        ]  # a shell reads it: the last counts
    except RuleError as error:
        if os.path.exists(f"{path}/logcheck.conf"):
            refused.append(Refusal(Location(f"{path}/logcheck.conf", 1), str(error)))
        return False


def _rules(directory: str, refused: list[Refusal]) -> Iterator[tuple[str, Location, str]]:
    """The rules of a directory: the name of the file, the place and the text of each."""
    for name in _names(directory, refused):
        file = f"{directory}/{name}"
        try:
            content = read(file)
        except RuleError as error:
            refused.append(Refusal(Location(file, 1), str(error)))
            continue
        for number, line in enumerate(content.split(b"\n"), 1):
            if line.strip(b" \t\v\f\r") and not line.startswith(b"#"):
                yield name, Location(file, number), line.decode("utf-8", "surrogateescape")


def _names(directory: str, refused: list[Refusal]) -> list[str]:
    """The files that run-parts lists, in its order; the others are refused."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        refused.append(Refusal(Location(directory, 1), f"cannot be listed: {trouble(directory, error)}"))
        return []
    refused += [
        Refusal(Location(f"{directory}/{name}", 1), why) for name in names if (why := _why_not(directory, name))
    ]
    return [name for name in names if _RUN_PARTS.fullmatch(name) and not os.path.isdir(f"{directory}/{name}")]


def _why_not(directory: str, name: str) -> str | None:
    """Why run-parts skips a name, where that is worth a word."""
    if _RUN_PARTS.fullmatch(name):
        return (
            "skipped: a directory, into which logcheck does not look" if os.path.isdir(f"{directory}/{name}") else None
        )
    if is_noise(name):
        return None
    return "skipped: its name is not of letters, digits, _ and - alone, so logcheck does not read it"
