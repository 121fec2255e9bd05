"""`logwarden rules`: list, show, test, and the page that is generated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from logwarden import rules
from logwarden.cli.rules import rules as command
from logwarden.errors import RuleError
from logwarden.rules import reference

ROOT = Path(__file__).parent.parent
GOOD = """# a daemon of ours
program: myapp
policy: {threshold: 3, window: 10m, ban: 1h}
rules:
  - id: myapp-login-failed
    aggressive: true
    match: 'login failed from <ADDR>'
    samples:
      - {line: 'login failed from 203.0.113.9', address: 203.0.113.9}
    near_misses: ['login from 203.0.113.9']
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "attack.d").mkdir()
    (tmp_path / "attack.d" / "myapp.yaml").write_text(GOOD)
    file = tmp_path / "logwarden.yaml"
    file.write_text(f"rules: {{attack: [{tmp_path}/attack.d]}}\nstate: {tmp_path}/state\n")
    return str(file)


def test_list_shows_each_rule_with_its_programs_and_policy(config: str) -> None:
    said = CliRunner().invoke(command, ["list", "--config", config], catch_exceptions=False).output
    assert "myapp-login-failed" in said
    assert "3 within 10m, for 1h" in said
    assert "aggressive" in said


def test_list_of_a_program_leaves_out_the_others(config: str) -> None:
    said = CliRunner().invoke(command, ["list", "sshd", "--json", "--config", config], catch_exceptions=False).output
    assert json.loads(said) == []


def test_show_prints_samples_and_near_misses(config: str) -> None:
    said = CliRunner().invoke(command, ["show", "myapp-login-failed", "--config", config], catch_exceptions=False)
    assert "sample       login failed from 203.0.113.9  [203.0.113.9]" in said.output
    assert "near miss    login from 203.0.113.9" in said.output


def test_show_of_an_unknown_rule_says_where_to_look(config: str) -> None:
    with pytest.raises(RuleError, match="rules list"):
        CliRunner().invoke(command, ["show", "nobody", "--config", config], catch_exceptions=False)


def test_a_good_file_passes_its_test(tmp_path: Path) -> None:
    file = tmp_path / "myapp.yaml"
    file.write_text(GOOD)
    said = CliRunner().invoke(command, ["test", str(file)], catch_exceptions=False)
    assert said.exit_code == 0
    assert "1 good, 2 samples tried, 0 refused" in said.output


def test_a_sample_that_its_rule_does_not_match_fails_the_test_by_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "myapp.yaml"
    file.write_text(GOOD.replace("line: 'login failed", "line: 'login refused"))
    said = CliRunner().invoke(command, ["test", str(file)], catch_exceptions=False)
    assert said.exit_code == 1
    assert f"{file}:5: does not match its sample" in said.output


def test_an_ignore_file_that_hides_everything_fails_the_test(tmp_path: Path) -> None:
    file = tmp_path / "local.rules"
    file.write_text("*: .*\n")
    assert CliRunner().invoke(command, ["test", str(file)], catch_exceptions=False).exit_code == 1


def test_a_file_that_is_no_rule_file_or_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for name in ("notes.txt", "absent.yaml"):
        with pytest.raises(RuleError, match=name):
            CliRunner().invoke(command, ["test", str(tmp_path / name)], catch_exceptions=False)


def test_the_reference_page_is_current() -> None:
    """`make reference` writes it."""
    shipped = rules.load(attack=[str(ROOT / "attack.d")], aggressive=True)
    assert (ROOT / "packaging/doc/rules.md").read_text() == reference.page(shipped.attack, shipped.presets)
