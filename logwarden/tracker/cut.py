"""Can a line have been cut behind an address that a stranger wrote?

Loggers cut what is too long. A name of a thousand letters that goes on with ` from 198.51.100.77` is the end of the
line then, and what the daemon itself said of its source is gone. So a message as long as what is left of a cut one
counts only by a rule that has the address before all that a stranger may write (`matcher.freetext`).

Limit: whoever sends that much with each attempt is reported and not banned for it. A line that was cut at less than
this, by a logger that was told so, still counts. A byte that is not UTF-8 is taken for four, as the message has it
(`\\xff`): a stranger may have written those four himself, and the bytes are not there any more to tell.
"""

from __future__ import annotations

import re

from ..model import AttackRule, Event

LEAST = 800
"""Bytes of a message that may have been cut. sshd cuts its own at 1023, svlogd a line at 1000, and a packet of syslog
has 1024 (RFC 3164, 4.1), with its priority, time, a host of 64 bytes and a long tag."""
LEAST_OF_BUSYBOX = 200
"""The same of BusyBox's syslogd: it reads 255 bytes, with priority, time and tag, unless it was built to read more."""

_OF_BUSYBOX = re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [^ ]+ [a-z]+[0-7]?\.[a-z]+ ")


def doubt(rule: AttackRule, event: Event) -> str | None:
    """Why the address that `rule` finds may be a stranger's word, or None where it is not."""
    message = event.message
    length = len(message if message.isascii() else message.encode())
    if length < LEAST_OF_BUSYBOX or (length < LEAST and not _OF_BUSYBOX.match(event.raw)):
        return None
    from ..matcher import freetext  # with the first such line, as whatever parses rules

    if not freetext.comes_first(rule):
        return None
    return "the line is so long that it may have been cut, and this address written by a stranger"
