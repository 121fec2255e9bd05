"""What each rule has done is in state; and of one that ran away everybody hears, who reads `status` or the digest."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import pytest
from small import NOW, Small

from logwarden import answers, matcher
from logwarden.matcher.regex_engine import RegexEngine
from logwarden.model import Outcome

pytestmark = pytest.mark.slow  # a whole daemon

SLOW = r"(a|aa)*(a|aa)*(a|aa)*(x|y)\4"
"""On a line of many a's it takes for ever, and its backreference keeps it from Hyperscan."""
NASTY = "a" * 5_000 + "xy"


@pytest.fixture
def host(tmp_path: Path) -> Small:
    small = Small(tmp_path)
    (tmp_path / "ignore.d" / "slow.rules").write_text(f"app: {SLOW}\n")
    return small


def test_hits_the_last_hit_and_the_time_in_the_slow_engine_are_counted_over_a_restart(host: Small) -> None:
    normal, slow, failed = (
        f"{host.place}/ignore.d/app.rules:1",
        f"{host.place}/ignore.d/slow.rules:1",
        "sshd.yaml#failed",
    )
    with host.running() as daemon:
        host.write("normal 1", "normal 2", "aaxx", "other")
        host.attack("203.0.113.9", 1)
        assert daemon.state.rule_totals() == {normal: (2, NOW), slow: (1, NOW), failed: (1, NOW)}
        host.write(NASTY)
        assert daemon.state.slow_rules()[slow] > 0.05, "seconds"
    host.hands.pass_by(60)
    with host.running() as daemon:
        host.write("normal 3")
        assert daemon.state.rule_totals() == {normal: (3, NOW + 60), slow: (1, NOW), failed: (1, NOW)}
        before = daemon.state.slow_rules()[slow]
        host.write(NASTY)
        assert daemon.state.slow_rules()[slow] > before + 0.05
        assert normal not in daemon.state.slow_rules()


def test_a_rule_that_runs_away_is_suspended_named_and_its_lines_are_reported(host: Small) -> None:
    rule = f"{host.place}/ignore.d/slow.rules:1"
    with host.running() as daemon:
        host.write(NASTY, "normal 1", "aaxx")
        assert daemon.state.tallies()["file:/x"] == {
            Outcome.QUARANTINED: 1,
            Outcome.IGNORED: 1,
            Outcome.UNEXPLAINED: 1,
            Outcome.ATTACK: 0,
        }
        said = f"{rule}: took longer than 100 ms for one line and is suspended"
        assert said in answers.status(daemon, {})["problems"]
        digest = folded(host.preview())
        assert folded(said) in digest
        assert "QUARANTINED" in digest
        assert NASTY[:150] in digest, "the line that it ran away on"
        assert "aaxx" in digest, "what it hides no more"
        host.hands.pass_by(1)
        host.close_period()
        host.write("other")
        assert folded(said) in folded(host.preview()), "the next digest says it too"
        daemon.reload()
        host.step_until(lambda: said not in answers.status(daemon, {})["problems"])
        host.write("aayy")
        assert daemon.state.rule_totals()[rule] == (1, NOW + 1), "a reload gives it another chance"


def test_a_rule_that_takes_nearly_too_long_again_and_again_is_suspended_and_named(host: Small) -> None:
    (host.place / "ignore.d" / "slow.rules").write_text(r"app: (\w+) *(\w+) *\1\2" + "\n")
    said = f"{host.place}/ignore.d/slow.rules:1: took too long for its lines, 1 s in all, and is suspended"
    with host.running() as daemon:
        host.write(*["a" * 300 + "b"] * 100, "abab")
        counts = daemon.state.tallies()["file:/x"]
        assert (counts[Outcome.UNEXPLAINED], counts[Outcome.IGNORED]) == (101, 0)
        assert said in answers.status(daemon, {})["problems"]
        assert folded(said) in folded(host.preview())


RUNAWAYS = [
    "(a+)+$", "(a|aa)+$", "(a|a)*b$", "(.*a){20}", "(.*a){12}$", "([a-zA-Z]+)*[0-9]$", "(a|a?)+b$", "(a*)*b$",
    r"(\w+\s?)+$", "(([a-z])+.)+[A-Z]([a-z])+$", "(a+){10,}b",
]  # fmt: skip
"""Classics; each has more ways to fail on the line than there are atoms."""
ENDLESS = "a" * 30_000 + "b!"


@pytest.mark.parametrize("portable", [False, True], ids=["hyperscan", "regex"])
def test_no_classic_of_its_kind_holds_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portable: bool
) -> None:
    monkeypatch.setattr(matcher, "compile", functools.partial(matcher.compile, portable=portable))
    small = Small(tmp_path)
    (tmp_path / "ignore.d" / "redos.rules").write_text("".join(f"app: {regex}\n" for regex in RUNAWAYS))
    rules = [
        f"""
  - id: r{number}
    match: '({regex.removesuffix("$")}|good{number}) from <ADDR>'
    samples: [{{line: 'good{number} from 203.0.113.9', address: 203.0.113.9}}]
    near_misses: ['good{number}']"""
        for number, regex in enumerate(RUNAWAYS)
    ]
    (tmp_path / "attack.d" / "redos.yaml").write_text(f"program: [ftpd]\nrules:{''.join(rules)}\n")
    with small.running() as daemon:
        assert daemon.refused() == ()
        engines = daemon.watch.matcher._engines
        assert {isinstance(each, RegexEngine) for each in engines} == {portable}
        ignore = [f"{tmp_path}/ignore.d/redos.rules:{line}" for line in range(1, len(RUNAWAYS) + 1)]
        attack = [f"redos.yaml#r{number}" for number in range(len(RUNAWAYS))]
        before = time.process_time()
        small.write(ENDLESS)
        small.write(f"{ENDLESS} from 203.0.113.9", tag="ftpd[1]")
        assert time.process_time() - before < 1 + 0.1 * 2 * len(RUNAWAYS) * portable
        before = time.process_time()
        small.write(ENDLESS, *["normal 1"] * 5)
        small.write(f"{ENDLESS} from 203.0.113.9", *["good3 from 203.0.113.9"] * 5, tag="ftpd[1]")
        assert time.process_time() - before < 1, "what ran away once is not asked again"
        counts = daemon.state.tallies()["file:/x"]
        assert (counts[Outcome.IGNORED], counts[Outcome.ATTACK]) == (5, 5), "what is beside it is judged as ever"
        assert counts[Outcome.UNEXPLAINED] + counts[Outcome.QUARANTINED] == 4, "its lines are reported"
        problems, digest = "\n".join(answers.status(daemon, {})["problems"]), folded(small.preview())
        said = "took longer than 100 ms for one line and is suspended"
        assert [rule for rule in ignore if f"{rule}: {said}" in problems] == ignore * portable
        assert [rule for rule in (*ignore, *attack) if folded(f"{rule} {said}") in digest] == (
            (ignore + attack) * portable
        )
        assert folded(ENDLESS)[:100] in digest


def folded(text: str) -> str:
    """A text without the places where its lines may be folded."""
    return "".join(text.split())
