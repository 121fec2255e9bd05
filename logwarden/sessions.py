"""Who is logged in now, from where: systemd-logind's sessions, and utmp(5) where it is kept.

Owns: reading both, at most once every CACHE seconds by the caller's `now`. libsystemd's sd-login(3) is asked, which
reads /run/systemd/sessions; utmp is binary (glibc's utmpx, 384 bytes on Linux).
Never: fails: a host without either has no known sessions. Text from either is parsed as an address or passed over.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .address import Address, Prefix, parse

UTMP = "/run/utmp"
CACHE = 1.0
_RECORD = struct.Struct(
    "=hxxi32s4s32s256shhiii16s20x"
)  # utmp(5): type, pid, line, id, user, host, exit, session, tv, addr
_USER_PROCESS = 7


class Session(NamedTuple):
    """Somebody who is logged in."""

    user: str
    address: Address


class Sessions:
    """The sessions from elsewhere, as far as this host can tell."""

    def __init__(self, utmp: str = UTMP) -> None:
        self._utmp = utmp
        self._read_at = float("-inf")
        self._found: tuple[Session, ...] = ()

    def now(self, now: float) -> tuple[Session, ...]:
        """Who is logged in."""
        if not self._read_at <= now < self._read_at + CACHE:
            self._read_at = now
            self._found = tuple(dict.fromkeys([*from_utmp(self._utmp), *from_logind()]))
        return self._found

    def of(self, network: Prefix, now: float) -> str | None:
        """Why nobody of `network` is to be locked out, or None."""
        for user, address in self.now(now):
            if address.version == network.version and address in network:
                return f"{user} is logged in from {address}"
        return None


def from_utmp(path: str) -> Iterator[Session]:
    """The sessions that utmp tells of whose process still runs, or cannot be asked for."""
    try:
        data = Path(path).read_bytes()
    except OSError:
        return
    for at in range(0, len(data) - _RECORD.size + 1, _RECORD.size):
        kind, pid, _, _, user, host, *_rest = _RECORD.unpack_from(data, at)
        if kind == _USER_PROCESS and _runs(pid):
            yield from _session(_text(user), _text(host))


def from_logind() -> Iterator[Session]:
    """The sessions that systemd-logind knows, unless they are closing."""
    library = _libsystemd()
    names = ctypes.POINTER(ctypes.c_char_p)()
    count = library.sd_get_sessions(ctypes.byref(names)) if library else 0
    for name in (names[at] for at in range(max(0, count))):
        state, host = (_asked(library, question, name) for question in ("state", "remote_host"))
        if state != "closing" and host:
            yield from _session(_user(library, name), host)
    _free(names, count)


def _asked(library: ctypes.CDLL | None, question: str, session: bytes | None) -> str | None:
    answer = ctypes.c_void_p()
    function = getattr(library, f"sd_session_get_{question}")
    if function(session, ctypes.byref(answer)) < 0 or not answer.value:
        return None
    text = ctypes.string_at(answer.value).decode("utf-8", "replace")
    ctypes.CDLL(None).free(answer)
    return text


def _user(library: ctypes.CDLL | None, session: bytes | None) -> str:
    """By number: to ask for the name may mean to ask a directory server."""
    uid = ctypes.c_uint32()
    known = library is not None and library.sd_session_get_uid(session, ctypes.byref(uid)) >= 0
    return f"uid {uid.value}" if known else "somebody"


def _free(names: ctypes._Pointer[ctypes.c_char_p], count: int) -> None:
    if not names:
        return
    pointers = ctypes.cast(names, ctypes.POINTER(ctypes.c_void_p))
    for at in range(max(0, count)):
        ctypes.CDLL(None).free(ctypes.c_void_p(pointers[at]))
    ctypes.CDLL(None).free(ctypes.cast(names, ctypes.c_void_p))


def _libsystemd() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libsystemd.so.0")
    except OSError:
        return None


def _session(user: str, host: str) -> Iterator[Session]:
    try:
        yield Session(user, parse(host))
    except ValueError:  # a display, a terminal, a name that sshd resolved (UseDNS)
        return


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
