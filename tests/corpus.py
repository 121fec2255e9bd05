"""How the shipped attack rules fare on other people's labelled log lines: `make corpus CORPUS=DIR`.

DIR holds files of JSON lines with `source, set, line, program, attack, address, options`: whether that project takes
the line for an attack, and whose. The lines are other people's, so the folder is no part of this repository, and a
waiver names a line by its hash alone. A line whose `options.mode` is one of MODES is tried with the aggressive rules,
every other without. A line without a program is tried against the rules of every program, as `scan --program '*'` does.

Exit status: 0 where nothing is wrong but what has a waiver, 1 otherwise, 2 where there is no such folder.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from logwarden import address, matcher, rules
from logwarden.correlation import Correlation
from logwarden.header import ANY_PROGRAM
from logwarden.model import AttackRule, Batch, Outcome, Severity, Verdict

ROOT = Path(__file__).parent.parent
WAIVERS = ROOT / "tests" / "corpus-waivers.yaml"
NOW = 1_795_366_800.0
MODES = frozenset({"ddos", "extra", "aggressive", "fallback", "more"})
"""Settings of the other projects that ask for more than the usual."""
TARGET = 0.97
"""The least share of attacks that is to be recognised."""


@dataclass(frozen=True, slots=True)
class Line:
    """A labelled line. `address` is what is to be captured, an address or a host's name; None: nobody says."""

    source: str
    set: str
    text: str
    program: str
    attack: bool | None
    address: str | None
    aggressive: bool

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def read(folder: Path) -> Iterator[Line]:
    """All lines of a folder, each file in its order."""
    for file in sorted(folder.glob("*.jsonl")):
        for text in file.read_text(encoding="utf-8").splitlines():
            yield _line(json.loads(text))


def _line(label: Mapping[str, Any]) -> Line:
    mode = label["options"].get("mode") if isinstance(label["options"], dict) else None
    return Line(
        str(label["source"]),
        str(label["set"]),
        label["line"],
        label["program"] or ANY_PROGRAM,
        label["attack"],
        _normal(label["address"]),
        mode in MODES,
    )


def _normal(text: str | None) -> str | None:
    try:
        return str(address.parse(text)) if text else None
    except ValueError:
        return text


def is_name(text: str | None) -> bool:
    """Whether a label names a host and not an address: here it is enough that its name is captured."""
    try:
        return text is not None and not address.parse(text)
    except ValueError:
        return True


def verdicts(lines: Sequence[Line], aggressive: bool) -> dict[Line, Verdict]:
    """What our rules say of each line. All lines of a program are one batch: they may belong to one session."""
    ruleset = rules.load(attack=[str(ROOT / "attack.d")], aggressive=aggressive)
    made = matcher.compile(ruleset)
    found: dict[Line, Verdict] = {}
    for program in dict.fromkeys(line.program for line in lines):
        own = [line for line in lines if line.program == program]
        block = b"".join(line.text.encode("utf-8", "surrogateescape").replace(b"\n", b"#012") + b"\n" for line in own)
        batch = Batch("corpus", block, len(own), "", program)
        classified = Correlation().join(made.classify(batch, NOW, every=True), NOW, every=True)
        found.update(zip(own, classified.verdicts, strict=True))
    return found


def problem(line: Line, verdict: Verdict) -> str | None:
    """What is wrong with a verdict, in one word: missed, wrong (address), false (alarm)."""
    rule = verdict.attack_by
    ours = verdict.outcome is Outcome.ATTACK and rule is not None and rule.severity is Severity.ATTACK
    if line.attack and not ours:
        return "missed"
    if line.attack and rule and line.address and _culprit(rule, line, verdict) != line.address:
        return "wrong"
    return "false" if line.attack is False and ours else None


def _culprit(rule: AttackRule, line: Line, verdict: Verdict) -> str | None:
    """Whom the rule takes for the attacker."""
    return matcher.host(rule, verdict.event.message) if is_name(line.address) else verdict.address


def judge(lines: Sequence[Line]) -> dict[Line, tuple[str, Verdict]]:
    """The lines with whose label we do not agree, and how."""
    problems: dict[Line, tuple[str, Verdict]] = {}
    for aggressive in (False, True):
        for line, verdict in verdicts(lines, aggressive).items():  # all of them: a session may have lines of both
            if (line.aggressive and line.attack is True) is aggressive and (what := problem(line, verdict)):
                problems[line] = what, verdict
    return problems


def waivers() -> dict[str, str]:
    """Why we disagree, by the hash of a line."""
    return {each: group["why"] for group in yaml.safe_load(WAIVERS.read_text()) for each in group["lines"]}


def table(lines: Iterable[Line], problems: Mapping[Line, tuple[str, Verdict]], waived: Mapping[str, str]) -> list[str]:
    """A row for each source and set, and one for each source."""
    rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for line in lines:
        what = problems[line][0] if line in problems else ""
        count = Counter({f"{line.attack}": 1, what: 1, "waived": int(bool(what) and line.hash in waived)})
        rows[line.source, line.set] += count
        rows[line.source, "(all)"] += count
        rows["(all)", "(all)"] += count
    head = (
        f"{'source':10} {'set':24} {'attacks':>8} {'missed':>7} {'wrong':>6} {'others':>7} {'false':>6} {'waived':>7}"
    )
    return [head, *(_row(*key, count) for key, count in sorted(rows.items()) if count["True"] or count["False"])]


def _row(source: str, name: str, count: Counter[str]) -> str:
    figures = f"{count['True']:8} {count['missed']:7} {count['wrong']:6} {count['False']:7} {count['false']:6}"
    return f"{source:10} {name:24} {figures} {count['waived']:7}"


def _share(attacks: Sequence[Line], problems: Collection[Line]) -> str:
    missed = sum(line in problems for line in attacks)
    return f"{1 - missed / max(1, len(attacks)):.1%} of {len(attacks)} attacks"


def main(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0]) if arguments else Path("corpus")
    if not folder.is_dir():
        print(f"{folder}: no such folder; the labelled lines are other people's and not shipped")
        return 2
    lines = list(dict.fromkeys(read(folder)))
    problems, waived = judge(lines), waivers()
    print("\n".join(table(lines, problems, waived)))
    for line, (what, verdict) in problems.items():
        if line.hash not in waived:
            print(f"\n{what} {line.hash} {line.source}/{line.set}, by {verdict.attack_by}, {verdict.address}:")
            print(f"  expected {line.address}\n  program {verdict.event.program}\n  {line.text}")
    attacks = [line for line in lines if line.attack]
    ours = [line for line in attacks if line.hash not in waived]
    print(f"\n{_share(attacks, problems)} recognised, with the right address (target {TARGET:.0%}); ", end="")
    print(f"without those that we disagree with, {_share(ours, problems)}")
    return int(any(line.hash not in waived for line in problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
