"""The one door to other programs: what comes back, and what is said when nothing does."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from logwarden.errors import CommandError
from logwarden.process import run


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_standard_input_goes_in_and_standard_output_comes_out() -> None:
    assert run(["tr", "a-z", "A-Z"], stdin=b"ban \xff") == b"BAN \xff"


def test_what_nobody_is_to_hear_is_not_held() -> None:
    assert run(python("print('x' * 1_000_000)"), heard=False) == b""


def test_no_shell_reads_the_arguments() -> None:
    assert run(["echo", "$HOME; `id`"]) == b"$HOME; `id`\n"


def test_a_failure_is_told_by_the_line_that_speaks_of_an_error() -> None:
    said = "Error: no such set\nadd element\n    ^^^^"
    with pytest.raises(CommandError, match=r"exit 3: Error: no such set$"):
        run(python(f"import sys; sys.stderr.write({said!r}); sys.exit(3)"))


def test_or_by_the_last_line_or_by_its_silence() -> None:
    with pytest.raises(CommandError, match=r"exit 1: second$"):
        run(python("import sys; sys.stderr.write('first\\nsecond\\n'); sys.exit(1)"))
    with pytest.raises(CommandError, match=r"false: exit 1: no message$"):
        run(["false"])


def test_what_a_command_has_started_ends_with_it_where_it_takes_too_long(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(CommandError, match="no answer"):
        run(["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"], timeout=0.5)
    state = Path(f"/proc/{pid.read_text().strip()}/stat")
    deadline = time.monotonic() + 10
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline


def test_a_command_that_has_ended_has_not_failed_for_what_it_left_behind() -> None:
    run(["sh", "-c", "sleep 2 & exit 0"], timeout=0.2)
    with pytest.raises(CommandError, match="exit 3"):
        run(["sh", "-c", "sleep 2 & exit 3"], timeout=0.2)


def test_a_program_that_is_not_there_or_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # a directory on it that may not be read would be another error
    with pytest.raises(CommandError, match="no-such-program: No such file"):
        run(["no-such-program"])
    with pytest.raises(CommandError, match=r"no answer within 0.05 s"):
        run(["sleep", "60"], timeout=0.05)
