"""The attack rules as a page to read: Markdown, a section a file, with programs, policy, logs, and each rule's sample.

Owns: the wording and the order. Never: reads a rule file. What a sample holds is shown as code: it is not markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from .. import duration
from ..model import AttackRule, Policy, Preset, Severity

HEAD = """\
# The attack rules

Each file of `attack.d`: whose messages it knows, when it bans, and each of its rules with the first of its samples. An
aggressive rule is in force only where the config asks for it (`rules: {aggressive: true}`); a violation is reported and
never banned; an alert too, and mailed at once; a context is neither: other rules count after it, in the same session.
A log file that is named here is read for its attacks alone where it is there, unless the config says otherwise
(`sources: {presets: false}`). Written by `make reference` from the files themselves: change those.
"""


def page(rules: Iterable[AttackRule], presets: Sequence[Preset] = ()) -> str:
    """The whole page. Rules of one file stand together in `rules`."""
    sections = [_section(file, list(found), presets) for file, found in groupby(rules, key=lambda rule: rule.file)]
    return "\n".join([HEAD, *sections])


def policy_text(policy: Policy | None) -> str:
    """`5 in 10m, for 1h`; that it is the config's where a file has none."""
    if policy is None:
        return "the config's default"
    return f"{policy.threshold} within {duration.format(policy.window)}, for {duration.format(policy.ban)}"


def remarks(rule: AttackRule) -> str:
    """What is not as usual with a rule, in a few words; empty where all is."""
    kinds = ["aggressive"] * rule.aggressive + [str(rule.severity)] * (rule.severity is not Severity.ATTACK)
    if rule.requires:
        kinds[-1] = f"after {' or '.join(rule.requires)}"
    kinds += ["once a session"] * rule.once + ["a name is looked up"] * rule.resolve
    return ", ".join([*kinds, *([f"score {rule.score}"] if rule.score != 1 else [])])


def log_text(preset: Preset) -> str:
    """A log file, and what is not as usual with it."""
    kinds = [preset.program] + [f"JSON, its time in {preset.time}"] * (preset.time is not None)
    kinds += ["only where neither the journal nor syslog is read"] * preset.journal
    return f"{preset.path} ({', '.join(kinds)})"


def _section(file: str, rules: Sequence[AttackRule], presets: Sequence[Preset]) -> str:
    programs = ", ".join(f"`{name}`" for name in rules[0].programs)
    logs = [f"Reads {log_text(each)}.\n".replace(each.path, f"`{each.path}`") for each in presets if each.file == file]
    about = f"Programs: {programs}. Bans: {policy_text(rules[0].policy)}.\n"
    return "\n".join([f"## {file}\n", about, *logs, *_lines(rules)])


def _lines(rules: Sequence[AttackRule]) -> Iterator[str]:
    for rule in rules:
        said = remarks(rule)
        yield f"- **{rule.id}**{f' ({said})' if said else ''}\n"
        yield f"      {_plain(rule.samples[0].line)}\n" if rule.samples else ""


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
