"""The text of an ignore file -> its IgnoreRules.

    # a comment
    programs: regex        for the whole message of these programs (names or globs, separated by commas)
    ^regex                 a logcheck rule: searched in the whole line
    priority: err          the one rule that follows may hide errors of the journal; or `crit`, `alert`, `emerg`, to
                           hide worse. All other rules hide nothing that the journal calls an error

White space at either end of a line is no part of the rule: an editor leaves it, and no one sees it. A rule that
ends in a blank writes it `[ ]`.
Fails: by a Refusal for each line that is no rule; the others stay in force. Whether a rule's regex is any good is
the audit's affair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import RuleError
from ..model import IgnoreRule, Location, Refusal

PROGRAM = r"[A-Za-z0-9._/@+()*?\[\]!-]+"
"""A program's name, or a glob of names: RFC 3164 tags, and what systemd and postfix make of them."""

_NATIVE = re.compile(rf"({PROGRAM}(?:[ \t]*,[ \t]*{PROGRAM})*)[ \t]*:[ \t]+(.+)")
_PRIORITY = re.compile(r"priority[ \t]*:[ \t]*(.*)")
_WORST = {"emerg": 0, "alert": 1, "crit": 2, "err": 3}
_BOM = b"\xef\xbb\xbf"


def parse(content: bytes, file: str) -> tuple[list[IgnoreRule], list[Refusal]]:
    """The rules of a file, and its lines that are none."""
    rules: list[IgnoreRule] = []
    refused: list[Refusal] = []
    worst: tuple[Location, int] | None = None
    for number, line in _lines(content):
        where = Location(file, number)
        try:
            if (priority := _priority(line)) is not None:
                refused += _idle(worst)
                worst = where, priority
                continue
            rule = _rule(line, where)
            rules.append(rule._replace(worst=worst[1]) if worst else rule)
        except RuleError as error:
            refused.append(Refusal(where, str(error)))
        worst = None
    return rules, _together([*refused, *_idle(worst)])


def _priority(line: bytes) -> int | None:
    """What a line says that the next rule may hide; None: it is no such line."""
    found = _PRIORITY.fullmatch(line.strip(b" \t\r").decode("utf-8", "replace"))
    if found is None:
        return None
    if found[1] not in _WORST:
        raise RuleError(f"priority is one of {', '.join(reversed(_WORST))}, not {found[1] or 'nothing'}")
    return _WORST[found[1]]


def _idle(worst: tuple[Location, int] | None) -> list[Refusal]:
    return [Refusal(worst[0], "no rule follows that this priority is for")] if worst else []


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are neither blank nor a comment, numbered from 1."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip() and not line.lstrip().startswith(b"#"):
            yield number, line


def _rule(line: bytes, where: Location) -> IgnoreRule:
    if line.startswith(_BOM):
        raise RuleError("starts with a byte order mark: save the file as UTF-8 without one")
    if line.endswith(b"\r"):
        raise RuleError(_CRLF)
    try:
        text = line.strip(b" \t").decode()
    except UnicodeDecodeError as error:
        raise RuleError(f"is not UTF-8: byte 0x{line.strip()[error.start]:02x}") from error
    if text.startswith("^"):
        return IgnoreRule(where, text)
    if not (found := _NATIVE.fullmatch(text)):
        raise RuleError("is neither `programs: regex` nor a logcheck rule, which starts with ^")
    return IgnoreRule(where, found[2], tuple(dict.fromkeys(re.split(r"[ \t]*,[ \t]*", found[1]))))


_CRLF = "ends in CR LF: save the file with Unix line ends"


def _together(refused: list[Refusal]) -> list[Refusal]:
    """One Refusal for all lines that end in CR LF: they are one mistake."""
    crlf = [refusal for refusal in refused if refusal.why == _CRLF]
    if len(crlf) < 2:
        return refused
    first = Refusal(crlf[0].where, f"{_CRLF} (and {len(crlf) - 1} more lines)")
    return sorted([first, *(each for each in refused if each.why != _CRLF)], key=lambda refusal: refusal.where.line)
