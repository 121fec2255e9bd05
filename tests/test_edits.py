"""An edited rule is in force by itself, and while it is compiled the daemon goes on with what it has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small import Small

from logwarden import watch
from logwarden.model import Outcome
from logwarden.settings import Config
from logwarden.watch import Watch

pytestmark = pytest.mark.slow  # a whole daemon

HEAD = r"^[[:alpha:]]{3} [ :[:digit:]]{11} [._[:alnum:]-]+ "


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Small]:
    (tmp_path / "logcheck" / "ignore.d.server").mkdir(parents=True)
    small = Small(tmp_path, extra=f"logcheck: {{rules: true, path: {tmp_path}/logcheck}}")
    with small.running():
        yield small


def ignored(host: Small) -> int:
    return sum(counts[Outcome.IGNORED] for counts in host.daemon.state.tallies().values())


def rules(host: Small) -> int:
    return len(host.daemon.watch.rules.ignore)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ignore.d/local.rules", "app: odd <NUM>\n"),
        ("ignore.d/server/local.rules", "app: odd <NUM>\n"),
        ("logcheck/ignore.d.server/local-app", HEAD + r"app\[[0-9]+\]: odd [0-9]+$" + "\n"),
    ],
)
def test_a_saved_rule_is_in_force_by_itself_and_one_that_goes_is_not(host: Small, name: str, text: str) -> None:
    (host.place / name).parent.mkdir(exist_ok=True)
    host.write("odd 1")
    (host.place / name).write_text(text)
    host.step_until(lambda: rules(host) == 2)
    host.write("odd 2")
    assert ignored(host) == 1
    (host.place / name).unlink()
    host.step_until(lambda: rules(host) == 1)
    host.write("odd 3")
    assert ignored(host) == 1


def test_lines_are_judged_by_the_old_rules_while_new_ones_are_compiled(
    host: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    build: Callable[[Config], Watch] = watch.build
    asked, go_on = threading.Event(), threading.Event()

    def slow(settings: Config) -> Watch:
        asked.set()
        assert go_on.wait(30)
        return build(settings)

    monkeypatch.setattr(watch, "build", slow)
    (host.place / "ignore.d" / "local.rules").write_text("app: odd <NUM>\n")
    host.step_until(asked.is_set)
    host.write("normal 1", "odd 1")
    host.attack("203.0.113.9", 3)
    assert ignored(host) == 1
    assert list(host.bans()) == ["203.0.113.9/32"]
    go_on.set()
    host.step_until(lambda: rules(host) == 2)
    host.write("odd 2")
    assert ignored(host) == 2


def test_a_rule_saved_while_the_daemon_starts_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = watch.build

    def edited_meanwhile(settings: Config, *, lean: bool) -> Watch:
        built = build(settings, lean=lean)
        (tmp_path / "ignore.d" / "local.rules").write_text("app: odd <NUM>\n")
        return built

    small = Small(tmp_path)
    monkeypatch.setattr(watch, "build", edited_meanwhile)
    with small.running():
        monkeypatch.setattr(watch, "build", build)
        small.step_until(lambda: rules(small) == 2)
