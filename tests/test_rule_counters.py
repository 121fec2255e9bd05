"""What each rule has done is in state; and of one that ran away everybody hears, who reads `status` or the digest."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import NOW, Small

from logwarden import answers
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
        daemon.close_period(NOW + 1)
        host.write("other")
        assert folded(said) in folded(host.preview()), "the next digest says it too"
        daemon.reload()
        host.step_until(lambda: said not in answers.status(daemon, {})["problems"])
        host.write("aayy")
        assert daemon.state.rule_totals()[rule] == (1, NOW), "a reload gives it another chance"


def folded(text: str) -> str:
    """A text without the places where its lines may be folded."""
    return "".join(text.split())
