"""The administrator's own commands on ban and unban: without a shell, with a timeout, a cap and retries."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue

import pytest

from logwarden import actions
from logwarden.actions import Action, Actions, check, filled, values
from logwarden.model import Ban

NOW = 1_700_000_000.0
BAN = Ban("203.0.113.9/32", NOW, NOW + 3600, "sshd.yaml", "sshd.yaml#failed: score 5 within 600 s; $(reboot)", 5)
PATIENCE = 20.0


def python(*code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", "import sys\n" + "\n".join(code))


def written(place: Path, count: int) -> list[str]:
    """What has been written there once there are so many lines."""
    deadline = time.monotonic() + PATIENCE
    while not place.exists() or len(place.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, "the action was not run"
    return place.read_text().splitlines()


def appending(place: Path) -> str:
    return f"print(*sys.argv[1:], sep='|', file=open({str(place)!r}, 'a'))"


def test_each_value_is_one_argument_and_is_never_looked_into_again() -> None:
    given = {**values(BAN), "why": "{address} ; rm -rf /"}
    assert filled(("a", "--ip={address}", "{why}"), given) == [
        "a",
        "--ip=203.0.113.9",
        "{address} ; rm -rf /",
    ]


def test_an_address_is_bare_and_a_prefix_keeps_its_length() -> None:
    assert values(BAN)["address"] == "203.0.113.9"
    assert values(BAN)["seconds"] == "3600"
    assert values(BAN)["until"] == "2023-11-14T23:13:20+00:00"
    v6 = Ban("2001:db8::/64", NOW, NOW + 1, "a", "b")
    assert (values(v6)["address"], values(v6)["family"]) == ("2001:db8::/64", "6")


@pytest.mark.parametrize("template", [["{prefix}"], ["curl", "{user}"], ["curl", "{}"]])
def test_a_template_with_an_unknown_place_or_a_varying_command_is_refused(template: list[str]) -> None:
    with pytest.raises(ValueError, match="\\{"):
        check(template)


def test_a_ban_and_its_end_run_their_commands_without_a_shell(tmp_path: Path) -> None:
    place = tmp_path / "said"
    run = python(appending(place))
    subject = Actions([Action((*run, "ban", "{address}", "{why}"), (*run, "unban", "{prefix}"))], print)
    subject.banned([BAN])
    assert written(place, 1) == [f"ban|203.0.113.9|{BAN.why}"]
    subject.unbanned([BAN])
    assert written(place, 2)[1] == "unban|203.0.113.9/32"
    subject.stop()


def test_what_fails_is_tried_again_and_reported_when_it_fails_for_good(tmp_path: Path) -> None:
    place = tmp_path / "tries"
    said: SimpleQueue[str] = SimpleQueue()
    failing = python(appending(place), "sys.exit(3)")
    subject = Actions([Action(ban=(*failing, "{address}"), retries=2)], said.put, pause=0.001)
    subject.banned([BAN])
    assert "exit 3" in said.get(timeout=PATIENCE)
    assert written(place, 3) == ["203.0.113.9"] * 3
    subject.stop()


def test_a_command_that_hangs_is_ended() -> None:
    said: SimpleQueue[str] = SimpleQueue()
    hanging = python("sys.stdin.read()", "import time; time.sleep(600)")
    subject = Actions([Action(ban=hanging, timeout=0.5, retries=0)], said.put)
    subject.banned([BAN])
    assert "no answer within 0.5 s" in said.get(timeout=PATIENCE)
    subject.stop()


def test_no_more_run_at_once_than_allowed_and_the_ban_waits_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock, free = 0, 0, threading.Lock(), threading.Event()
    done: SimpleQueue[None] = SimpleQueue()

    def run(argv: object, timeout: float, heard: bool) -> bytes:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        free.wait(PATIENCE)
        with lock:
            running -= 1
        done.put(None)
        return b""

    monkeypatch.setattr(actions.process, "run", run)
    subject = Actions([Action(ban=("tell",), at_once=3)], print)
    subject.banned([BAN] * 20)
    free.set()
    for _ in range(20):
        done.get(timeout=PATIENCE)
    assert most <= 3
    subject.stop()


def test_a_flood_is_bounded_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    monkeypatch.setattr(actions, "QUEUE", 5)
    monkeypatch.setattr(actions.process, "run", lambda argv, timeout: (free.wait(PATIENCE) and b"") or b"")
    said: SimpleQueue[str] = SimpleQueue()
    subject = Actions([Action(ban=("tell",), at_once=1)], said.put)
    subject.banned([BAN] * 50)
    assert "5 bans wait for it" in said.get(timeout=PATIENCE)
    assert said.empty()
    free.set()
    subject.stop()
