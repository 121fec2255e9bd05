"""What whoever may read asks of the daemon ends neither it nor the mail, however odd the question."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from small import Small

from logwarden import answers
from logwarden.control import READING, Request
from logwarden.model import Ban

pytestmark = pytest.mark.slow  # a whole daemon

ODD = [
    "1e999",
    "-1e999",
    "NaN",
    "1" + "0" * 400,
    "-5",
    "1e300",
    "[]",
    '"x"',
    "{}",
    "true",
    '"\\ud800"',
    '"' + "9" * 5000 + '"',
]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    place = tmp_path_factory.mktemp("answers") / "host"
    place.mkdir()
    small = Small(place, "maintenance: [{at: hourly, for: 5m, title: tidy}]")
    with small.running():
        small.write("never seen before")
        yield small


def asked(host: Small, command: str, **arguments: Any) -> dict[str, Any]:
    request = Request(command, arguments, 1000)
    answers.answer(host.daemon, request)
    host.step_until(request.reply.done)
    return request.reply.result(0)


@pytest.mark.parametrize("odd", ODD)
def test_a_number_beyond_all_is_refused_or_answered_and_stops_nothing(host: Small, odd: str) -> None:
    """A member of the group ended the daemon by asking for a preview since 10 ** 400 seconds."""
    for command in sorted(READING):
        for name in ("since", "address"):
            said = asked(host, command, **{name: json.loads(odd)})
            assert said["ok"] or said["error"], command
    assert asked(host, "status")["ok"]


def test_all_there_ever_was_may_be_asked_for(host: Small) -> None:
    assert "never seen before" in asked(host, "preview", since=1e300)["text"]


def test_whoever_may_read_cannot_let_the_mail_wait_behind_his_previews(host: Small) -> None:
    requests = [Request("preview", {}, 1000) for _ in range(2 * answers.PREVIEWS)]
    for request in requests:
        answers.answer(host.daemon, request)
    host.step_until(lambda: all(request.reply.done() for request in requests))
    refused = [request.reply.result(0)["error"] for request in requests if not request.reply.result(0)["ok"]]
    assert len(refused) == answers.PREVIEWS - 1
    assert set(refused) == {"other digests are being made: ask again in a moment"}


def test_the_bans_of_a_status_are_those_in_force_each_once(host: Small) -> None:
    now = host.hands.wall
    made = [Ban("192.0.2.1/32", now, now + 60 * n, "a.yaml", "why") for n in (1, 2)]
    made += [
        Ban("192.0.2.2/32", now - 60, now - 1, "a.yaml", "why"),
        Ban("192.0.2.3/32", now, now + 9, "a.yaml", "why"),
    ]
    with host.daemon.state.transaction() as tx:
        for ban in made:
            tx.add_ban(tx.open_period(now), ban)
        tx.lift_ban("192.0.2.3/32", now)
    assert asked(host, "status")["bans"] == 1 == len(asked(host, "bans")["bans"])
    host.daemon.pipeline._bans += [Ban(f"192.0.2.{n}/32", now, now + 60, "a.yaml", "why") for n in (1, 4)]
    assert asked(host, "status")["bans"] == 2 == len(asked(host, "bans")["bans"])
    host.daemon.pipeline._bans.clear()
