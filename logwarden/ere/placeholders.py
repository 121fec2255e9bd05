"""What stands for a value in a rule: <ADDR>, <USER> and the others, each written as an ERE.

Owns: the one table of placeholders. In an attack rule <USER> is what a stranger typed: anything at all, nothing
included; in an ignore rule it is one word. <LOGIN> is a user's name in a list, as in `pam(alice,192.0.2.1)`, <SESSION>
what tells apart the sessions of one process, as in `conn=1022`.
"""

from __future__ import annotations

from ..model import Dialect

_HEX = "[[:xdigit:]]+"
_IPV4 = r"\.".join(["[0-9][0-9]?[0-9]?"] * 4)  # `regex` takes a third longer for ranges
_COMPRESSED = f"({_HEX}(:{_HEX})*)?::(({_HEX}:)*({_IPV4}|{_HEX}))?"
_FULL = f"({_HEX}:){{6}}({_IPV4}|{_HEX}:{_HEX})"

ADDR = f"({_IPV4}|({_COMPRESSED}|{_FULL})(%[._[:alnum:]-]+)?)"
"""RFC 4291 2.2's spellings and more, such as 999.0.0.0 and 12345::, for `address.parse` decides, and what is counted is
dear: written out, it was a third of Hyperscan's database. 12:30:45 is none."""

TEXT = {
    b"ADDR": ADDR,
    b"HOST": "[._[:alnum:]:%-]+",
    b"USER": "[^[:space:]]+",
    b"LOGIN": "[^,()[:space:]]+",
    b"SESSION": "[[:alnum:]._-]+",
    b"PORT": "[0-9]{1,5}",
    b"NUM": "[0-9]+",
    b"HEX": "(0[xX])?[[:xdigit:]]+",
    b"UUID": "[[:xdigit:]]{8}(-[[:xdigit:]]{4}){3}-[[:xdigit:]]{12}",
    b"PATH": "/[^[:space:]]*",
    b"WORD": "[^[:space:]]+",
    b"TEXT": ".*",
}

CAPTURED = {Dialect.ATTACK: {b"ADDR", b"HOST"}, Dialect.USERS: {b"USER", b"LOGIN"}, Dialect.SESSION: {b"SESSION"}}
"""Those that name the source of an attack, those that name whom it was on, and what names a session."""

FILLED_BY_A_STRANGER = {b"USER": ".*"}
"""What differs in an attack rule."""
