"""What a digest says, how it looks, and that nothing in a log line can make it say or look otherwise."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from logwarden.cli.options import clock
from logwarden.digest import Digest, Rendered, Shapes, build, compose
from logwarden.digest.escape import visible, wrap
from logwarden.digest.message import identity
from logwarden.digest.render import render
from logwarden.model import Ban, Entry, Location, Notice, NoticeKind, Outcome, Refusal, Severity

UNTIL = datetime(2026, 1, 2, 15, 2, tzinfo=UTC).timestamp()
SINCE = UNTIL - 3600


def entry(
    message: str,
    outcome: Outcome = Outcome.UNEXPLAINED,
    *,
    program: str = "app",
    host: str = "web1",
    rule: str | None = None,
    address: str | None = None,
    severity: Severity | None = None,
    ago: float = 600,
    count: int = 1,
) -> Entry:
    return Entry("journal", UNTIL - ago, host, program, outcome, severity, rule, address, message, message, count)


def attack(address: str, ago: float = 600, rule: str = "sshd.yaml#failed-password") -> Entry:
    message = f"Failed password for root from {address} port 4242 ssh2"
    return entry(message, Outcome.ATTACK, program="sshd", rule=rule, address=address, severity=Severity.ATTACK, ago=ago)


def violation(message: str = "eve : user NOT in sudoers") -> Entry:
    return entry(message, Outcome.ATTACK, program="sudo", rule="sudo.yaml#not-in-sudoers", severity=Severity.VIOLATION)


def alert(message: str = "key of root from elsewhere") -> Entry:
    return entry(message, Outcome.ATTACK, program="sshd", rule="sshd.yaml#wrong-host", severity=Severity.ALERT)


def ban(prefix: str, attack_file: str = "sshd.yaml", hits: int = 5) -> Ban:
    return Ban(prefix, UNTIL - 300, UNTIL + 3600, attack_file, f"{hits} hits in 10m, threshold 5", hits)


def digest(*entries: Entry, **more: Any) -> Digest:
    more = {"host": "web1", "since": SINCE, "until": UNTIL, "zone": UTC, "shapes": Shapes(), **more}
    return build(entries, **more)


def shown(*entries: Entry, **more: Any) -> Rendered:
    return render(digest(*entries, **more))


# --- the subject --------------------------------------------------------------------------------------------


def test_nothing_to_say_is_an_empty_digest() -> None:
    assert digest(counts={"journal": {Outcome.IGNORED: 4711}}).empty
    assert "nothing to report" in shown().subject


def test_the_subject_names_host_reason_counts_and_date() -> None:
    subject = shown(entry("one is down"), entry("two is down"), attack("192.0.2.1"), bans=[ban("192.0.2.1/32")]).subject
    assert subject == "[web1] Security Alerts: 1 ban, 2 new kinds of line, 2 lines (2026-01-02 15:02)"


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([entry("odd"), violation(), attack("192.0.2.1")], "Security Alerts"),
        ([entry("odd"), violation(), alert()], "Security Alerts"),
        ([entry("odd"), violation()], "Security Events"),
        ([entry("odd")], "System Events"),
        ([entry("\0", Outcome.QUARANTINED)], "System Events"),
    ],
)
def test_the_worst_reason_present_is_the_reason(entries: list[Entry], reason: str) -> None:
    assert shown(*entries).subject.startswith(f"[web1] {reason}: ")


def test_a_ban_alone_is_a_security_alert() -> None:
    assert shown(bans=[ban("192.0.2.1/32", "manual")]).subject.startswith("[web1] Security Alerts: 1 ban (")


# --- the body -----------------------------------------------------------------------------------------------


def test_a_ban_shows_its_lines_once_and_not_again_as_an_attack() -> None:
    found = digest(
        *[attack("192.0.2.9")] * 7,
        attack("192.0.2.10"),
        bans=[ban("192.0.2.9/32", hits=5)],
    )
    assert [(each.ban.prefix, each.lines, each.programs) for each in found.bans] == [("192.0.2.9", 7, ("sshd",))]
    assert [(rule.rule, rule.count) for rule in found.attacks] == [("sshd.yaml#failed-password", 1)]


def test_a_ban_of_a_prefix_stands_for_all_addresses_in_it() -> None:
    found = digest(attack("2001:db8::1"), attack("2001:db8::2"), attack("2001:db8:1::2"), bans=[ban("2001:db8::/64")])
    assert found.bans[0].lines == 2
    assert [attack.address for attack in found.attacks[0].addresses] == ["2001:db8:1::2"]


def test_a_ban_does_not_stand_for_attacks_of_another_file() -> None:
    found = digest(attack("192.0.2.9", rule="dovecot.yaml#login"), bans=[ban("192.0.2.9/32", "sshd.yaml")])
    assert found.bans[0].lines == 0
    assert found.attacks[0].count == 1


def test_attack_lines_are_counted_by_rule_and_address_the_busiest_first() -> None:
    found = digest(*[attack(f"192.0.2.{n}") for n in range(20) for _ in range(n + 1)])
    (rule,) = found.attacks
    assert (rule.count, rule.addresses[0].address, rule.addresses[0].count) == (210, "192.0.2.19", 20)
    assert len(rule.addresses) + rule.more == 20


def test_lines_of_one_shape_are_one_group_with_a_count_and_a_span() -> None:
    lines = [entry(f"worker {n} died", ago=100 * n, host=f"web{n}") for n in range(1, 8)]
    (group,) = digest(*lines).groups
    assert (group.count, group.first, group.last) == (7, UNTIL - 700, UNTIL - 100)
    assert len(group.hosts) + group.more_hosts == 7


def test_what_varies_in_a_sample_is_marked() -> None:
    text = shown(entry("worker 4711 died"), entry("worker 4712 died")).text
    assert "worker ‹4711› died" in text


def test_only_what_really_varied_is_marked_where_there_are_several_lines() -> None:
    text = shown(entry("job 7 of 9 done in 3ms"), entry("job 8 of 9 done in 4ms")).text
    assert "job ‹7› of 9 done in ‹3ms›" in text


def test_shapes_that_turn_out_to_be_one_are_one_group() -> None:
    found = digest(*(entry(f"user {name} logged in") for name in ("root", "alice", "bob", "carol", "eve")))
    (group,) = found.groups
    assert group.count == 5
    assert [part.text for part in group.sample if part.variable] == ["root"]


def test_the_id_of_a_group_is_the_same_in_the_next_digest_and_after_a_restart() -> None:
    shapes = Shapes()
    (today,) = digest(entry("worker 4711 died"), shapes=shapes).groups
    (tomorrow,) = digest(entry("worker 4712 died"), shapes=Shapes.load(shapes.dump()), since=UNTIL - 60).groups
    assert today.id == tomorrow.id
    assert (today.novel, tomorrow.novel) == (True, False)


def test_a_counted_entry_counts_as_many_lines() -> None:
    assert digest(entry("one is down", count=1000)).totals.unexplained == 1000


def test_new_shapes_come_before_known_ones_and_rare_before_frequent() -> None:
    shapes = Shapes()
    shapes.learn("app", "known for long", SINCE - 1e6)
    lines = [entry("known for long"), *[entry("frequent new one")] * 9, entry("rare new one")]
    found = digest(*lines, shapes=shapes)
    order = [("".join(part.text for part in group.sample), group.novel) for group in found.groups]
    assert order == [("rare new one", True), ("frequent new one", True), ("known for long", False)]


def test_without_a_memory_nothing_is_called_new() -> None:
    assert not digest(entry("odd"), shapes=None).groups[0].novel


def test_what_is_not_shown_is_counted() -> None:
    lines = [entry(f"{word} is {state}") for word in ("red", "green", "blue") for state in ("up", "down")]
    rendered = shown(*lines, *lines, most=2)
    assert "... and 4 more kinds with 8 lines: logwarden events" in rendered.text
    assert "4 more kinds with 8 lines" in rendered.html


def test_a_violation_and_a_gap_stand_first() -> None:
    gap = Notice(NoticeKind.GAP, "/var/log/mail.log", "12 lines were lost", UNTIL - 60)
    text = shown(entry("odd"), violation(), notices=[gap, gap]).text
    assert text.index("VIOLATION  sudo.yaml#not-in-sudoers") < text.index("GAP  /var/log/mail.log  2 times")
    assert text.index("12 lines were lost") < text.index("UNEXPLAINED")


def test_alerts_come_before_violations_and_each_shows_what_different_people_did() -> None:
    names = ("eve", "mallory", "eve", "trudy", "oscar", "victor")
    found = digest(*(violation(f"{name} : user NOT in sudoers") for name in names), alert())
    assert [(need.title, need.count, len(need.others)) for need in found.needs] == [
        ("alert", 1, 0),
        ("violation", 6, 3),
    ]
    rendered = render(found)
    for body in (rendered.text, rendered.html):
        assert [name for name in names if f"{name} :" in body] == [*names[:3], "trudy", "oscar"]


def test_many_violations_hide_no_notice() -> None:
    many = [entry("no", Outcome.ATTACK, rule=f"a.yaml#{n}", severity=Severity.VIOLATION) for n in range(50)]
    found = digest(*many, notices=[Notice(NoticeKind.FIREWALL, "ipset", "does not answer", UNTIL)], most=10)
    assert [need.title for need in found.needs] == ["violation"] * 10 + ["firewall"]
    assert found.hidden.needs == 40


def test_every_line_is_accounted_for_by_source() -> None:
    counts = {"journal": {Outcome.IGNORED: 90, Outcome.ATTACK: 7, Outcome.UNEXPLAINED: 2, Outcome.QUARANTINED: 1}}
    text = shown(entry("odd"), counts={**counts, "/var/log/x.log": {Outcome.IGNORED: 1234}}).text
    assert re.search(r"journal +100 +90 +7 +2 +1$", text, re.MULTILINE)
    assert re.search(r"total +1,334 +1,324 +7 +2 +1$", text, re.MULTILINE)


def test_a_line_without_an_outcome_is_said_out_loud() -> None:
    rendered = shown(counts={"journal": {Outcome.IGNORED: 9}}, read={"journal": 10})
    assert "1 of 10 lines have no outcome" in rendered.text
    assert "1 of 10 lines have no outcome" in rendered.html


def test_refused_rules_and_the_busiest_ignore_rules_are_listed() -> None:
    rendered = shown(
        entry("odd"),
        counts={"journal": {Outcome.IGNORED: 9}},
        hits={"ignore.d/cron.rules:3": 8, "sshd.yaml#failed-password": 99},
        refused=[Refusal(Location("local.rules", 14), "matches the empty line")],
    )
    for body in (rendered.text, rendered.html):
        assert "ignore.d/cron.rules:3" in body
        assert "local.rules:14: matches the empty line" in body
        assert "failed-password" not in body


def test_times_are_shown_in_the_zone_of_the_digest_with_the_day_where_it_is_another() -> None:
    text = shown(entry("odd", ago=1800), bans=[ban("192.0.2.1/32")], since=UNTIL - 86400).text
    assert "Thursday, 01 January 2026, 15:02 to 02 Jan 15:02 UTC" in text
    assert "14:32:00" in text


@pytest.mark.parametrize("time", [1e18, -1e18, 253_402_343_999.0, -62_135_640_000.0, float("inf")])
def test_a_time_without_a_date_is_shown_as_the_nearest_that_may_be_meant(time: float) -> None:
    """A database of an older logwarden may hold such times."""
    assert "01 Jan 00:00:00" in shown(entry("odd", ago=UNTIL - time)).text
    assert clock(time)[:4] in ("1970", "2200")


def test_a_sample_of_a_long_line_says_how_much_is_missing() -> None:
    assert "[64,536 more characters]" in shown(entry("x" * 65_536)).text


# --- templates ----------------------------------------------------------------------------------------------


def test_a_template_of_the_user_stands_in_for_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "subject.txt.j2").write_text("{{ d.host }} has {{ d.totals.unexplained | counted('line') }}\n")
    rendered = render(digest(entry("odd")), str(tmp_path))
    assert (rendered.subject, rendered.problems) == ("web1 has 1 line", ())
    assert "UNEXPLAINED" in rendered.text


def test_the_html_of_the_user_stands_in_for_the_shipped_one_and_is_as_safe(tmp_path: Path) -> None:
    own = "<p>{{ d.totals.unexplained | counted('line') }}: {{ d.groups[0].sample | marked }}</p>"
    (tmp_path / "digest.html.j2").write_text(own)
    rendered = render(digest(entry("<b>odd")), str(tmp_path))
    assert (rendered.html, rendered.problems) == ("<p>1 line: &lt;b&gt;odd</p>", ())
    assert "UNEXPLAINED" in rendered.text


@pytest.mark.parametrize(
    "bad",
    [
        "{{ d.nonsense }}",
        "{% if %}",
        "{{ 1 / 0 }}",
        "{% include 'other.j2' %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ d.host | nonsense }}",
        "{% for n in range(1000000000) %}{% endfor %}",
        "{{ d.totals.bans | clip('x') }}",
        b"\xff\xfe",
    ],
)
def test_a_template_that_cannot_be_used_is_named_and_the_digest_comes_all_the_same(
    tmp_path: Path, bad: str | bytes
) -> None:
    (tmp_path / "digest.txt.j2").write_bytes(bad if isinstance(bad, bytes) else bad.encode())
    rendered = render(digest(entry("odd")), str(tmp_path))
    assert "UNEXPLAINED" in rendered.text
    assert len(rendered.problems) == 1
    assert rendered.problems[0].startswith("digest.txt.j2: ")


# --- hostile text -------------------------------------------------------------------------------------------

HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "\u202egnp.exe",
    "a\0b",
    "\ud800 alone",
    "\r\nBcc: victim@host.example\r\n\r\nbody",
    "</div></body><script>alert(1)</script><img src=x onerror=alert(1)>",
    "{{ d.host }} {% raw %}",
    "UNEXPLAINED\n===========\n\nnothing to see",
    "line\u2028separator\u2029\x85",
    "Z" + "\u0300" * 500,
    "\u200b\ufeff\u00ad",
    "=?utf-8?q?forged?=",
    "x" * 1_000_000,
    "漢字" * 400,
    "-- \nsignature",
    "<!--", "&lt;", "'\"><b>",
]  # fmt: skip


class Tags(HTMLParser):
    """Collects what a browser would see as tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attributes}


def tags(html: str) -> Tags:
    parser = Tags()
    parser.feed(html)
    return parser


def margin(text: str) -> list[str]:
    """The lines that stand at the left margin."""
    return [line for line in text.splitlines() if line[:1] not in ("", " ")]


def everywhere(text: str) -> Digest:
    """A digest with `text` wherever the outside world can put any."""
    prefix = "192.0.2.1/32"
    return digest(
        entry(text, program=text, host=text),
        entry(text, Outcome.QUARANTINED, program=text, host=text),
        Entry(text, UNTIL, text, text, Outcome.ATTACK, Severity.ATTACK, text, None, text, text),
        Entry(text, UNTIL, text, text, Outcome.ATTACK, Severity.VIOLATION, text, None, text, text),
        Entry(text, UNTIL, text, text, Outcome.ATTACK, Severity.ATTACK, f"{text}#x", "192.0.2.1", text, text),
        host=text,
        bans=[Ban(prefix, UNTIL, UNTIL, text, text, 3)],
        notices=[Notice(NoticeKind.GAP, text, text, UNTIL)],
        counts={text: {Outcome.IGNORED: 1}},
        hits={f"{text}:1": 1},
        refused=[Refusal(Location(text, 1), text)],
    )


def frame(rendered: Rendered) -> tuple[int, set[str], set[str]]:
    """What a reader takes for our own words: lines at the margin; and tags and attributes."""
    found = tags(rendered.html)
    return len(margin(rendered.text)), set(found.tags), found.attributes


PLAIN = frame(render(everywhere("plain")))


def check_harmless(found: Digest) -> None:
    """Whatever the text was, a reader sees the same frame as for plain words, and so does a mail program."""
    rendered = render(found)
    assert frame(rendered) == PLAIN
    assert rendered.subject.isprintable()
    assert all(cell_len(line) <= 80 for line in rendered.text.splitlines())
    assert all(letter.isprintable() or letter == "\n" for letter in rendered.text + rendered.html)
    content = mailed(rendered, host=found.host)
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    mail = parse(content)
    assert [name for name, _ in mail.items()] == HEADERS
    assert mail["Subject"].strip() == rendered.subject  # a long first word is folded onto a line of its own
    assert bodies(mail) == [rendered.text, rendered.html]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:16]))
def test_hostile_text_forges_no_header_no_section_and_no_tag(text: str) -> None:
    check_harmless(everywhere(text))


@given(st.text(min_size=1, max_size=60).filter(str.strip))
def test_no_text_at_all_changes_the_frame(text: str) -> None:
    check_harmless(everywhere(text))


@pytest.mark.slow
def test_fifty_thousand_groups_make_a_digest_of_bounded_size() -> None:
    words = ("".join(chr(97 + (n >> 4 * k & 15)) for k in range(4)) for n in range(50_000))
    found = digest(*(entry("failed", program=word) for word in words))
    assert found.totals.unexplained == 50_000
    rendered = render(found)
    assert len(rendered.text) < 100_000
    assert len(rendered.html) < 200_000


@pytest.mark.slow
def test_ten_thousand_notices_and_bans_make_a_digest_of_bounded_size() -> None:
    bans = [ban(f"2001:db8:{n:x}::/64") for n in range(10_000)]
    notices = [Notice(NoticeKind.SOURCE, f"file{n}", "is gone", UNTIL) for n in range(10_000)]
    rendered = shown(bans=bans, notices=notices)
    assert "... and 9,970 more bans" in rendered.text
    assert len(rendered.text) < 100_000


@given(st.text(max_size=300), st.integers(min_value=8, max_value=80))
def test_wrapping_loses_nothing_but_spaces_at_its_cuts(text: str, width: int) -> None:
    lines = wrap(visible(text), width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == visible(text).replace(" ", "")


def test_escapes_are_those_of_python_and_readable_text_is_left_alone() -> None:
    assert visible("Grüße, 世界 🚀") == "Grüße, 世界 🚀"
    assert visible("\x1b\t\u202e\ud800\U000e0041") == "\\x1b\\t\\u202e\\ud800\\U000e0041"


# --- the mail -----------------------------------------------------------------------------------------------

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "List-Id", "MIME-Version", "Content-Type"]


def parse(content: bytes) -> EmailMessage:
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def bodies(mail: EmailMessage) -> list[str]:
    return [part.get_content().replace("\r\n", "\n") for part in mail.iter_parts()]


def mailed(rendered: Rendered, **more: Any) -> bytes:
    fields = {"sender": "logwarden@web1.example", "recipients": ["root", "ops@host.example"], "host": "web1"}
    return compose(rendered, **{**fields, "message_id": identity("digest.7", "web1"), "date": UNTIL, **more})


def test_a_mail_holds_text_and_html_and_says_that_a_machine_wrote_it() -> None:
    rendered = shown(entry("worker 1 died: größer"), entry("worker 2 died: größer"))
    mail = parse(mailed(rendered))
    assert mail.get_content_type() == "multipart/alternative"
    text, html = mail.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert bodies(mail) == [rendered.text, rendered.html]
    assert (mail["To"], mail["Auto-Submitted"]) == ("root@web1, ops@host.example", "auto-generated")
    assert (mail["List-Id"], mail["Message-ID"]) == ("<logwarden.web1>", "<logwarden.digest.7@web1>")
    assert mail["Date"].datetime.timestamp() == UNTIL


def test_the_same_digest_composed_twice_is_the_same_mail_to_a_mailbox() -> None:
    rendered = shown(entry("odd"))
    assert parse(mailed(rendered))["Message-ID"] == parse(mailed(rendered))["Message-ID"]


def test_mails_of_one_thread_refer_to_it() -> None:
    mail = parse(mailed(shown(entry("odd")), thread="<logwarden.2026-01-02@web1>"))
    assert mail["References"] == mail["In-Reply-To"] == "<logwarden.2026-01-02@web1>"


def test_a_mail_of_plain_ascii_is_readable_in_its_source() -> None:
    content = mailed(shown(violation("eve : user NOT in sudoers ; TTY=pts/1")))
    assert b"Content-Transfer-Encoding: 7bit" in content
    assert b"\r\n      eve : user NOT in sudoers ; TTY=pts/1\r\n" in content


def test_nothing_remote_and_nothing_that_runs_is_in_the_html() -> None:
    html = shown(entry("see http://203.0.113.5/x.png"), violation(), bans=[ban("192.0.2.1/32")]).html
    found = tags(html)
    assert not {"script", "img", "link", "iframe", "form", "object", "base", "a"} & set(found.tags)
    assert not {"src", "href", "background", "onload", "onerror"} & found.attributes
    assert "url(" not in html
    assert "@import" not in html


# --- what is known besides the lines ------------------------------------------------------------------------


def test_a_ban_says_how_often_there_was_one_before_and_what_it_kept_out() -> None:
    made = [ban("192.0.2.1/32"), ban("192.0.2.2/32")]
    rendered = shown(bans=made, before={"192.0.2.1/32": 2}, dropped={"192.0.2.1/32": 1234})
    for body in (rendered.text, rendered.html):
        assert body.count("banned 2 times before, 1,234 packets dropped since") == 1


def test_a_consolidated_logs_kinds_stand_by_host_and_those_of_several_together() -> None:
    lines = [
        entry("disk is full", host="db1"),
        entry("fan is loud", host="web2"),
        *[entry("link is down", host=host) for host in ("db1", "web2", "web3")],
        entry("lid is open", host="db1"),
    ]
    found = digest(*lines, host="log1")
    text, html = render(found).text, render(found).html
    order = ["On db1", "disk is full", "lid is open", "On web2", "fan is loud", "On several hosts", "link is down"]
    for body in (text, html):
        assert sorted(order, key=body.index) == order
    assert re.search(r"^ On db1 +2 kinds$", text, re.MULTILINE)
    assert "on db1, web2, web3" in text
    assert " On web1" not in shown(entry("one is down"), entry("two is down")).text


def test_a_ban_and_a_violation_say_on_which_host() -> None:
    other = replace(attack("192.0.2.9"), host="db1")
    rendered = shown(other, replace(violation(), host="db2"), bans=[ban("192.0.2.9/32")])
    assert "192.0.2.9  on db1" in rendered.text
    assert "sudo  on db2" in rendered.text
    assert "  on web1" not in shown(attack("192.0.2.9"), violation(), bans=[ban("192.0.2.9/32")]).text


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("lost connection after AUTH from mail7.example.net[192.0.2.9]", "mail7.example.net"),
        ("reverse mapping of mail7.example.net [192.0.2.9] failed", "mail7.example.net"),
        ("login from unknown[192.0.2.9]", ""),
        ("relay.example.org[198.51.100.1] rejects 192.0.2.9", ""),
        ("x.example.org[999.1.1.1] and 192.0.2.9", ""),
    ],
)
def test_a_ban_has_the_name_that_the_line_has_and_nobody_is_asked(said: str, name: str) -> None:
    line = replace(attack("192.0.2.9"), message=said, raw=said)
    found = digest(line, bans=[ban("192.0.2.9/32")])
    assert found.bans[0].name == name
    assert f"192.0.2.9  {name}".rstrip() in render(found).text


def test_gaps_are_counted_by_source() -> None:
    lost = [Notice(NoticeKind.GAP, "file:/b", f"lines {n} may be missing", UNTIL) for n in range(2)]
    counts = {name: {Outcome.IGNORED: 5} for name in ("file:/a", "file:/b")}
    found = digest(notices=lost, counts=counts)
    assert [(each.source, each.gaps) for each in (*found.sources, found.total)] == [
        ("file:/a", 0),
        ("file:/b", 2),
        ("total", 2),
    ]
    assert render(found).text.count("2 gaps: lines may be missing") == 2
    assert "no gaps" in render(digest(entry("odd"), counts=counts)).text


def test_a_week_is_a_row_of_bars_in_80_columns() -> None:
    counts = {"journal": {Outcome.IGNORED: 5}}
    week = [(UNTIL - 86_400 * back, 100 * (7 - back)) for back in range(9)]
    rendered = shown(entry("odd"), counts=counts, rhythm=week)
    assert "Sat ▂  Sun ▃  Mon ▄  Tue ▅  Wed ▆  Thu ▇  Fri █" in rendered.text
    assert rendered.html.count('class="bars"') == 7
    assert all(cell_len(line) <= 80 for line in rendered.text.splitlines())
    assert "by day" not in shown(entry("odd"), counts=counts).text


def test_the_subject_of_the_config_stands_in_for_the_shipped_one(tmp_path: Path) -> None:
    found = digest(entry("odd"))
    assert render(found, subject="{{ d.host }}: {{ d.totals.unexplained }}").subject == "web1: 1"
    bad = render(found, subject="{{ d.nonsense }}")
    assert (bad.subject[:6], len(bad.problems)) == ("[web1]", 1)


def test_a_digest_says_how_its_kinds_are_hidden() -> None:
    found = digest(entry("odd"))
    assert f"logwarden suggest {found.groups[0].id}" in render(found).text
