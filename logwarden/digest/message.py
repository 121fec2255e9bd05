"""A rendered digest -> the bytes of a mail (RFC 5322): plain text, and HTML beside it.

Owns: its headers, and that no line of it is longer than a mail server takes (quoted-printable where need be).
Never: invents an identity or a date: a digest sent again has the same Message-ID, so that a mailbox keeps one.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP

from ..model import Entry
from .escape import visible
from .model import Rendered

LONGEST = 998
"""Longest line of a mail, in bytes without its CR LF (RFC 5322, 2.1.1)."""


LINES, PLAIN = 8_000_000, 200_000
"""Most bytes of lines that are attached, and how many of them are not packed."""
WIDEST = 66_000
"""Longest attached line, in characters: a whole one of those that are matched."""


def identity(what: str, host: str) -> str:
    """A Message-ID made of `what`, which names one mail of one host for ever."""
    return f"<logwarden.{_atom(what)}@{_atom(host)}>"


def compose(
    rendered: Rendered,
    *,
    sender: str,
    recipients: Sequence[str],
    message_id: str,
    date: float,
    host: str,
    thread: str | None = None,
    attached: Attached | None = None,
) -> bytes:
    """One mail, its lines ended by CR LF.

    `date` is POSIX seconds. `thread` is the Message-ID that mails of one conversation refer to, so that clients show
    them together; it need not exist. Raises ValueError where a header would hold a line break.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = _full(sender, host)
    mail["To"] = ", ".join(_full(each, host) for each in recipients)
    mail["Subject"] = rendered.subject
    mail["Date"] = datetime.fromtimestamp(date, UTC).astimezone()
    mail["Message-ID"] = message_id
    if thread:
        mail["In-Reply-To"] = thread
        mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: vacation programs keep still
    mail["List-Id"] = f"<logwarden.{_atom(host)}>"  # RFC 2919: what a filter sorts by
    mail.set_content(rendered.text, cte=_encoding(rendered.text))
    if rendered.html:
        mail.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    if attached:
        _attach(mail, attached.content())
    return mail.as_bytes()


class Attached:
    """The raw lines of a digest, each made printable, as they pass through `through` on their way into it.

    Bounded: what is over LINES bytes is counted.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = self._more = 0

    def through(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The same entries."""
        for entry in entries:
            line = visible(entry.raw, WIDEST)
            self._size += len(line.encode())
            if self._size <= LINES:
                self._lines.append(line)
            else:
                self._more += 1
            yield entry

    def content(self) -> bytes:
        """A text in UTF-8; empty where there was no line."""
        more = [f"... and {self._more:,} more lines: logwarden events"] if self._more else []
        return "".join(f"{line}\n" for line in [*self._lines, *more]).encode()


def _attach(mail: EmailMessage, content: bytes) -> None:
    if len(content) > PLAIN:
        packed = gzip.compress(content, 6, mtime=0)
        mail.add_attachment(packed, maintype="application", subtype="gzip", filename="lines.txt.gz")
    elif content:
        charset = {"charset": "utf-8"}
        mail.add_attachment(content, maintype="text", subtype="plain", filename="lines.txt", params=charset)


def _full(address: str, host: str) -> str:
    """`address` with a domain: Debian's exim takes no mail in whose headers `root` stands alone."""
    return address if "@" in address else f"{address}@{_atom(host)}"


def _atom(text: str) -> str:
    """`text` as dot-atom-text of RFC 5322, so that it can stand in an identity."""
    return ".".join(re.findall(r"[A-Za-z0-9_-]+", text))[:120] or "unnamed"


def _encoding(text: str) -> str:
    """Readable in a mail file with any pager where plain ASCII allows."""
    plain = text.isascii() and max(map(len, text.split("\n"))) <= LONGEST
    return "7bit" if plain else "quoted-printable"
