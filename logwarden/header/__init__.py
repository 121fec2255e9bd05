"""A log line's header: when it was written, on which host, by which program; and where its message starts.

    Nov 22 17:00:00 host sshd[42]: message                     traditional: RFC 3164, RFC 3339's stamp in its place
    2026-11-22T17:00:00.123456+01:00 host sshd[42]: message    (rsyslog's default, journalctl -o short-iso-precise)
    <38>1 2026-11-22T17:00:00Z host sshd 42 - - message        RFC 5424
    Nov 22 17:00:00 host auth.info sshd[42]: message           BusyBox; `<auth.info>` before the host: FreeBSD
    Nov 22 17:00:00 [sshd] message                             metalog
    2026/11/22 17:00:00 message                                a stamp alone, as in nginx's error log
    192.0.2.1 - - [22/Nov/2026:17:00:00 +0000] "GET ...        an access log: all of it is the message

Owns: every header layout that is understood (`reading`: traditional ones, `unusual`: the others), what a stamp means
(`stamp`), and the fragments of which the matcher makes its patterns (`fragments`).
Never: raises, whatever the bytes; trusts a name (who may write to syslog may write any tag).
"""

from .fragments import HEADER, PID, PROGRAM
from .parts import ANY_PROGRAM, Parts
from .reading import event, is_traditional, line_at, parse, program_name, read, take_apart

__all__ = [
    "ANY_PROGRAM",
    "HEADER",
    "PID",
    "PROGRAM",
    "Parts",
    "event",
    "is_traditional",
    "line_at",
    "parse",
    "program_name",
    "read",
    "take_apart",
]
