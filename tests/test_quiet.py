"""`make quiet` fails where what it claims is not so, and not only prints it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from quiet.claims import LEAST, OVER, UNDONE, Seen, undone
from quiet.claims import broken as all_broken
from quiet.faults import FAULTS, OURS_ALONE, Fault

CAPTURED = Path(__file__).parent / "captured"
BOTH = [Seen(Fault(str(n), "", ""), logged=True, ours=True, theirs=True) for n in range(LEAST)]
ALONE = [Seen(Fault("crontab", "", "", why="it is news"), logged=True, ours=True, theirs=False)]


def broken(
    ours: int, theirs: int, both: list[Seen], alone: list[Seen], used: str = f"{OVER}\n", digest: str = ""
) -> list[str]:
    return list(all_broken(ours, theirs, both, alone, undone=list(undone(used)), digest=digest))


def test_all_is_well_where_the_hour_is_quiet_and_each_fault_is_seen() -> None:
    assert broken(0, 1_651, BOTH, ALONE) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        (3, 1_651, ["the hour is not quiet: 3 lines"]),
        (3, 29, ["the hour is not quiet: 3 lines", "3 lines are more than a tenth of logcheck's 29"]),
        (0, 0, ["0 lines are more than a tenth of logcheck's 0"]),
    ],
    ids=["a line", "more than a tenth", "logcheck did not look"],
)
def test_an_hour_that_is_not_quiet_breaks_it(ours: int, theirs: int, why: list[str]) -> None:
    assert broken(ours, theirs, BOTH, ALONE) == why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"logged": False, "ours": False, "theirs": False}, ["logwarden misses", "logcheck misses"]),
        ({"ours": False}, ["logwarden misses"]),
        ({"theirs": False}, ["logcheck misses"]),
    ],
)
def test_a_fault_that_either_misses_breaks_it(change: dict[str, bool], why: list[str]) -> None:
    seen = [*BOTH[1:], BOTH[0]._replace(**change)]
    assert [each.partition(":")[0] for each in broken(0, 1_651, seen, ALONE)] == why


@pytest.mark.parametrize(
    ("used", "why"),
    [
        (
            f"{UNDONE}sudo -u alice true : 3 s: no such user\nhello\n{UNDONE}cron: 0 jobs of alice\n{OVER}\n",
            ["not used: sudo -u alice true : 3 s: no such user", "not used: cron: 0 jobs of alice"],
        ),
        ("bash: line 9: syntax error\n", ["not used: the hour ended early: bash: line 9: syntax error"]),
        ("", ["not used: the hour ended early: "]),
    ],
    ids=["in vain", "ended early", "nothing"],
)
def test_what_was_used_in_vain_breaks_it_by_name(used: str, why: list[str]) -> None:
    assert broken(0, 1_651, BOTH, ALONE, used) == why


def test_the_script_that_uses_the_machine_says_so_in_these_words() -> None:
    script = (Path(__file__).parent / "quiet" / "inside" / "use.sh").read_text()
    assert script.endswith(f'echo "{OVER}"\n')
    assert f'failed() {{ echo "{UNDONE}$*"; }}' in script


def test_a_digest_of_the_hour_breaks_it() -> None:
    why = ["the daemon has a mail to send after the hour"]
    assert broken(0, 1_651, BOTH, ALONE, digest="Subject: 1 unexplained line") == why


def test_one_fault_fewer_than_both_must_report_breaks_it() -> None:
    assert broken(0, 1_651, BOTH[1:], ALONE) == ["39 faults are asked of both, not 40"]


@pytest.mark.parametrize(
    ("change", "why"),
    [({"ours": False}, "logwarden misses"), ({"theirs": True}, "logcheck reports it too, so it is for both")],
)
def test_a_fault_that_is_declared_to_be_ours_alone_must_be_so(change: dict[str, bool], why: str) -> None:
    (found,) = broken(0, 1_651, BOTH, [ALONE[0]._replace(**change)])
    assert found.startswith(why)


def test_forty_faults_are_for_both_and_most_of_them_really_happen() -> None:
    assert len(FAULTS) >= LEAST
    assert sum(not fault.stand_in for fault in FAULTS) >= LEAST


def test_a_fault_that_logcheck_hides_says_why_it_is_news() -> None:
    assert [fault.name for fault in OURS_ALONE if len(fault.why) < 20] == []
    assert [fault.name for fault in FAULTS if fault.why] == []


def test_each_fault_has_its_own_name() -> None:
    names = [fault.name for fault in (*FAULTS, *OURS_ALONE)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("fault", [*FAULTS, *OURS_ALONE], ids=lambda fault: fault.name)
def test_a_line_of_each_fault_is_kept(fault: Fault) -> None:
    assert re.search(fault.shown, (CAPTURED / "faults").read_text())
