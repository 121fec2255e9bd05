"""What real machines said, kept: the hour in which nothing happened is quiet, and what was broken is seen.

`make quiet` captured these lines from Debian 12's own packages, and writes them anew; a line of each shape is kept.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_rules_shipped import DOCUMENTATION, portable

from logwarden.model import Batch, Outcome, Verdict

pytestmark = pytest.mark.slow

CAPTURED = Path(__file__).parent / "captured"
NOW = 1_795_540_000.0


def verdicts(name: str) -> tuple[Verdict, ...]:
    text = (CAPTURED / name).read_bytes()
    return portable().classify(Batch("journal", text, text.count(b"\n"), ""), NOW, every=True).verdicts


def test_an_hour_in_which_nothing_happened_is_quiet() -> None:
    assert [each.event.raw for each in verdicts("hour") if each.outcome is not Outcome.IGNORED] == []


def test_an_hour_has_at_least_twenty_five_services_in_it() -> None:
    programs = {each.event.program for each in verdicts("hour")}
    assert len({(program or "").partition("/")[0] for program in programs}) > 40


def test_each_fault_is_reported() -> None:
    found = verdicts("faults")
    assert [each.event.raw for each in found if not each.reported] == []
    assert len(found) >= 40


def test_what_is_kept_has_no_address_but_those_of_documentation() -> None:
    text = "".join((CAPTURED / name).read_text() for name in ("hour", "faults"))
    found = set(re.findall(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w.])", text))
    allowed = [str(net).rpartition(".")[0] + "." for net in DOCUMENTATION if net.version == 4] + [
        "127.0.0.",
        "0.0.0.0",
        "255.255.255.",
    ]
    assert [each for each in sorted(found) if not each.startswith(tuple(allowed))] == []
