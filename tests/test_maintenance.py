"""What is said while somebody works on a host is set apart in the digest, under the work's title, and not lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.stage import Mailbox
from demo.stage import daemon as running
from small import NOW, Small
from test_digest import SINCE, UNTIL, attack, digest, entry, shown
from test_journey import Host, until

from logwarden import answers, daemon, maintenance
from logwarden.errors import EdgeError
from logwarden.model import Outcome, Window

UPGRADE = Window(UNTIL - 600, UNTIL - 300, "kernel upgrade")


def told(host: Small) -> str:
    """The digest as one line."""
    return " ".join(host.preview().split())


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Small]:
    small = Small(tmp_path)
    with small.running():
        yield small


def test_lines_of_a_window_stand_under_its_title_and_nowhere_else() -> None:
    lines = [entry("the pump is off", ago=400), entry("odd", ago=700), entry("odd", ago=300)]
    rendered = shown(*lines, windows=[UPGRADE])
    assert rendered.subject.startswith("[web1] System Events: 1 new kind of line, 2 lines, 1 line set apart")
    for body in (rendered.text, rendered.html):
        assert body.count("the pump is off") == 1
        assert body.index("odd") < body.index("kernel upgrade") < body.index("the pump is off")


def test_an_attack_in_a_window_is_told_as_ever() -> None:
    found = digest(attack("192.0.2.1"), windows=[Window(SINCE, UNTIL + 1, "upgrade")])
    assert (len(found.attacks), found.apart) == (1, ())


def test_a_window_of_one_host_leaves_the_others_alone() -> None:
    window = UPGRADE._replace(host="web*")
    lines = [entry("one", ago=400, host="web1.example.org"), entry("two", ago=400, host="db1")]
    found = digest(*lines, windows=[window])
    assert (found.totals.apart, found.totals.unexplained) == (1, 1)


def test_the_books_add_up_with_a_window() -> None:
    counts = {"journal": {Outcome.UNEXPLAINED: 1}}
    found = digest(entry("off", ago=400), windows=[UPGRADE], counts=counts, read={"journal": 1})
    assert (found.needs, found.empty) == ((), False)


def test_a_folded_window_says_how_much_there_was() -> None:
    rendered = shown(*(entry(f"unit {n} up", ago=400) for n in range(9)), windows=[UPGRADE._replace(folded=True)])
    assert "unit" not in rendered.text
    assert "kernel upgrade  9 lines  of 1 kind" in rendered.text
    assert "1 kind: logwarden events" in rendered.text


@pytest.mark.parametrize("title", ["\x1b[2J", "</h2><script>", "a\r\nSubject: x", "\u202e", "UNEXPLAINED\n======"])
def test_a_hostile_title_changes_no_frame(title: str) -> None:
    rendered = shown(entry("off", ago=400), windows=[UPGRADE._replace(title=title)])
    assert all(letter.isprintable() or letter == "\n" for letter in rendered.text + rendered.html)
    assert "<script>" not in rendered.html
    plain = shown(entry("off", ago=400), windows=[UPGRADE])
    margins = [[line for line in each.text.splitlines() if line[:1] not in ("", " ")] for each in (rendered, plain)]
    assert margins[0] == margins[1]


@pytest.mark.slow
def test_maintenance_by_hand_begins_ends_and_survives_a_restart(tmp_path: Path) -> None:
    host = Small(tmp_path)
    with host.running():
        maintenance.begin(host.daemon, {"length": 7200, "title": "kernel upgrade"})
        host.write("the pump is off")
    with host.running():
        assert [each["title"] for each in maintenance.windows(host.daemon, {})["windows"]] == ["kernel upgrade"]
        host.hands.pass_by(60)
        assert maintenance.begin(host.daemon, {"end": True}) == {"ended": ["kernel upgrade"]}
        host.hands.pass_by(60)
        host.write("the lamp is on")
        text = told(host)
        assert text.index("the lamp is on") < text.index("kernel upgrade") < text.index("the pump is off")
        with pytest.raises(EdgeError):
            maintenance.begin(host.daemon, {"end": True})


@pytest.mark.slow
@pytest.mark.parametrize("length", [0, -1, float("nan"), 1e9])
def test_a_length_that_cannot_be_meant_is_refused(host: Small, length: float) -> None:
    with pytest.raises(EdgeError):
        maintenance.begin(host.daemon, {"length": length, "title": "x"})


@pytest.mark.slow
def test_a_window_of_the_config_comes_each_time(tmp_path: Path) -> None:
    host = Small(tmp_path, extra="maintenance: [{at: '*:00', for: 59m, title: backup}]")
    with host.running():
        found = maintenance.between(host.daemon.state, host.daemon.watch.config, NOW, NOW + 7200)
        assert {each.title for each in found} == {"backup"}
        assert len(found) in (2, 3)
        assert "windows" in answers.TABLE


@pytest.mark.slow
def test_after_a_reboot_the_digest_says_so_and_folds_what_the_boot_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Small(tmp_path)
    monkeypatch.setattr(daemon, "_boot", lambda: "one")
    with host.running():
        host.write("before")
    with host.running():
        assert "BOOT" not in host.preview()
    host.hands.pass_by(3600)
    host.hands.since_boot = 20.0
    monkeypatch.setattr(daemon, "_boot", lambda: "two")
    with host.running():
        host.write("unit one is up")
        host.hands.pass_by(300)
        host.write("long after")
        text = told(host)
        assert "BOOT this host" in text
        assert "unit one is up" not in text
        assert "boot 1 line of 1 kind" in text
        assert "long after" in text


@pytest.mark.slow
def test_maintenance_as_a_user_types_it(tmp_path: Path) -> None:
    mailbox = Mailbox()
    with mailbox.served() as port:
        typed = Host(tmp_path, port)
        with running(typed.config):
            assert "No maintenance" in typed.run("maintenance")
            assert "kernel upgrade" in typed.run("maintenance", "2h", "kernel upgrade")
            typed.write("the pump is off")
            until(lambda: typed.read() == 1)
            assert json.loads(typed.run("maintenance", "--json"))[0]["title"] == "kernel upgrade"
            text = typed.run("digest", "--preview")
            assert text.index("kernel upgrade") < text.index("the pump is off")
            assert "Over: kernel upgrade." in typed.run("maintenance", "--end")
            assert "no maintenance by hand is under way" in typed.run("maintenance", "--end", status=1)
            assert "no length of time" in typed.run("maintenance", "soon", status=2)
