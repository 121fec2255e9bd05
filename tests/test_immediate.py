"""What cannot wait for the digest is mailed at once: one mail a burst, and no flood of mail."""

from __future__ import annotations

import email
import email.policy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small import Small

from logwarden import byhand
from logwarden.immediate import MOST, SETTLE
from logwarden.model import Ban
from logwarden.state import Search

pytestmark = pytest.mark.slow  # a whole daemon

EVERY = 900.0
VIOLATIONS = """
program: [su]
rules:
  - id: denied
    match: '<USER> may not'
    severity: violation
    samples: [{line: 'eve may not', address: null}]
    near_misses: ['eve may']
  - id: strange-key
    match: 'key of <USER> from elsewhere'
    severity: alert
    samples: [{line: 'key of eve from elsewhere', address: null}]
    near_misses: ['key of eve']
"""


@contextmanager
def host(place: Path, immediate: str = "") -> Iterator[Small]:
    small = Small(place)
    (place / "attack.d" / "su.yaml").write_text(VIOLATIONS)
    if immediate:
        text = small.config.read_text()
        small.config.write_text(text.replace("schedule: daily", f"schedule: daily, immediate: {immediate}"))
    with small.running():
        yield small


def later(small: Small, seconds: float) -> None:
    small.hands.pass_by(seconds)
    small.daemon.step()
    small.rest()


def mails(small: Small) -> list[str]:
    """Subject and text of each mail that was posted, as one line, oldest first."""
    kept = Search(str(small.place / "state"))
    try:
        contents = [kept.digest(each.number) for each in kept.digests()]
    finally:
        kept.close()
    return [_readable(message.content) for message in contents if message]


def _readable(content: bytes) -> str:
    mail = email.message_from_bytes(content, policy=email.policy.default)
    body = mail.get_body(("plain",))  # type: ignore[attr-defined]
    return " ".join(f"{mail['Subject']} {body.get_content()}".split())


def test_the_first_ban_by_an_attack_file_is_mailed_at_once_with_the_line_behind_it(tmp_path: Path) -> None:
    with host(tmp_path) as small:
        small.attack("203.0.113.9", 3)
        assert mails(small) == []
        later(small, SETTLE)
        (mail,) = mails(small)
        assert mail.startswith("[web1] Security Alerts: 1 ban (")
        assert "Sent at once." in mail
        assert "Failed password for root from 203.0.113.9" in mail
        small.attack("203.0.113.10", 3)
        later(small, EVERY)
        assert len(mails(small)) == 1
        assert "203.0.113.9" in small.preview()


def test_a_burst_is_one_mail_and_the_next_waits_its_turn(tmp_path: Path) -> None:
    with host(tmp_path, "{rules: ['su.yaml#*']}") as small:
        for name in ("eve", "mallory", "trudy"):
            small.write(f"{name} may not", tag="su[7]")
        later(small, SETTLE)
        assert len(mails(small)) == 1
        assert "3 violations" in mails(small)[0]
        small.write("eve may not", tag="su[7]")
        later(small, EVERY - SETTLE)
        assert len(mails(small)) == 1
        later(small, SETTLE)
        assert "1 violation (" in mails(small)[1]


def test_a_line_of_severity_alert_is_mailed_at_once_without_being_named(tmp_path: Path) -> None:
    with host(tmp_path) as small:
        small.write("eve may not", tag="su[7]")
        small.write("key of eve from elsewhere", tag="su[7]")
        small.write("key of mallory from elsewhere", tag="su[7]")
        later(small, SETTLE)
        (mail,) = mails(small)
        assert mail.startswith("[web1] Security Alerts: 2 alerts (")
        assert "ALERT su.yaml#strange-key su 2 times" in mail
        assert "key of eve from elsewhere key of mallory from elsewhere" in mail
        assert "ALERT" in small.preview()


def test_a_config_may_have_no_alert_mailed_at_once(tmp_path: Path) -> None:
    with host(tmp_path, "{alerts: false}") as small:
        small.write("key of eve from elsewhere", tag="su[7]")
        later(small, EVERY)
        assert mails(small) == []


def test_what_a_digest_has_told_is_not_mailed_at_once_besides(tmp_path: Path) -> None:
    with host(tmp_path) as small:
        small.attack("203.0.113.9", 3)
        small.write("key of eve from elsewhere", tag="su[7]")
        small.close_period()
        later(small, EVERY)
        (mail,) = mails(small)
        assert "Sent at once" not in mail
    with small.running():
        later(small, EVERY)
        assert len(mails(small)) == 1
        small.write("key of mallory from elsewhere", tag="su[7]")
        later(small, SETTLE)
        assert "mallory" in mails(small)[1]


def test_what_waits_to_be_told_survives_a_restart_and_what_was_told_is_not_told_again(tmp_path: Path) -> None:
    with host(tmp_path) as small:
        small.attack("203.0.113.9", 3)
    with small.running():
        later(small, SETTLE)
        assert len(mails(small)) == 1
    with small.running():
        later(small, EVERY + SETTLE)
        assert len(mails(small)) == 1


@pytest.mark.parametrize("immediate", ["{bans: false}", "{bans: false, rules: ['su.yaml#other']}"])
def test_what_the_config_does_not_name_waits_for_the_digest(tmp_path: Path, immediate: str) -> None:
    with host(tmp_path, immediate) as small:
        small.attack("203.0.113.9", 3)
        small.write("eve may not", tag="su[7]")
        later(small, EVERY)
        assert mails(small) == []


def test_a_ban_by_hand_is_no_news_to_who_made_it(tmp_path: Path) -> None:
    with host(tmp_path) as small:
        byhand.ban(small.daemon, {"address": "203.0.113.9"})
        small.write("an odd line")
        later(small, SETTLE)
        assert mails(small) == []


def test_a_flood_of_bans_holds_up_neither_the_look_nor_the_mail(tmp_path: Path) -> None:
    with host(tmp_path) as small:
        state, settings, now = small.daemon.state, small.daemon.watch.config, small.hands.wall
        looking = small.daemon.immediate
        looking.look(settings, now)
        with state.transaction() as tx:
            period = tx.open_period(now)
            for number in range(5_000):
                tx.add_ban(period, Ban(f"10.0.{number >> 8}.{number & 255}/32", now, now + 60, "sshd.yaml", "many"))
        looking.look(settings, now)
        later(small, SETTLE)
        (mail,) = mails(small)
        assert f"{MOST:,} bans" in mail
        assert looking.due == math.inf
