"""What is long is read in the user's pager, on a terminal; and goes as it is where there is none."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from small import Small

from logwarden.state import Search

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow  # a whole daemon, and processes


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """A host with a digest that was sent, and lines for the next."""
    place = tmp_path_factory.mktemp("pager") / "host"
    place.mkdir()
    small = Small(place)
    with small.running():
        small.write("disk sda1 is failing", "\x1b[2J\x1b[1mred alert")
        small.close_period()
        small.write(*(f"disk sdb{number} is failing" for number in range(3_000)))
        yield small


def command(host: Small, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "logwarden", *arguments, "--config", str(host.config)]


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", "LC_ALL": "C.UTF-8", **more}


def paged(host: Small, pager: str, *arguments: str) -> tuple[int, str]:
    """The exit status on a terminal with this pager, and what the terminal showed besides."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            command(host, *arguments), stdin=theirs, stdout=theirs, stderr=theirs, check=False, timeout=60,
            env=environment(PAGER=pager),
        )  # fmt: skip
        os.set_blocking(ours, False)
        try:
            shown = os.read(ours, 65_536).decode()
        except BlockingIOError:
            shown = ""
        return done.returncode, shown
    finally:
        os.close(ours)
        os.close(theirs)


def group_of(host: Small) -> str:
    found = re.search(r"\b[0-9a-f]{8}\b", host.preview())
    assert found
    return found[0]


@pytest.mark.parametrize(
    "asked",
    [("events", "--since", "3650d"), ("digest", "show", "1"), ("digest", "--preview", "--open-group", "GROUP")],
)
def test_events_and_digests_are_read_in_the_pager_as_they_are_printed_elsewhere(
    host: Small, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    asked = tuple(group_of(host) if word == "GROUP" else word for word in asked)
    seen, pager = tmp_path / "seen", tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat >{seen}\n")
    pager.chmod(0o755)
    assert paged(host, str(pager), *asked) == (0, "")
    plain = subprocess.run(command(host, *asked), capture_output=True, text=True, check=True, env=environment()).stdout
    assert seen.read_text().strip() == plain.strip()
    assert "is failing" in plain
    assert "\x1b" not in plain


def test_who_leaves_the_pager_early_is_shown_no_error(host: Small) -> None:
    assert paged(host, "true", "events", "--since", "3650d") == (0, "")


def test_the_events_are_those_that_were_asked_for(host: Small) -> None:
    def found(*options: str) -> list[str]:
        asked = command(host, "events", "--since", "3650d", *options)
        return subprocess.run(asked, capture_output=True, text=True, check=True, env=environment()).stdout.splitlines()

    assert len(found()) == 3_002
    assert len(found("--grep", "sdb7\\b")) == 1
    assert len(found("--program", "sshd")) == 0
    assert len(found("--program", "a*", "--host", "web1")) == 3_002
    assert "\\x1b[2J" in found("--grep", "red alert")[0]


def test_a_search_that_is_read_for_hours_keeps_the_daemon_from_nothing(host: Small) -> None:
    """The log of the database could not be made shorter, and grew, for as long as a pager was open."""
    with closing(Search(str(host.place / "state"))) as kept:
        lines, bans = kept.entries(0.0), kept.bans(0.0)
        first = next(lines)
        assert list(bans) == []
        busy, *_ = host.daemon.state._rows("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        assert busy == 0
        with host.daemon.state.transaction() as tx:
            tx.forget_oldest(1)
        rest = list(lines)
        assert first.raw != rest[0].raw
        assert len(rest) == 3_001
        assert [each.time for each in rest] == sorted(each.time for each in rest)
