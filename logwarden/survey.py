"""A first config, made by looking at the machine: journal and logs, mail server, firewall, administrator.

Owns: what is looked for, and the text of the config, with a reason at each line.
Never: writes it, or changes anything. Fails: never; what cannot be found out is left at its default.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .watch import SYSLOG_FILES

TOOLS = ("usr/sbin", "sbin", "usr/bin", "bin")
MANAGERS = {
    "ufw": ("etc/ufw/ufw.conf", "ENABLED=yes"),
    "firewalld": ("run/firewalld", ""),
    "shorewall": ("etc/shorewall/shorewall.conf", "STARTUP_ENABLED=Yes"),
    "docker": ("run/docker.sock", ""),
}
"""Who else writes firewall rules: the file that is there where it is at work, and a line in it."""


def first_config(root: Path, admin: str | None, *, mailed: bool, enforce: bool, to: str) -> str:
    """The text. `root`: where the machine's files are; `admin`: the address that whoever asks comes from; `mailed`:
    whether a mail server answers at localhost:25; `to`: who gets the digests, as YAML."""
    parts = (_sources(root), _bans(root, admin, enforce=enforce), _mail(root, to, mailed=mailed))
    head = "# Made by `logwarden init`. What stands nowhere has its default, see logwarden.yaml(5).\n"
    return head + "".join(f"\n{line}" if not line.startswith(" ") else line for part in parts for line in part)


def _sources(root: Path) -> Iterator[str]:
    yield "sources:\n"
    if any((root / place).is_dir() for place in ("run/log/journal", "var/log/journal")):
        yield "  journal: true\n"
        return
    found = [file for file in SYSLOG_FILES if (root / file[1:]).is_file()]
    yield "  # There is no journal: these are the logs that syslogd writes.\n"
    yield f"  files: [{', '.join(f'{{path: {file}}}' for file in found)}]\n"


def _bans(root: Path, admin: str | None, *, enforce: bool) -> Iterator[str]:
    yield "bans:\n"
    if enforce:
        yield "  mode: enforce\n"
    else:
        yield "  # Report who would be banned. When you agree with what you read: enforce.\n  mode: observe\n"
    if _has(root, "ipset") or not _has(root, "nft"):
        yield "  backend: ipset\n"
    else:
        yield "  # ipset is not installed.\n  backend: nftables\n"
    for manager in filter(lambda name: _is_at_work(root, name), MANAGERS):
        yield f"  # {manager} is at work here: our rule stands before its rules, in table raw.\n"
    if admin:
        yield f'  # Where you came from when this was made.\n  allowlist: ["{admin}"]\n'
    else:
        yield "  # Put the addresses here that you come from.\n  allowlist: []\n"


def _has(root: Path, tool: str) -> bool:
    return any((root / place / tool).exists() for place in TOOLS)


def _is_at_work(root: Path, manager: str) -> bool:
    file, line = MANAGERS[manager]
    try:
        return (root / file).exists() and (not line or line in (root / file).read_text(errors="replace").splitlines())
    except OSError:
        return False


def _mail(root: Path, to: str, *, mailed: bool) -> Iterator[str]:
    yield f"digest:\n  to: [{to}]\n"
    yield "mail:\n"
    if not mailed:
        yield "  # No mail server answers here: install one (exim4-daemon-light, postfix), or name yours.\n"
        if _has(root, "sendmail"):
            yield "  # (The command sendmail, which is here, does not work in a hardened service.)\n"
    yield "  host: localhost\n"
