"""Write a journal entry as the line that rsyslog would write of it, and keep what journald vouches for.

    2026-11-22T17:00:00.123456+00:00 host ident[pid]: message

Owns: that format, see systemd.journal-fields(7). The writer of an entry chooses MESSAGE and SYSLOG_IDENTIFIER, so
neither may look like a header or a second line: newlines become `#012`, and what could end an identifier becomes `_`.
Never: drops an entry. One without a message is an empty message; of a repeated field, all values of a message count,
and the first of any other.
Limit: the second piece of a torn line is known by the first: not where reading began between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ..model import MAX_LINE, Provenance
from .lines import NEWLINE

Fields = Mapping[str, bytes | list[bytes]]

_WORD = bytes(0x5F if byte <= 0x20 or byte == 0x7F or byte in b":[]" else byte for byte in range(256))
"""Translation of an identifier or host name: blanks, control characters, colons and brackets to `_`."""
_SENDER = (
    "_HOSTNAME",
    "SYSLOG_IDENTIFIER",
    "_COMM",
    "_PID",
    "SYSLOG_PID",
    "_UID",
    "_SYSTEMD_UNIT",
    "_TRANSPORT",
    "PRIORITY",
)
_TEARS = (b"line-max", b"nul")
"""Why a line of standard output may end that goes on in the next entry of its stream. (Where another process goes on,
`pid-change`, it is that one's line.)"""
_SENDERS = 4096  # combinations of these that are kept, since a sender rarely sends but once


class Renderer:
    """Renders entries one after another; remembers the last second and the senders met."""

    def __init__(self) -> None:
        self._second = -1
        self._date = b""
        self._torn: set[bytes] = set()  # the streams whose last entry goes on
        self._senders: dict[tuple[bytes | list[bytes] | None, ...], tuple[bytes, Provenance]] = {}

    def render(self, fields: Fields, realtime: int) -> tuple[bytes, Provenance]:
        """An entry's line with its newline, and its provenance. `realtime`: when journald got it, microseconds."""
        second, micros = divmod(realtime, 1_000_000)
        if second != self._second:
            self._second = second
            self._date = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
        key = tuple(map(fields.get, _SENDER))
        try:
            sender, provenance = self._senders[key]
        except (KeyError, TypeError):  # TypeError: a list, which is a field that was repeated
            sender, provenance = self._learn(tuple(map(_first, key)))
        if "_STREAM_ID" in fields and self._is_torn(fields):
            provenance = provenance._replace(torn=True)
        message = fields.get("MESSAGE", b"")
        if isinstance(message, list):
            message = b"\n".join(message)
        if b"\n" in message:
            message = message.rstrip(b"\n").replace(b"\n", NEWLINE)
        line = b"%b.%06d+00:00 %b: %b\n" % (self._date, micros, sender, message)
        if len(line) > MAX_LINE + 1:
            line = line[: MAX_LINE + 1] + b"\n"
        return line, provenance

    def _is_torn(self, fields: Fields) -> bool:
        """Whether an entry's line goes on, or began in the one before."""
        stream = _first(fields["_STREAM_ID"]) or b""
        begun = stream in self._torn
        self._torn.discard(stream)
        goes_on = _first(fields.get("_LINE_BREAK")) in _TEARS
        if goes_on:
            if len(self._torn) >= _SENDERS:
                self._torn.clear()
            self._torn.add(stream)
        return begun or goes_on

    def _learn(self, key: tuple[bytes | None, ...]) -> tuple[bytes, Provenance]:
        host, identifier, comm, pid, claimed_pid, uid, unit, transport, priority = key
        who = (identifier or comm or b"").translate(_WORD) or b"unknown"
        number = pid or claimed_pid or b""
        tag = b"%b[%b]" % (who, number) if number.isdigit() else who
        sender = b"%b %b" % ((host or b"").translate(_WORD) or b"-", tag)
        provenance = Provenance(_number(uid), _text(unit), _text(comm), _text(transport), _number(priority))
        if len(self._senders) >= _SENDERS:
            self._senders.clear()
        self._senders[key] = sender, provenance
        return sender, provenance


def _first(value: bytes | list[bytes] | None) -> bytes | None:
    return value[0] if isinstance(value, list) else value


def _text(value: bytes | None) -> str | None:
    return value.decode("utf-8", "backslashreplace") if value is not None else None


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None
