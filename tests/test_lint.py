"""`logwarden rules lint` finds what could be better about a rule, and finds nothing about ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from logwarden import rules
from logwarden.cli import group
from logwarden.rules import ignore
from logwarden.rules.lint import lint

ROOT = Path(__file__).parent.parent


def advice(text: str) -> list[str]:
    found, refused = ignore.parse(text.encode(), "x.rules")
    assert refused == []
    return [str(each) for each in lint(found)]


@pytest.mark.parametrize(
    "regex",
    [
        "job .* done",
        "job .+ done",
        "job (.*) done",
        "job (.)* done",
        "job .{3,} done",
        "job .{0,200} done",
        "job [^[:cntrl:]]+ done",
        "job [[:print:]]+ done",
        "job [ -~]* done",
        "job <TEXT> of .* done",
    ],
)
def test_anything_at_all_could_be_a_placeholder(regex: str) -> None:
    (found,) = advice(f"cups: {regex}")
    assert found.startswith("x.rules:1: `.*` could be a placeholder")


@pytest.mark.parametrize(
    "regex",
    [
        "job <TEXT> done",
        "job [.*] done",
        "job [^]*.*] done",
        r"job \.* done",
        "job [[:alnum:].*]+",
        "job [^[:cntrl:]x]+",
        "job .{8} done",
        "job .? done",
        "job [[:graph:]]+ done",
    ],
)
def test_what_only_looks_like_it_is_left_alone(regex: str) -> None:
    assert advice(f"cups: {regex}") == []


NO_END = "x.rules:1: has no $ at its end: it hides whatever follows"
NO_START = "x.rules:1: has no ^ at its start: it hides whatever stands before"


@pytest.mark.parametrize("regex", ["^host cups: job done$", "^(host cups: (a|b)$)", "^a$|^b$"])
def test_a_logcheck_rule_with_both_its_anchors_is_left_alone(regex: str) -> None:
    assert advice(regex) == []


@pytest.mark.parametrize(
    "regex", ["^host cups: job done", r"^host cups: job \$", "^host cups: job [$]", "^a$|^b", "^(a$|b)"]
)
def test_a_logcheck_rule_without_its_end_is_found(regex: str) -> None:
    assert advice(regex) == [NO_END]


def test_a_logcheck_rule_without_its_start_is_found(tmp_path: Path) -> None:
    """Only logcheck's own directories, and a branch, can have one: in ours a rule for whole lines begins with ^."""
    assert advice("^a$|b$") == [NO_START]
    assert advice("^a|b$") == [NO_END, NO_START]
    (tmp_path / "ignore.d.server").mkdir()
    (tmp_path / "ignore.d.server" / "x").write_text("cups: job done$\n")
    loaded = rules.load(logcheck=str(tmp_path), level="server")
    assert [each.why for each in lint(loaded.ignore)] == [NO_START.partition(": ")[2]]


def test_a_rule_for_a_programs_messages_needs_no_anchors() -> None:
    assert advice("cups: job done") == []


def test_a_rule_that_says_what_another_says_is_found() -> None:
    assert advice("cups, lpd: job <NUM>\ncups: job <NUM>") == ["x.rules:2: says what x.rules:1 says"]


def test_a_shadowed_rule_is_found_whichever_comes_first() -> None:
    why = "is shadowed by x.rules:{}, which hides all that it hides"
    assert advice("cups: job (1|2) is done\ncups*: job <NUM> is <WORD>") == ["x.rules:1: " + why.format(2)]
    assert advice("cups*: job <NUM> is <WORD>\ncups: job (1|2) is done") == ["x.rules:2: " + why.format(1)]


def test_a_rule_is_not_shadowed_where_one_of_its_branches_is_its_own() -> None:
    assert advice("cups: job (<NUM>|all) is done\ncups: job <NUM> is done") == [
        "x.rules:2: is shadowed by x.rules:1, which hides all that it hides"
    ]


def test_a_rule_for_errors_is_not_shadowed_by_one_that_hides_none() -> None:
    assert advice("cups: job <NUM>\npriority: err\ncups: job 1") == []


def test_nothing_could_be_better_about_our_own_rules() -> None:
    shipped = rules.load(ignore=[str(ROOT / "ignore.d")], level="workstation")
    assert [str(each) for each in lint(shipped.ignore)] == []


def test_the_command_prints_its_advice_and_says_by_its_status_that_there_is_some(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "x.rules").write_text("cups: job .* done\n")
    config = tmp_path / "config.yaml"
    config.write_text(f"state: {tmp_path}/state\nrules: {{ignore: [{tmp_path}/rules], attack: []}}\n")
    done = CliRunner().invoke(group, ["rules", "lint", "--config", str(config)])
    assert done.exit_code == 1
    assert "x.rules:1: `.*` could be a placeholder" in done.output
    (tmp_path / "rules" / "x.rules").write_text("cups: job <NUM> done\n")
    done = CliRunner().invoke(group, ["rules", "lint", "--config", str(config)])
    assert (done.exit_code, done.output) == (0, "1 ignore rules, 0 pieces of advice.\n")
