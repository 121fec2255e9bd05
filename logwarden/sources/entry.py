"""Write a journal entry as the line that rsyslog would write of it, and keep what journald vouches for.

    2026-11-22T17:00:00.123456+00:00 host ident[pid]: message

Owns: that format, see systemd.journal-fields(7). The writer of an entry chooses MESSAGE and SYSLOG_IDENTIFIER, so
neither may look like a header or a second line: newlines become `#012`, and what could end an identifier becomes `_`.
Never: drops an entry. One without a message is an empty message; of a repeated field, all values of a message count,
and the first of any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ..model import MAX_LINE, Provenance
from .lines import NEWLINE

Fields = Mapping[str, bytes | list[bytes]]

_WORD = bytes(0x5F if byte <= 0x20 or byte == 0x7F or byte in b":[]" else byte for byte in range(256))
"""Translation of an identifier or host name: blanks, control characters, colons and brackets to `_`."""
_KNOWN = 4096  # combinations of trusted fields that are kept, so that a million entries share a few records


class Renderer:
    """Renders entries one after another; remembers the last second and the provenances met."""

    def __init__(self) -> None:
        self._second = -1
        self._prefix = b""
        self._known: dict[tuple[bytes | list[bytes] | None, ...], Provenance] = {}

    def line(self, fields: Fields, realtime: int) -> bytes:
        """The line of an entry, with its newline. `realtime` is journald's time of receipt, microseconds."""
        second, micros = divmod(realtime, 1_000_000)
        if second != self._second:
            self._second = second
            self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
        host = _first(fields.get("_HOSTNAME")).translate(_WORD) or b"-"
        ident = _first(fields.get("SYSLOG_IDENTIFIER") or fields.get("_COMM")).translate(_WORD) or b"unknown"
        pid = _first(fields.get("_PID") or fields.get("SYSLOG_PID"))
        if pid and not pid.isdigit():
            pid = b""
        message = fields.get("MESSAGE", b"")
        if isinstance(message, list):
            message = b"\n".join(message)
        if b"\n" in message:
            message = message.rstrip(b"\n").replace(b"\n", NEWLINE)
        tag = b"%b[%b]" % (ident, pid) if pid else ident
        line = b"%b.%06d+00:00 %b %b: %b" % (self._prefix, micros, host, tag, message)
        return line[: MAX_LINE + 1] + b"\n"

    def provenance(self, fields: Fields) -> Provenance:
        """What journald vouches for."""
        get = fields.get
        key = (get("_UID"), get("_SYSTEMD_UNIT"), get("_COMM"), get("_TRANSPORT"), get("PRIORITY"))
        try:
            return self._known[key]
        except (KeyError, TypeError):  # TypeError: a list, which is a field that was repeated
            return self._learn(tuple(_first(value) if value is not None else None for value in key))

    def _learn(self, key: tuple[bytes | None, ...]) -> Provenance:
        uid, unit, comm, transport, priority = key
        if len(self._known) >= _KNOWN:
            self._known.clear()
        found = Provenance(_number(uid), _text(unit), _text(comm), _text(transport), _number(priority))
        self._known[key] = found
        return found


def _first(value: bytes | list[bytes] | None) -> bytes:
    if isinstance(value, list):
        return value[0]
    return value or b""


def _text(value: bytes | None) -> str | None:
    return value.decode("utf-8", "backslashreplace") if value is not None else None


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None
