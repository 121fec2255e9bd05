"""A suggested rule hides the lines that it was made of, and is written as narrowly as they allow."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden import rules
from logwarden.digest.suggestion import matcher, suggest


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        (["worker 1 died (at 192.0.2.1)", "worker 22 died (at 192.0.2.7)"], r"app: worker <NUM> died \(at <ADDR>\)"),
        (["user root in", "user bob in"], "app: user <WORD> in"),
        (["up  now", "up now"], "app: up[[:space:]]+now"),
        (["listening on port 22"] * 5, "app: listening on port 22"),
        (["read /srv/a", "read /srv/b.c"], "app: read <PATH>"),
        ([r"a\b [x] {y} <z> $1.00?"], r"app: a\\b \[x] \{y} [<]z> \$<WORD>\?"),
    ],
)
def test_what_varies_becomes_the_narrowest_placeholder(messages: list[str], rule: str) -> None:
    assert suggest("app", messages) == rule


def test_lines_that_have_nothing_in_common_have_no_rule() -> None:
    assert suggest("app", ["a b", "a b c"]) is None
    assert suggest("app", []) is None


@given(st.text(alphabet="ab1. /\\[](){}<>*+?|^$:-", min_size=1, max_size=30).filter(lambda text: text.strip() == text))
def test_a_suggested_rule_matches_its_line_whatever_stands_in_it(message: str) -> None:
    rule = suggest("app", [message])
    assert rule is None or matcher(rule.removeprefix("app: "))(message)


def test_a_suggested_rule_can_be_put_into_a_file_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "local.rules").write_text(f"{suggest('app', ['job 7 [x] done'])}\n")
    assert rules.load(ignore=[str(tmp_path)]).refused == ()
