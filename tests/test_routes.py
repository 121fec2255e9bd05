"""Who gets what: routes by host, program and severity, on schedules of their own, in the format they want."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest
from small import NOW, Small
from test_digest import digest, entry, mailed, parse, shown

from logwarden.digest import Attached
from logwarden.digest.message import LINES
from logwarden.model import Location, Notice, NoticeKind, Refusal
from logwarden.routes import MARKS
from logwarden.state import Search

HOUR = 3600.0


@contextmanager
def host(place: Path, settings: str) -> Iterator[Small]:
    small = Small(place)
    text = small.config.read_text()
    small.config.write_text(text.replace("schedule: daily", f"schedule: daily, immediate: {{bans: false}}, {settings}"))
    with small.running():
        yield small


def mails(small: Small) -> list[EmailMessage]:
    """What was posted, oldest first."""
    kept = Search(str(small.place / "state"))
    try:
        contents = [kept.digest(each.number) for each in kept.digests()]
    finally:
        kept.close()
    return [parse(message.content) for message in contents if message]


def text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def accounted(body: str) -> list[int]:
    """Lines read, ignored, attack, unexplained and quarantined, as a digest has them in all."""
    found = re.search(r"^  total +(.*)$", body, re.MULTILINE)
    assert found is not None
    return [int(number) for number in found[1].split()]


def later(small: Small, seconds: float) -> None:
    small.hands.pass_by(seconds)
    small.daemon.step()
    small.rest()


@pytest.mark.slow
def test_a_route_gets_its_programs_lines_on_its_own_schedule_and_each_once(tmp_path: Path) -> None:
    with host(tmp_path, "routes: [{to: [dba@db.example], program: 'postgres*', schedule: hourly}]") as small:
        small.write("the pump is off")
        small.write("a table is gone", tag="postgres[7]")
        later(small, HOUR)
        (mail,) = mails(small)
        assert mail["To"] == "dba@db.example"
        assert "a table is gone" in text(mail)
        assert "pump" not in text(mail)
        assert "Of programs postgres* alone." in text(mail)
        later(small, HOUR)
        assert len(mails(small)) == 1
        small.close_period()
        assert "a table is gone" in text(mails(small)[1])
        assert "pump" in text(mails(small)[1])


@pytest.mark.slow
def test_a_route_tells_the_bans_that_its_own_lines_led_to(tmp_path: Path) -> None:
    routes = (
        "[{to: [a@h.example], program: sshd, schedule: hourly}, {to: [b@h.example], program: app, schedule: hourly}]"
    )
    with host(tmp_path, f"routes: {routes}") as small:
        small.attack("203.0.113.9", 3)
        small.write("the pump is off")
        later(small, HOUR)
        of_sshd, of_app = mails(small)
        assert "1 ban" in of_sshd["Subject"]
        assert "203.0.113.9" in text(of_sshd)
        assert "203.0.113.9" not in text(of_app)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("route", "seen"),
    [
        ("severity: [attack]", ["Failed"]),
        ("severity: [unexplained]", ["pump"]),
        ("host: web*", ["pump", "Failed"]),
        ("host: db*", []),
    ],
)
def test_a_route_is_by_severity_and_host(tmp_path: Path, route: str, seen: list[str]) -> None:
    with host(tmp_path, f"routes: [{{to: [a@h.example], schedule: hourly, {route}}}]") as small:
        small.attack("203.0.113.9", 1)
        small.write("the pump is off")
        later(small, HOUR)
        told = "".join(map(text, mails(small)))
        assert [word for word in ("pump", "Failed") if word in told] == seen


@pytest.mark.slow
def test_a_route_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    with host(tmp_path, "routes: [{to: [a@h.example], schedule: hourly}]") as small:
        small.write("the pump is off")
    with small.running():
        later(small, HOUR)
        assert len(mails(small)) == 1
    with small.running():
        later(small, HOUR)
        assert len(mails(small)) == 1


@pytest.mark.slow
def test_a_route_that_leaves_nothing_out_is_the_whole_digest(tmp_path: Path) -> None:
    routes = "[{to: [a@h.example], schedule: hourly}, {to: [b@h.example], schedule: hourly, program: 'app*'}]"
    with host(tmp_path, f"routes: {routes}") as small:
        small.daemon.refused = lambda: (Refusal(Location("odd.rules", 7), "it is odd"),)  # type: ignore[method-assign]
        small.write("normal 1", "the pump is off", "normal 2")
        with small.daemon.state.transaction() as tx:
            tx.add_notice(tx.open_period(NOW), Notice(NoticeKind.GAP, "file:/x", "12 bytes are missing", NOW))
        small.close_period()
        later(small, HOUR)
        whole, filtered = (text(mail) for mail in mails(small)[1:])
        for said in (
            "12 bytes are missing",
            "EVERY LINE ACCOUNTED FOR",
            "Lines read, by day",
            "app.rules:1",
            "odd.rules:7",
        ):
            assert said in whole
            assert said not in filtered
        assert accounted(whole) == [3, 2, 0, 1, 0]
        assert "bug in logwarden" not in whole


@pytest.mark.slow
def test_each_period_is_accounted_for_in_one_digest_of_a_route(tmp_path: Path) -> None:
    with host(tmp_path, "routes: [{to: [a@h.example], schedule: hourly}]") as small:
        small.write("normal 1", "the pump is off")
        later(small, HOUR)
        small.write("normal 2", "the pump is on")
        small.close_period()
        later(small, HOUR)
        small.write("the pump is gone")
        later(small, HOUR)
        told = [text(mail) for mail in mails(small) if mail["To"] == "a@h.example"]
        assert [body.count("EVERY LINE ACCOUNTED FOR") for body in told] == [0, 1, 0]
        assert accounted(told[1]) == [4, 2, 0, 2, 0]


@pytest.mark.slow
def test_a_route_remembered_by_an_older_version_begins_its_accounts_with_the_open_period(tmp_path: Path) -> None:
    with host(tmp_path, "routes: [{to: [a@h.example], schedule: hourly}]") as small:
        small.write("normal 1")
        small.close_period()
        small.write("normal 2", "the pump is off")
        marks = {key: mark[:3] for key, mark in small.daemon.state.recall(MARKS).items()}
        with small.daemon.state.transaction() as tx:
            tx.remember(MARKS, marks)
    with small.running():
        small.close_period()
        later(small, HOUR)
        (mail,) = [mail for mail in mails(small) if mail["To"] == "a@h.example"]
        assert accounted(text(mail)) == [2, 1, 0, 1, 0]


@pytest.mark.slow
@pytest.mark.parametrize("program", ["*", "sshd"])
def test_a_ban_of_a_route_says_how_often_there_was_one_before_and_what_it_kept_out(
    tmp_path: Path, program: str
) -> None:
    routes = f"[{{to: [a@h.example], schedule: hourly, program: '{program}'}}]"
    with host(tmp_path, f"routes: {routes}") as small:
        small.attack("203.0.113.9", 3)
        later(small, HOUR)
        later(small, HOUR)
        small.daemon.firewall.dropped = lambda: {"203.0.113.9/32": 42}  # type: ignore[method-assign]
        small.attack("203.0.113.9", 3)
        later(small, HOUR)
        first, second = map(text, mails(small))
        assert "before" not in first
        assert "banned 1 time before, 42 packets dropped since" in second


@pytest.mark.slow
def test_each_route_has_the_format_and_the_attachment_that_it_asks_for(tmp_path: Path) -> None:
    routes = (
        "[{to: [a@h.example], schedule: hourly, format: text, attach: true},"
        " {to: [b@h.example], schedule: hourly, format: both, attach: false}]"
    )
    with host(tmp_path, f"routes: {routes}") as small:
        small.write("the pump is off")
        later(small, HOUR)
        plain, both = mails(small)
        assert plain.get_body(("html",)) is None
        (attachment,) = plain.iter_attachments()
        assert attachment.get_content().endswith("web1 app[1]: the pump is off\n")
        assert both.get_body(("html",)) is not None
        assert list(both.iter_attachments()) == []


@pytest.mark.slow
def test_all_digests_of_a_host_are_one_thread(tmp_path: Path) -> None:
    with host(tmp_path, "routes: [{to: [a@h.example], schedule: hourly}]") as small:
        small.write("the pump is off")
        small.close_period()
        small.write("the pump is on")
        small.close_period()
        later(small, HOUR)
        found = mails(small)
        assert len({mail["Message-ID"] for mail in found}) == len(found) == 3
        assert {(mail["References"], mail["In-Reply-To"]) for mail in found} == {("<logwarden.digest@web1>",) * 2}


@pytest.mark.slow
def test_what_the_firewall_dropped_stands_in_the_digest_of_the_period(tmp_path: Path) -> None:
    with host(tmp_path, "attach: false") as small:
        small.daemon.firewall.dropped = lambda: {"203.0.113.9/32": 1234}  # type: ignore[method-assign]
        small.attack("203.0.113.9", 3)
        assert "1,234 packets dropped since" in small.preview()
        small.close_period()
        assert "1,234 packets dropped since" in text(mails(small)[0])


@pytest.mark.slow
def test_a_digest_may_be_text_alone_with_its_raw_lines_attached(tmp_path: Path) -> None:
    with host(tmp_path, "format: text, attach: true") as small:
        small.write("the pump is off")
        small.close_period()
        (mail,) = mails(small)
        assert mail.get_body(("html",)) is None
        (attachment,) = mail.iter_attachments()
        assert (attachment.get_filename(), attachment.get_content_type()) == ("lines.txt", "text/plain")
        assert attachment.get_content().endswith("web1 app[1]: the pump is off\n")


@pytest.mark.slow
@pytest.mark.parametrize(("heartbeat", "count"), [("heartbeat: 1d", 2), ("heartbeat: null", 0)])
def test_a_heartbeat_comes_once_a_day_where_there_is_nothing_to_say(tmp_path: Path, heartbeat: str, count: int) -> None:
    with host(tmp_path, heartbeat) as small:
        for _ in range(30):
            small.close_period()
            small.hands.pass_by(HOUR)
        found = mails(small)
        assert len(found) == count
        assert all("nothing to report" in mail["Subject"] for mail in found)


def attached(*raws: str) -> EmailMessage:
    """A mail with these raw lines."""
    lines = Attached()
    list(lines.through(entry(raw) for raw in raws))
    return parse(mailed(shown(entry("odd")), attached=lines))


def test_many_attached_lines_are_packed_and_of_too_many_the_rest_is_counted() -> None:
    line = "x" * 50_000
    (attachment,) = attached(*[line] * 200).iter_attachments()
    assert (attachment.get_filename(), attachment.get_content_type()) == ("lines.txt.gz", "application/gzip")
    content = gzip.decompress(attachment.get_content())
    assert len(content) < LINES + 1000
    kept = content.count(b"\n") - 1
    assert content.decode().splitlines()[-1] == f"... and {200 - kept:,} more lines: logwarden events"


@pytest.mark.parametrize(
    "raw", ["\x1b[2J", "a\r\nb", "\u202e", "\ud800", "--==\n\nContent-Type: text/html", "y" * 1_000_000]
)
def test_a_hostile_line_in_an_attachment_is_one_printable_line(raw: str) -> None:
    mail = attached(raw)
    (attachment,) = mail.iter_attachments()
    (line,) = str(attachment.get_content()).splitlines()
    assert line.isprintable()
    content = mail.as_bytes()
    assert max(map(len, content.split(b"\n"))) <= 998
    assert len(list(mail.walk())) == 5  # mixed, alternative, text, html, lines


def test_nothing_attached_is_no_attachment() -> None:
    assert list(attached().iter_attachments()) == []
    assert digest().note == ""
