"""The parts of headers as regex fragments, for the reader here and for the matcher's engines.

Owns: that both divide a line alike. The traditional layouts are HEADER PROGRAM PID? ': ' and a message, which divides a
line in one way only: what follows a repetition is not among what it repeats. So, too, no regex backtracks far.
"""

from __future__ import annotations

MONTH = rb"[A-Z][a-z]{2}"  # by its shape: fewer states in every pattern; another word makes a time that there is not
DAY = rb"[ 0-3]?[0-9]"
MINUTE = rb"[0-9]{2}:[0-9]{2}"
SECOND = rb"[0-9]{2}"
FRACTION = rb"[0-9]{2}(?:[.,][0-9]+)?"
ZONE = rb"(?:Z|[+-][0-9]{2}:?[0-9]{2})"
RFC_3164 = rb"%s %s %s" % (MONTH, DAY, MINUTE)
RFC_3339 = rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T%s" % MINUTE
"""Both up to the minute: what follows is cheap to add to it."""
PRI = rb"(?:<[0-9]{1,3}>)?"  # of a raw socket: files do not have it, and in HEADER it would slow every pattern
HOST = rb"[0-9A-Za-z._:%@/()-]*[0-9A-Za-z._%@/()-]"  # an IPv6 address, a relay's `name/address`; not `imap-login:`

PROGRAM = rb"[^\x00-\x20\x7f:*\[\]]+"
"""A tag: `postfix/smtpd`, `sshd(pam_unix)`. Without '*', so that no line can claim to be every program's."""
PID_TEXT = rb"[^\x00-\x20\x7f\[\]]*"
PID = rb"\[%s\]" % PID_TEXT
STAMP = rb"(?:%s +[0-9]+ [0-9]+:[0-9:]+|[0-9-]+T[0-9:.,]+(?:Z|[+-][0-9:]+))" % MONTH
"""Both by their shape, which takes a sixth off what Hyperscan needs for a line. What only looks like one is no time."""
HEADER = rb"%s %s " % (STAMP, HOST)
"""The traditional layouts up to the tag."""
