"""Killed before and after each thing that matters: each line counts once, each ban is in force, each digest comes."""

from __future__ import annotations

import email
import email.policy
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import crash
import pytest
from namespaces import Namespace, namespaces, run, wire
from small import NOW, Small
from test_firewall import KERNEL
from test_mailer import Server, serving

from logwarden.state import FILE

pytestmark = pytest.mark.slow

COUNTS = {"commit": (1, 3, 4, 6, 8, 10, 11), "apply": (1,), "send": (1, 2), "copy": (1,)}
CASES = [(point, count) for point in crash.POINTS for count in COUNTS[point.split()[1]]]


class Scene:
    """A host whose daemon dies, and the mailbox that outlives it; and from where it is attacked."""

    attacker, banned = "203.0.113.9", "203.0.113.9/32"

    def __init__(self, place: Path, backend: str, mailbox: Server, port: int) -> None:
        self.mailbox, self.place = mailbox, place
        host = Small(place, backend=backend, port=port)
        self.log = place / "app.log"
        self.log.touch()
        source = f"files: [{{path: {self.log}, from_start: true}}]"
        host.config.write_text(host.config.read_text().replace("files: []", source))
        self.config = host.config

    def run(self, point: str = "never", count: int = 1, play: str = "live") -> int:
        argv = [sys.executable, crash.__file__, str(self.config), str(self.log), self.attacker, play, point, str(count)]
        paths = os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": paths}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
        assert done.returncode in (0, crash.DEAD), done.stderr
        return done.returncode

    def query(self, text: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(f"file:{self.place}/state/state.db?mode=ro", uri=True)) as db:
            return list(db.execute(text))

    def check(self) -> None:
        """Everything once."""
        counts = dict(self.query("SELECT outcome, sum(lines) FROM tally GROUP BY outcome"))
        assert counts == dict.fromkeys(("ignored", "unexplained", "attack"), crash.CHUNKS)
        strange = [message for (message,) in self.query("SELECT message FROM entry WHERE outcome='unexplained'")]
        assert sorted(strange) == [f"strange-{number}" for number in range(crash.CHUNKS)]
        assert self.query("SELECT prefix FROM ban") == [(self.banned,)]
        assert self.query("SELECT count(*) FROM attack") == [(crash.CHUNKS,)]
        self._check_mail()

    def _check_mail(self) -> None:
        told: dict[str, set[str]] = {}
        for taken in self.mailbox.taken:
            mail = email.message_from_bytes(taken.content or b"", policy=email.policy.default)  # type: ignore[arg-type]
            body = mail.get_body(("plain",))
            assert body is not None
            told.setdefault(mail["Message-ID"], set()).add(body.get_content())
        assert all(len(texts) == 1 for texts in told.values()), "sent again, it is the same mail"
        assert len(told) == len(crash.CLOSED_AFTER)
        shown = "".join(text for texts in told.values() for text in texts)
        assert all(f"{lines} lines of 1 kind" in shown for lines in (4, 2))

    def check_kernel(self) -> None:
        """The attacker is in the kernel's set, and nobody else."""
        members = run("ipset list logwarden4").partition("Members:\n")[2].splitlines()
        assert [member.split()[0] for member in members] == [self.attacker]


@pytest.fixture
def mailbox() -> Server:
    return Server()


@pytest.fixture
def scene(tmp_path: Path, mailbox: Server) -> Iterator[Scene]:
    with serving(mailbox) as port:
        yield Scene(tmp_path, "dry-run", mailbox, port)


@pytest.fixture
def kernel_scene(tmp_path: Path, mailbox: Server) -> Iterator[Scene]:
    """The same with a kernel, whose sets outlive the daemon."""
    with closing(Namespace()) as namespace, namespace.inside(), serving(mailbox) as port:
        yield Scene(tmp_path, "ipset", mailbox, port)


@pytest.mark.parametrize(("point", "count"), CASES, ids=lambda value: str(value).replace(" ", "-"))
def test_a_daemon_killed_there_loses_and_repeats_nothing(scene: Scene, point: str, count: int) -> None:
    assert scene.run(point, count) == crash.DEAD
    assert scene.run() == 0
    scene.check()


@pytest.mark.root
@pytest.mark.parametrize("point", ["before apply", "after apply"])
def test_a_ban_is_in_the_kernel_though_the_daemon_was_killed_around_it(kernel_scene: Scene, point: str) -> None:
    assert kernel_scene.run(point) == crash.DEAD
    assert kernel_scene.run() == 0
    kernel_scene.check()
    kernel_scene.check_kernel()


class Ends(NamedTuple):
    """Of the wire: us, the attacker, what is banned of him, and somebody else."""

    here: str
    evil: str
    banned: str
    friend: str


ENDS = [
    Ends("192.0.2.10", "203.0.113.9", "203.0.113.9/32", "203.0.113.77"),
    Ends("2001:db8::10", "2001:db8:9::9", "2001:db8:9::/64", "2001:db8:7::7"),
]


@pytest.mark.root
@pytest.mark.parametrize("ends", ENDS, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("backend", KERNEL)
def test_packets_of_the_banned_are_dropped_though_the_daemon_was_killed_between_commit_and_apply(
    tmp_path: Path, mailbox: Server, backend: str, ends: Ends
) -> None:
    with namespaces(2) as (host, there):
        wire(host, there, [ends.here], [ends.evil, ends.friend])
        with host.listen(ends.here), host.inside(), serving(mailbox) as port:
            scene = Scene(tmp_path, f"{backend}, mode: enforce", mailbox, port)
            scene.attacker, scene.banned = ends.evil, ends.banned
            assert scene.run("before apply") == crash.DEAD
            assert scene.query("SELECT prefix FROM ban") == [(ends.banned,)], "it was committed"
            assert there.reaches(ends.evil, ends.here), "and the kernel was not told"
            assert scene.run() == 0
            scene.check()
            assert not there.reaches(ends.evil, ends.here)
            assert there.reaches(ends.friend, ends.here)


def test_a_daemon_that_is_not_killed_does_the_same(scene: Scene) -> None:
    assert scene.run() == 0
    scene.check()
    assert len(scene.mailbox.taken) == len(crash.CLOSED_AFTER)


def test_a_daemon_killed_again_and_again_gets_there_in_the_end(scene: Scene) -> None:
    deaths = 0
    while scene.run("after commit", 3) == crash.DEAD:
        deaths += 1
    assert deaths >= 3
    scene.check()


@pytest.mark.parametrize("point", ["before keep", "after keep", "after give_up", "committed give_up"])
def test_a_digest_is_given_up_once_and_kept_though_the_daemon_was_killed_meanwhile(scene: Scene, point: str) -> None:
    scene.config.write_text(scene.config.read_text().replace("lifetime: 7d", "lifetime: 1h"))
    scene.mailbox.answers = {"DATA": "554 no"}
    assert scene.run(point, play="give up") == crash.DEAD
    assert scene.run(play="give up") == 0
    ((given_up, content),) = scene.query("SELECT given_up, content FROM outbox")
    assert given_up is not None
    (kept,) = (scene.place / "state" / "undeliverable").iterdir()
    assert kept.read_bytes() == content
    assert scene.query("SELECT count(*) FROM notice WHERE text LIKE '%could not be delivered%'") == [(1,)]


@pytest.mark.parametrize("point", ["before shift", "after shift", "committed shift"])
@pytest.mark.parametrize("play", ["ahead", "back"])
def test_a_clock_that_was_set_moves_everything_once_though_the_daemon_was_killed_meanwhile(
    scene: Scene, play: str, point: str
) -> None:
    scene.mailbox.answers = {"DATA": "451 later"}
    assert scene.run(point, play=play) == crash.DEAD
    assert scene.run(play=play) == 0
    now, _ = json.loads((scene.place / "clocks").read_text())
    assert abs(now - NOW) > crash.YEAR / 2
    ((since, until),) = scene.query("SELECT since, until FROM ban")
    ((digest, created, due),) = scene.query("SELECT subject, created, next FROM outbox ORDER BY id")
    assert "lines" in digest
    assert (now - since, until - now) == (pytest.approx(122, abs=1), pytest.approx(3_600 - 122, abs=1))
    assert now - created == pytest.approx(122, abs=1)
    assert abs(due - now) < 3_600, "some attempts were made, or none has come back"


@pytest.mark.root
@pytest.mark.parametrize("again", [None, "before commit", "after commit"])
def test_a_database_that_is_damaged_costs_no_ban_and_no_line_that_was_not_told(
    kernel_scene: Scene, again: str | None
) -> None:
    """Killed after the ban, its database scribbled over: the kernel knows the ban, the copy where to read on.

    The start that repairs is killed too, around the commit of the bans that it found in the kernel.
    """
    assert kernel_scene.run("before send", 1) == crash.DEAD
    database = kernel_scene.place / "state" / FILE
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with database.open("r+b") as file:
        file.seek(0)
        file.write(b"\xa5" * 4096)
    if again:
        assert kernel_scene.run(again, 1) == crash.DEAD
        kernel_scene.check_kernel()
    assert kernel_scene.run() == 0
    kernel_scene.check_kernel()
    assert ("recovered",) in kernel_scene.query("SELECT attack FROM ban")
    (said,) = kernel_scene.query("SELECT text FROM notice WHERE about='state'")
    assert "is set aside as state.db.corrupt-" in str(said[0])
    assert "Bans recovered from the kernel: 1" in str(said[0])
    assert any(
        b"is set aside as" in (taken.content or b"").replace(b"=\r\n", b"") for taken in kernel_scene.mailbox.taken
    )  # type: ignore[operator]
    strange = [message for (message,) in kernel_scene.query("SELECT message FROM entry WHERE outcome='unexplained'")]
    assert sorted(strange) == [f"strange-{number}" for number in range(crash.CHUNKS)]
