"""What a line's header says, in every layout that is understood, and that no line can upset the reader."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import time
import unittest.mock
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden import header
from logwarden.header import reading, stamp
from logwarden.model import Event


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone with daylight saving, so that local time and UTC cannot be confused."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    _forget()
    yield
    monkeypatch.undo()
    time.tzset()
    _forget()


def _forget() -> None:
    stamp.start.cache_clear()
    stamp._starts.cache_clear()


def at(text: str) -> float:
    """The time that an ISO stamp with a zone says."""
    return datetime.fromisoformat(text).timestamp()


NOW = at("2026-11-22T17:30:00+01:00")


def parse(line: str | bytes, program: str | None = None, now: float = NOW) -> Event:
    return header.parse(line.encode() if isinstance(line, str) else line, program, now)


def fields(event: Event) -> tuple[str | None, str | None, int | None, str]:
    return event.host, event.program, event.pid, event.message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Nov 22 17:00:00 mail sshd[42]: Hello: you", ("mail", "sshd", 42, "Hello: you")),
        ("Nov  2 17:00:00 mail sshd[42]: Hello", ("mail", "sshd", 42, "Hello")),
        ("Nov 02 17:00:00 mail sshd[42]: Hello", ("mail", "sshd", 42, "Hello")),
        ("Nov 2 17:00:00 mail sshd[42]: Hello", ("mail", "sshd", 42, "Hello")),
        ("2026-11-22T17:00:00Z mail sshd[42]: Hello", ("mail", "sshd", 42, "Hello")),
        ("2026-11-22T17:00:00,5-0330 mail sshd[42]: Hello", ("mail", "sshd", 42, "Hello")),
        ("2026-11-22T17:00:00.123456+01:00 mail sshd[42]: Hello", ("mail", "sshd", 42, "Hello")),
        ("Nov 22 17:00:00 mail postfix/smtpd[7]: connect", ("mail", "postfix/smtpd", 7, "connect")),
        ("Nov 22 17:00:00 mail sshd(pam_unix)[7]: bye", ("mail", "sshd(pam_unix)", 7, "bye")),
        ("Nov 22 17:00:00 mail CRON[1]: (root) CMD (x)", ("mail", "CRON", 1, "(root) CMD (x)")),
        ("Nov 22 17:00:00 mail /USR/SBIN/CRON[1]: x", ("mail", "/USR/SBIN/CRON", 1, "x")),
        ("Nov 22 17:00:00 mail kernel: [   12.345678] eth0: up", ("mail", "kernel", None, "[   12.345678] eth0: up")),
        ("Nov 22 17:00:00 mail sudo:     root : TTY=pts/0", ("mail", "sudo", None, "    root : TTY=pts/0")),
        ("Nov 22 17:00:00 mail systemd-logind[9]: New session", ("mail", "systemd-logind", 9, "New session")),
        ("Nov 22 17:00:00 mail named[a-1]: x", ("mail", "named", None, "x")),
        ("Nov 22 17:00:00 2001:db8::1 sshd[42]: x", ("2001:db8::1", "sshd", 42, "x")),
        ("Nov 22 17:00:00 2001:db8::1%eth0 sshd: x", ("2001:db8::1%eth0", "sshd", None, "x")),
        ("Nov 22 17:00:00 s_src@relay/mail sshd: x", ("s_src@relay/mail", "sshd", None, "x")),
        ("Nov 22 17:00:00 mail sshd[42]: ", ("mail", "sshd", 42, "")),
        ("Nov 22 17:00:00 mail prüfer[42]: x", ("mail", "prüfer", 42, "x")),
    ],
)
def test_a_traditional_line_is_taken_apart(line: str, expected: tuple[object, ...]) -> None:
    assert fields(parse(line)) == expected
    assert header.take_apart(line.encode(), None, NOW).traditional
    assert fields(parse(line, "other")) == expected, "what the source names is for lines that name none"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("<38>Nov 22 17:00:00 mail sshd[42]: Hello", ("mail", "sshd", 42, "Hello")),
        ("<38>2026-11-22T17:00:00Z mail sshd[42]: Hello", ("mail", "sshd", 42, "Hello")),
        ("Nov 22 17:00:00 mail last message repeated 2 times", ("mail", None, None, "last message repeated 2 times")),
        ("Nov 22 17:00:00 mail sshd[42]:no space", ("mail", "sshd", 42, "no space")),
        ("Nov 22 17:00:00 mail sshd:", ("mail", "sshd", None, "")),
        ("Nov 22 17:00:00 mail Cron Daemon[42]: x", ("mail", None, None, "Cron Daemon[42]: x")),
        ("Nov 22 17:00:00 openvpn[42]: no host", (None, "openvpn", 42, "no host")),
        ("Nov 22 17:00:00 sogod [42]: spaced", (None, "sogod", 42, "spaced")),
        ("Nov 22 17:00:00.123 mail sshd[42]: x", ("mail", "sshd", 42, "x")),
        ("Nov 22 2026 17:00:00 mail sshd[42]: x", ("mail", "sshd", 42, "x")),
        ("2026-11-22T17:00:00Z mail -- MARK --", ("mail", None, None, "-- MARK --")),
        ("2026-11-22 17:00:00 mail sshd[42]: x", ("mail", "sshd", 42, "x")),
        # FreeBSD's syslogd -v and -vv
        ("Nov 22 17:00:00 <mail.info> mail sshd[42]: x", ("mail", "sshd", 42, "x")),
        ("Nov 22 17:00:00 <4.6> mail sshd[42]: x", ("mail", "sshd", 42, "x")),
        # BusyBox's syslogd, and OpenWrt's logread
        ("Nov 22 17:00:00 mail auth.info sshd[42]: x", ("mail", "sshd", 42, "x")),
        ("Nov 22 17:00:00 mail kern.warn kernel: x", ("mail", "kernel", None, "x")),
        ("Sun Nov 22 17:00:00 2026 authpriv.warn dropbear[42]: x", (None, "dropbear", 42, "x")),
        ("Sun Nov 22 17:00:00 2026 kern.warn kernel: x", (None, "kernel", None, "x")),
        # socklog
        ("2026-11-22T17:00:00.12345 auth.info: sshd[42]: x", (None, "sshd", 42, "x")),
        ("2026-11-22T17:00:00.12345 auth.info: Invalid user x", (None, None, None, "Invalid user x")),
        ("2026-11-22 17:00:00 0.5 seconds: slow", (None, None, None, "0.5 seconds: slow")),
        ("2026-11-22 17:00:00 1.5 GB free", (None, None, None, "1.5 GB free")),
        ("2026-11-22T17:00:00Z disk 0.5 full: x", ("disk", None, None, "0.5 full: x")),
        # metalog
        ("Nov 22 17:00:00 [sshd] x", (None, "sshd", None, "x")),
        # multilog, s6-log
        ("@400000006b03118a1dcd6500 sshd[42]: x", (None, "sshd", 42, "x")),
        ("Nov 22 17:00:00 [error] x", (None, None, None, "[error] x")),
        # rsyslog's RSYSLOG_SyslogProtocol23Format without priority and version
        ("2026-11-22T17:00:00Z mail sshd 42 - - x", ("mail", "sshd", 42, "x")),
        ('2026-11-22T17:00:00Z mail sshd - ID47 [a@1 b="c"] x', ("mail", "sshd", None, "x")),
        ("2026-11-22T17:00:00 mail sshd: x", ("mail", "sshd", None, "x")),
        # a level, a number or an address is no host and no program
        ("2026-11-22T17:00:00 WARN module: x", (None, None, None, "WARN module: x")),
        ("2026-11-22T17:00:00.123 warn module: x", (None, None, None, "warn module: x")),
        ("2026-11-22T17:00:00Z ERROR x y", (None, None, None, "ERROR x y")),
        ("2026-11-22T17:00:00Z Error x y", (None, None, None, "Error x y")),
        ("Nov 22 17:00:00 [ERROR] x", (None, None, None, "[ERROR] x")),
        ("Nov 22 17:00:00 [Warning] x", (None, None, None, "[Warning] x")),
        ("Nov 22 17:00:00 [WRN] x", (None, None, None, "[WRN] x")),
        ("Nov 22 17:00:00 [203.0.113.9] x", (None, None, None, "[203.0.113.9] x")),
        ("Nov 22 17:00:00 [12345.678901] x", (None, None, None, "[12345.678901] x")),
        ("2026-11-22T17:00:00 mail Warning: x", (None, None, None, "mail Warning: x")),
        ("Nov 22 17:00:00 [errord] x", (None, "errord", None, "x")),
        ("2026-11-22T17:00:00 information sshd: x", ("information", "sshd", None, "x")),
        ("no header at all", (None, None, None, "no header at all")),
        ("sshd[42]: no stamp", (None, None, None, "sshd[42]: no stamp")),
        ("", (None, None, None, "")),
    ],
)
def test_a_line_with_an_odd_header_gives_what_it_has(line: str, expected: tuple[object, ...]) -> None:
    assert fields(parse(line)) == expected
    assert not header.take_apart(line.encode(), None, NOW).traditional


@pytest.mark.parametrize(
    ("line", "message", "time_"),
    [
        ("2026/11/22 17:00:00 [error] 1#1: *1 x", "[error] 1#1: *1 x", "2026-11-22T17:00:00+01:00"),
        ("[Thu Jul 11 01:21:43.5 2013] [error] x", "[error] x", "2013-07-11T01:21:43.5+02:00"),
        ("[Thu Jul 11 01:21:43 2013] [error] x", "[error] x", "2013-07-11T01:21:43+02:00"),
        ("Thu Jul 11 01:21:43 2013 [pid 2] OK LOGIN", "[pid 2] OK LOGIN", "2013-07-11T01:21:43+02:00"),
        ("2026-11-22 17:00:00,250 WARN x", "WARN x", "2026-11-22T17:00:00.25+01:00"),
        ("[2026-11-22 17:00:00]x", "x", "2026-11-22T17:00:00+01:00"),
        ("2026-11-22T17:00:00.5Z 345 [Note] x", "345 [Note] x", "2026-11-22T17:00:00.5+00:00"),
        ("2026-11-22T17:00:00Z: Failed Login", "Failed Login", "2026-11-22T17:00:00+00:00"),
        ("2026-11-22 17:00:00 +08:00 [WRN] x", "[WRN] x", "2026-11-22T17:00:00+08:00"),
        ("Nov 22 17:00:00 imap-login: Info: x", "imap-login: Info: x", "2026-11-22T17:00:00+01:00"),
        ("2026-11-22T17:00:00 WARN module: x", "WARN module: x", "2026-11-22T17:00:00+01:00"),
        ("@400000006b03118a1dcd6500 x", "x", "2026-11-22T16:00:00.5+00:00"),
    ],
)
def test_a_stamp_alone_is_cut_off(line: str, message: str, time_: str) -> None:
    event = parse(line, "app")
    assert fields(event) == (None, "app", None, message)
    assert event.time == at(time_)


@pytest.mark.parametrize("host", ["203.0.113.9", "2001:db8::9", "mail"])
def test_a_clients_address_and_what_it_asks_for_are_no_host_and_no_program(host: str) -> None:
    line = f"2026-11-22T17:00:00+01:00 {host} GET 404 12 - /wp-login.php"
    assert fields(parse(line, "nginx")) == (None, "nginx", None, line[26:])
    program = parse(line).program
    assert program == ("GET" if host == "mail" else None)


@pytest.mark.parametrize("rest", ["alice auth.info sshd[42]: x", "auth.info: sshd: x", "mail sshd: x", "[sshd] x"])
def test_what_follows_the_stamp_of_a_program_that_the_source_names_is_its_message(rest: str) -> None:
    event = parse(f"2026-11-22T17:00:00 {rest}", "app")
    assert (event.program, event.message) == ("app", rest)


@pytest.mark.parametrize(
    "line", ["Nov 22 17:00:00 [{}] x", "Nov 22 17:00:00 [{}]: x", "2026-11-22T17:00:00 mail {}: x"]
)
def test_what_a_message_may_begin_with_is_a_tag_of_any_programs_if_a_rule_names_that_program(line: str) -> None:
    for name, expected in (("sshd", "sshd"), ("alice", "*")):
        text = line.format(name).encode()
        [event], _ = header.read(text, [len(text)], "*", NOW, {"sshd"})
        assert event.program == header.take_apart(text, "*", NOW, {"sshd"}).program == expected
        assert (event.message == "x") is (name == "sshd")


@pytest.mark.parametrize(
    ("line", "time_"),
    [
        ("1795363200: Client auto-7 disconnected", "2026-11-22T16:00:00Z"),
        ("1795363200.5      0 203.0.113.9 TCP_DENIED/403", "2026-11-22T16:00:00.5Z"),
        ("[notice] 2026-11-22T17:00:00.5Z couchdb@127.0.0.1 <0.4711.0>", "2026-11-22T17:00:00.5Z"),
        ("<W>2026-11-22 17:00:00.123 1 => <8:alice(-1)>", "2026-11-22T17:00:00.123+01:00"),
        ("W, [2026-11-22T17:00:00.25 #1]  WARN -- : Failed", "2026-11-22T17:00:00.25+01:00"),
        ("4711 a1b2c -- none -- - 2026-11-22T17:00:00+00:00 WARN (4):", "2026-11-22T17:00:00Z"),
        ("[2026-11-22 17:00:00 UTC] [203.0.113.9:4242] x", "2026-11-22T17:00:00Z"),
        ('logger="a \\"b" uname= t=2026-11-22T17:00:00.5Z level=error', "2026-11-22T17:00:00.5Z"),
        ('time="2026-11-22T17:00:00+02:00" level=error', "2026-11-22T17:00:00+02:00"),
        ("2026:11:22-17:00:00: '203.0.113.9' 3 failed", "2026-11-22T17:00:00+01:00"),
        ("2026.11.22 17:00:00 LOG3[8:1]: SSL_accept", "2026-11-22T17:00:00+01:00"),
        ("[20261122-17:00:00] [INFO ] AUTHFAIL", "2026-11-22T17:00:00+01:00"),
        ("[22/Nov/2026 17:00:00] Failed IMAP login", "2026-11-22T17:00:00+01:00"),
        ("[22-Nov-2026 17:00:00 +0000]: <abc> IMAP Error", "2026-11-22T17:00:00Z"),
        ("[22/Nov/2026:17:00:00 +0000] - 404 404 - GET", "2026-11-22T17:00:00Z"),
        ("[22-Nov-2026 17:00:00 UTC] PHP Warning", "2026-11-22T17:00:00Z"),
        ("[22-Nov-2026 17:00:00 Europe/Berlin] PHP Warning", "2026-11-22T17:00:00+01:00"),
        ("4711:M 22 Nov 2026 17:00:00.123 # Possible", "2026-11-22T17:00:00.123+01:00"),
        ("11/22/2026-17:00:00.5  [**] [1:2001219:20]", "2026-11-22T17:00:00.5+01:00"),
        ("11/22-17:00:00.123456  [**] [1:2001219:20]", "2026-11-22T17:00:00+01:00"),
        ("11/22/26 17:00:00.5 web_php[4711].ERR", "2026-11-22T17:00:00.5+01:00"),
        ("NOTICE    Nov 22 17:00:00.123 [4711]: Unauthorized", "2026-11-22T17:00:00+01:00"),
        ("WARN: [Nov 22 17:00:00.000] failed", "2026-11-22T17:00:00+01:00"),
    ],
)
def test_a_line_of_a_programs_own_layout_gives_its_time_and_stays_whole(line: str, time_: str) -> None:
    event = parse(line, "app")
    assert (event.program, event.message, event.time) == ("app", line, at(time_))


@pytest.mark.parametrize(
    "line",
    [
        "13/22-17:00:00.1 x",
        "00/22/2026-17:00:00 x",
        "[32/Nov/2026 17:00:00] x",
        "[22/Foo/2026 17:00:00] x",
        "9999999999: x",
        "[notice] 2026-13-22T17:00:00Z x",
        "2026.11:22 17:00:00 x",
        'uname="x t=2026-11-22T17:00:00Z y" level=error',
        "uname=x y t=2026-11-22T17:00:00Z level=error",
        "login failed for 1795363200: from 203.0.113.9",
        "login failed for x at 2026-11-22 17:00:00 UTC",
    ],
)
def test_what_only_looks_like_a_programs_own_stamp_is_no_time(line: str) -> None:
    event = parse(line, "app")
    assert (event.message, event.time) == (line, None)


def test_an_access_log_line_gives_its_time_and_stays_whole() -> None:
    line = '192.0.2.1 - alice [22/Nov/2026:17:00:00 -0500] "GET /[1] HTTP/1.1" 200 5'
    event = parse(line, "nginx")
    assert fields(event) == (None, "nginx", None, line)
    assert event.time == at("2026-11-22T17:00:00-05:00")


# --- RFC 5424 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("<34>1 2026-11-22T17:00:00Z mail su 7 ID47 - x y", ("mail", "su", 7, "x y")),
        ("<34>1 2026-11-22T17:00:00Z mail su - - - \ufeffx", ("mail", "su", None, "x")),
        ('<34>1 2026-11-22T17:00:00Z mail su - - [a@1 b="c \\" \\] d" e="]"][f] x', ("mail", "su", None, "x")),
        ('<34>1 2026-11-22T17:00:00Z mail su - - [a b="c"]', ("mail", "su", None, "")),
        ("<34>1 2026-11-22T17:00:00Z mail su - - -", ("mail", "su", None, "")),
        (
            "<34>1 2026-11-22T17:00:00Z mail su - - -  a blank that rsyslog kept",
            ("mail", "su", None, "a blank that rsyslog kept"),
        ),
        ("2026-11-22T17:00:00Z mail su[7] no colon was sent", ("mail", "su", 7, "no colon was sent")),
        ("Nov 22 17:00:00 mail su[7] no colon was sent", ("mail", "su", 7, "no colon was sent")),
        ("[2026-11-22 17:00:00] worker pool[7] is busy", (None, None, None, "worker pool[7] is busy")),
        ("<34>1 - - - - - - x", (None, None, None, "x")),
        ("<34>1 - mail ev:il[*] - - - x", ("mail", "ev_il___", None, "x")),
        ("<34>1 - mail * - - - x", ("mail", "_", None, "x")),
        ('<34>1 - mail su - - [a b="c x', ("mail", "su", None, '[a b="c x')),
    ],
)
def test_rfc_5424_is_taken_apart(line: str, expected: tuple[object, ...]) -> None:
    assert fields(parse(line)) == expected


@pytest.mark.parametrize(
    "data", ["-", '[a@1 b="c"]', '[a@1 b="c"][d@1 e="f"]', r'[a@1 user="x\] Failed \" ] y"]', "[a]"]
)
@pytest.mark.parametrize("blanks", [" ", "  ", " \ufeff"])
def test_structured_data_ends_at_the_same_place_with_the_first_two_fields_and_without(data: str, blanks: str) -> None:
    for first in ("<34>1 ", ""):
        line = f"{first}2026-11-22T17:00:00Z mail su 7 - {data}{blanks}x"
        assert fields(parse(line)) == ("mail", "su", 7, "x"), line


def test_rfc_5424_has_its_time() -> None:
    assert parse("<34>1 2026-11-22T17:00:00.003Z mail su - - - x").time == at("2026-11-22T17:00:00.003+00:00")


# --- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamp", "now", "expected"),
    [
        ("Nov 22 17:00:00", "2026-11-22T17:30:00+01:00", "2026-11-22T17:00:00+01:00"),
        ("Jul  1 12:00:00", "2026-11-22T17:30:00+01:00", "2026-07-01T12:00:00+02:00"),
        ("Dec 31 23:59:59", "2026-01-01T00:00:05+01:00", "2025-12-31T23:59:59+01:00"),
        ("Jan  1 00:00:05", "2025-12-31T23:59:59+01:00", "2026-01-01T00:00:05+01:00"),
        ("Nov 23 17:30:00", "2026-11-22T17:30:00+01:00", "2026-11-23T17:30:00+01:00"),
        ("Nov 23 17:30:01", "2026-11-22T17:30:00+01:00", "2025-11-23T17:30:01+01:00"),
        ("Feb 29 12:00:00", "2026-11-22T17:30:00+01:00", "2024-02-29T12:00:00+01:00"),
        ("Feb 29 12:00:00", "2103-11-22T17:30:00+01:00", "2096-02-29T12:00:00+01:00"),
        ("Jun 30 23:59:60", "2026-11-22T17:30:00+01:00", "2026-07-01T00:00:00+02:00"),
    ],
)
def test_a_stamp_without_a_year_is_the_last_one_not_a_day_ahead(stamp: str, now: str, expected: str) -> None:
    assert parse(f"{stamp} mail su: x", now=at(now)).time == at(expected)


@pytest.mark.parametrize(
    "line",
    [
        "Feb 31 12:00:00 mail su: x",
        "Nov 22 25:00:00 mail su: x",
        "Nov 22 17:00:99 mail su: x",
        "Nob 22 17:00:00 mail su: x",
        "Nov 00 17:00:00 mail su: x",
        "2026-13-01T00:00:00Z mail su: x",
        "0000-01-01T00:00:00Z mail su: x",
        "Nov 22 17:00 mail su: x",
        "2026-1-1T0:0:0+1 mail su: x",
    ],
)
def test_an_impossible_time_leaves_the_rest_of_the_header(line: str) -> None:
    assert parse(line).time is None
    assert fields(parse(line)) == ("mail", "su", None, "x")


@pytest.mark.parametrize(
    "line",
    [
        "@4fffffffffffffff00000000 x",
        "@400000006b03118a3b9aca00 x",  # 10^9 nanoseconds
        "@4000000000000000ffffffff x",
        "9999-12-31T23:59:59-12:00 mail su: x",
        "0001-01-01T00:00:00+12:00 mail su: x",
        "2200-01-01T00:00:00Z mail su: x",
        "1969-12-31T23:59:59Z mail su: x",
        "9999-12-31 23:59:59 x",
        "<34>1 9999-12-31T23:59:59-12:00 mail su 1 - - x",
        '192.0.2.1 - - [31/Dec/9999:23:59:59 -1200] "GET / HTTP/1.1" 200 5',
    ],
)
def test_a_time_that_nobody_means_is_none(line: str) -> None:
    [event], _ = header.read(line.encode(), [len(line)], None, NOW)
    assert (event.time, event.message[-1]) == (None, line[-1])
    assert parse(line).time is None


def test_a_clock_that_was_never_set_and_one_far_ahead_may_be_meant() -> None:
    for text in ("1970-01-01T00:00:05+00:00", "2199-12-31T23:59:59+00:00"):
        assert parse(f"{text} mail su: x").time == at(text)


def test_the_zone_of_a_stamp_counts() -> None:
    for zone, hours in (("Z", 0), ("+00:00", 0), ("+0530", 5.5), ("-08:00", -8)):
        expected = datetime(2026, 11, 22, 17, tzinfo=timezone.utc).timestamp() - hours * 3600  # noqa: UP017
        assert parse(f"2026-11-22T17:00:00{zone} mail su: x").time == expected


# --- hostile lines --------------------------------------------------------------------------------------------------

TRADITIONAL_STAMPS = [
    "Nov 22 17:00:00",
    "Nov  2 17:00:60",
    "Nov 2 17:00:61",
    "Xyz 32 99:99:00",
    "2026-11-22T17:00:00.5Z",
    "2026-11-22T17:00:60,123456+01:00",
    "2026-11-22T17:00:61.0-0330",
    "2026-13-22T17:00:00Z",
]
STAMPS = [
    *TRADITIONAL_STAMPS,
    "<1>Feb 30 99:00:00",
    "2026-11-22 17:00:00",
    f"2026-11-22T17:00:00.{'5' * 50}Z",
    "[Thu Jul 11 01:21:43 2013]",
]
PIECES = st.one_of(
    st.sampled_from([*STAMPS, "<34>1", "mail", "2001:db8::1", "sshd[1]:", "su:", "a:b", "-", "[a b=", '"c\\"', "]"]),
    st.sampled_from(
        ["*", "*:", "\x01", "\x01\x01", "\r", "\0", "\ufeff", "[22/Nov/2026:17:00:00 +0000]", ":", "[", " "]
    ),
).map(str.encode)
LINES = st.one_of(
    st.binary(max_size=80),
    st.lists(PIECES, max_size=9).map(b" ".join),
    st.lists(PIECES, max_size=9).map(b"".join),
    st.tuples(st.sampled_from(STAMPS), st.lists(PIECES, max_size=5)).map(lambda t: b" ".join([t[0].encode(), *t[1]])),
).map(lambda line: line.replace(b"\n", b""))


@pytest.mark.parametrize("divided", [reading._divided, reading._divided_here], ids=["as built", "without C"])
@given(st.lists(LINES), st.sampled_from([None, "*", "nginx", "prüfer"]))
def test_many_lines_are_read_as_each_by_itself(divided: object, lines: list[bytes], program: str | None) -> None:
    block = b"".join(b"%s\n" % line for line in lines)
    ends = [end - 1 for end in itertools.accumulate(len(line) + 1 for line in lines)]
    with unittest.mock.patch.object(reading, "_divided", divided):
        events, unusual = header.read(block, ends, program, NOW)
    parts = [header.take_apart(line, program, NOW) for line in lines]
    assert events == [header.event(line, each) for line, each in zip(lines, parts, strict=True)]
    assert unusual == {index: each for index, each in enumerate(parts) if not each.traditional}


@pytest.mark.parametrize("stamp", TRADITIONAL_STAMPS)
@pytest.mark.parametrize("tag", ["sshd[42]", "sshd", "pr\udcc3\udcbcfer[]", "a[" + "9" * 19 + "]"])
def test_the_usual_headers_are_divided_in_c_as_in_python(stamp: str, tag: str) -> None:
    if reading._divided is reading._divided_here:
        pytest.skip("logwarden.header._traditional is not built here")
    line = f"{stamp} mail {tag}: x\udcff".encode("utf-8", "surrogateescape")
    assert reading._divided(line, [len(line)], NOW) == reading._divided_here(line, [len(line)], NOW) != [None]


@pytest.mark.parametrize("ends", [[-1], [4], [2**70], ["x"]])
def test_lines_outside_of_a_block_are_refused_by_c(ends: list[int]) -> None:
    if reading._divided is reading._divided_here:
        pytest.skip("logwarden.header._traditional is not built here")
    with pytest.raises((ValueError, OverflowError, TypeError)):
        reading._divided(b"abc", ends, NOW)


@pytest.mark.parametrize("text", [b"x", b"x\xff"])
def test_what_goes_wrong_in_the_midst_of_a_header_is_what_is_told_of(text: bytes) -> None:
    """Ctrl-C, most often."""
    if reading._divided is reading._divided_here:
        pytest.skip("logwarden.header._traditional is not built here")

    def interrupted(minute: str, zone: str) -> float:
        raise KeyboardInterrupt

    line = b"2026-11-22T17:00:00Z mail sshd[42]: " + text
    with pytest.raises(KeyboardInterrupt):
        reading._traditional.divide(line, [len(line)], Event, interrupted, interrupted)
    with pytest.raises(TypeError):
        reading._traditional.divide(line, [len(line)], Event, lambda minute, zone: "noon", interrupted)  # type: ignore


def test_headers_are_read_alike_where_no_c_was_built() -> None:
    code = """
import sys
sys.modules["logwarden.header._traditional"] = None
from logwarden import header
print(header.read(b"Nov 22 17:00:00 mail sshd[42]: x", [32], None, 1.0)[0][0].program)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "sshd\n"


def test_a_newline_where_none_should_be_upsets_nobody() -> None:
    assert fields(parse("Nov 22 17:00:00 mail su[1]: a\nb")) == ("mail", "su", 1, "a\nb")


@given(LINES, st.sampled_from([None, "*", "nginx", "a b:*", ""]))
def test_no_line_upsets_the_reader(line: bytes, program: str | None) -> None:
    event = parse(line, program)
    bare = line.removesuffix(b"\r").decode("utf-8", "backslashreplace")
    assert event.raw == bare
    assert bare.endswith(event.message)
    assert event.program != "*" or program == "*"


@given(LINES)
def test_the_matchers_fragments_and_the_reader_divide_a_line_alike(line: bytes) -> None:
    pattern = rb"(?s)(?P<header>%s)(?P<program>%s)(?:%s)?: (?P<message>.*)" % (
        header.HEADER,
        header.PROGRAM,
        header.PID,
    )
    found, parts = re.fullmatch(pattern, line), header.take_apart(line, None, NOW)
    assert (found is not None) == parts.traditional
    if found:
        assert (found["program"].decode("latin-1"), found["message"]) == (parts.program, line[parts.start :])


@given(st.text())
def test_a_program_that_a_source_names_is_one_that_a_tag_could_be(name: str) -> None:
    tag = header.program_name(name)
    assert tag in (None, "*") or re.fullmatch(header.PROGRAM, (tag or "").encode("latin-1"))


def test_bytes_that_are_no_utf_8_and_control_characters_survive() -> None:
    assert parse(b"Nov 22 17:00:00 mail su: \xff\x00\x1b[31m \xc3\xa4").message == "\\xff\x00\x1b[31m ä"


def test_a_carriage_return_at_the_end_is_no_part_of_the_message() -> None:
    assert parse(b"Nov 22 17:00:00 mail su: x\r").message == "x"
    assert parse(b"Nov 22 17:00:00 mail su: x\r\r").message == "x\r"


@pytest.mark.parametrize(
    "line",
    [
        b"Nov 22 17:00:00 " + b"a" * 65_536,
        b"Nov 22 17:00:00 " + b"a:" * 32_768,
        b"Nov 22 17:00:00" + b" " * 65_536,
        b"Nov 22 17:00:00 host a[" + b"1" * 65_536,
        b"<34>1 - - - - - " + b'[a b="' + b"\\" * 65_536,
        b"<34>1 - - - - - " + b'[a b="c"]' * 7_000 + b"[",
        b"<34>1 - - - - - [a" + b' b="c"' * 9_000,
        b"2026-11-22 17:00:00" + b" a" * 32_768,
        b"2026-11-22T17:00:00Z a b - - [a" + b" b" * 32_768,
        b"2026-11-22T17:00:00Z a b - - " + b'[a b="c"]' * 7_000 + b"[",
        b"2026-11-22T17:00:00Z a b - - [a" + b' b="\\]"' * 9_000 + b"x",
        b"Nov 22 17:00:00" + b" " * 30_000 + b"a" * 30_000 + b" auth.info x",
        b"a" * 65_536,
    ],
)
def test_a_long_line_takes_no_longer_than_its_length(line: bytes) -> None:
    before = time.thread_time()
    for program in (None, "*", "nginx"):
        parse(line, program)
    assert time.thread_time() - before < 0.2


def test_a_pid_of_absurd_length_is_none() -> None:
    assert parse("Nov 22 17:00:00 mail su[" + "9" * 5_000 + "]: x").pid is None


def test_the_zone_of_the_test_is_not_utc() -> None:
    assert os.environ["TZ"].startswith("CET")
    assert time.localtime(0).tm_hour == 1
