"""Can the process that wrote this journal entry be the program that the entry names?

Anybody may call himself sshd (`logger -t sshd 'Failed password for root from 192.0.2.1'`); nobody but root chooses the
fields that journald takes from the kernel (systemd.journal-fields(7), "Trusted Journal Fields"). An attack line counts
only where they fit:
- the kernel's own messages come by the transport `kernel`, and nothing else does;
- root may write for every program;
- no piece of a line that journald has torn, for its length or at a null byte, is any program's word: what a stranger
  wrote may stand at its end, or be all of it;
- a system user (sysusers.d: below 1000, or a dynamic user of 61184-65519) may write for the service it runs in:
  postfix/smtpd for postfix@-.service. A login user, nobody, and another service's user may not.

Never: trusts `_COMM` alone, which a process sets itself (prctl(2)), or the identifier.
Limit: whoever runs code inside a service (a web application inside apache2.service) can write for that service.
Lines from files carry no such fields: they are trusted as far as syslogd is.
"""

from __future__ import annotations

from ..model import Provenance

SYSTEM_USERS = range(1, 1000)
DYNAMIC_USERS = range(61184, 65520)

_UNITS = {"name": ("bin",), "mysql": ("mariadb",), "mariadb": ("mysql",)}
"""Stems (see `_stem`) of programs and of their services where they differ: named runs in bind9.service."""


def doubt(program: str | None, provenance: Provenance | None) -> str | None:
    """Return why an entry that names `program` cannot be from it, or None where it can."""
    if provenance is None:
        return None
    if provenance.torn:
        return "it is a piece of a line that journald has torn: a stranger may have written all of it"
    named = program or "no program"
    if (provenance.transport == "kernel") != (named == "kernel"):
        return f"it names {named} but came by the transport {provenance.transport}"
    if provenance.uid == 0 or provenance.transport == "kernel":
        return None
    if _is_service_user(provenance.uid) and _runs_in_its_service(named, provenance.unit):
        return None
    return f"it names {named} but came from {provenance.comm or '?'} (uid {provenance.uid}) in {provenance.unit or '?'}"


def _is_service_user(uid: int | None) -> bool:
    return uid is not None and (uid in SYSTEM_USERS or uid in DYNAMIC_USERS)


def _runs_in_its_service(program: str, unit: str | None) -> bool:
    """Whether `unit` is a service named after `program`: exim4.service for exim, ssh@3-....service for sshd-session."""
    if unit is None or not unit.endswith(".service") or unit.startswith("user@"):
        return False
    stem = _stem(program.partition("/")[0])
    return _stem(unit.removesuffix(".service").partition("@")[0]) in (stem, *_UNITS.get(stem, ()))


def _stem(name: str) -> str:
    """The name without what varies between distributions: ssh for sshd-session, exim for exim4, php for php8.2-fpm."""
    return name.lower().partition("-")[0].rstrip("0123456789.").removesuffix("d")
