"""What `logwarden doctor` looks at: one function an examination, each with the remedy for what it may find.

Owns: the examinations and the words. Never: changes anything. Fails: never; an examination that cannot be made says so
as its finding. What the daemon's user may do is asked of the running daemon's process, where there is one.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from . import control, process
from .errors import CommandError, EdgeError
from .settings import Config

USER = "logwarden"
GROUPS = ("adm", "systemd-journal")
NEEDED = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
"""capability.h"""
DENIED = "Permission denied"
"""strerror(3)."""
WATCHES = 8192
"""inotify watches that a host with many log directories and many users of inotify should at least allow."""


class Finding(NamedTuple):
    """One examination: `what` was looked at, what was `found`, and where that is not `ok` the `remedy`."""

    what: str
    ok: bool
    found: str
    remedy: str = ""


def examine(config: Config) -> list[Finding]:
    """All examinations, one after the other."""
    return [finding for look in EXAMINATIONS for finding in look(config)]


def _daemon(config: Config) -> Iterator[Finding]:
    try:
        status = control.ask(config.socket, "status", timeout=10.0)
        yield Finding("daemon", True, f"version {status['version']} answers on {config.socket}")
    except EdgeError as error:
        yield Finding("daemon", False, str(error), "systemctl start logwarden; journalctl -u logwarden says why not")


def _account(_: Config) -> Iterator[Finding]:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        yield Finding("user", False, f"there is no user {USER}", "systemd-sysusers")
        return
    unknown = [name for name in GROUPS if not _exists(name)]
    remedy = f"groupadd --system {unknown[0]}" if unknown else ""
    yield Finding("user", not unknown, f"no group {unknown[0]}" if unknown else f"{USER} exists", remedy)


def _exists(group: str) -> bool:
    try:
        grp.getgrnam(group)
    except KeyError:
        return False
    return True


def _permissions(config: Config) -> Iterator[Finding]:
    for path, world in ((config.state, 0o007), (os.path.dirname(config.socket), 0o002)):
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            yield Finding(
                "permissions", False, f"{path}: {error.strerror}", f"systemd-tmpfiles --create, or mkdir {path}"
            )
            continue
        open_ = mode & world
        yield Finding(
            "permissions",
            not open_,
            f"{path} has mode {mode & 0o7777:o}",
            f"chmod o-{'rwx' if world == 7 else 'w'} {path}",
        )
    yield from _cache(Path(config.state))
    for file in config.sources.files:
        log = Path(file.path)
        if log.exists() and not os.access(log, os.R_OK):
            yield Finding("permissions", False, f"{log} cannot be read", f"chgrp adm {log} && chmod g+r {log}")


def _cache(state: Path) -> Iterator[Finding]:
    """Where root was the first to compile the rules, the daemon may not read what root has kept, nor add to it."""
    cache = state / "cache"
    try:
        owner, ours = cache.stat().st_uid, state.stat().st_uid
    except OSError:  # it is made with the first rules
        return
    if owner != ours:
        remedy = f"chown -R --reference={state} {cache}, or else each start compiles all rules anew"
        yield Finding("permissions", False, f"{cache} does not belong to the user of {state}", remedy)


def _presets(config: Config) -> Iterator[Finding]:
    """What attack files know and the daemon reads, or may not: a note, for nobody has asked for it."""
    try:
        presets = control.ask(config.socket, "status", timeout=10.0)["presets"]
    except EdgeError as error:
        yield Finding("presets", True, f"not known: {error}")
        return
    read = [path for preset in presets for path in preset["read"]]
    yield Finding("presets", True, f"read for attacks alone: {', '.join(read) or 'none of the files is there'}")
    for preset in presets:
        for path, why in preset["left"].items():
            remedy = f"; to have it read: setfacl -m u:{USER}:rX {path}" if DENIED in why else ""
            yield Finding("presets", True, f"{path} {why} ({preset['file']}){remedy}")


def _logcheck(config: Config) -> Iterator[Finding]:
    """The daemon is asked, for it is its user that must be able to read the rules, and not whoever asks."""
    if not config.logcheck.rules:
        return
    path = config.logcheck.path
    try:
        problems = control.ask(config.socket, "status", timeout=10.0)["problems"]
    except EdgeError as error:
        yield Finding("logcheck", False, f"{path}: not known: {error}", "systemctl start logwarden, then ask again")
        return
    unread = [problem for problem in problems if problem.startswith((f"{path}:", f"{path}/")) and DENIED in problem]
    for problem in unread:
        found, _, remedy = problem.partition(f"{DENIED}: ")
        yield Finding("logcheck", False, f"{found}{DENIED}", remedy.rpartition(": ")[2])
    if not unread:
        yield Finding("logcheck", True, f"the daemon may read {path}")


def _capabilities(config: Config) -> Iterator[Finding]:
    if config.bans.mode != "enforce":
        yield Finding("capabilities", True, "not needed: bans are only observed")
        return
    held = _held_by_daemon()
    if held is None:
        yield Finding(
            "capabilities",
            False,
            "no daemon runs whose could be read",
            "systemctl start logwarden, then ask again as root",
        )
        return
    lacking = [name for name, bit in NEEDED.items() if not held >> bit & 1]
    found = f"the daemon lacks {' and '.join(lacking)}" if lacking else "the daemon has CAP_NET_ADMIN and CAP_NET_RAW"
    yield Finding(
        "capabilities", not lacking, found, "AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW in a drop-in of the unit"
    )


def _held_by_daemon() -> int | None:
    """The effective capabilities of the process that runs as our user."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            if fields["Name"] == "logwarden":
                return int(fields["CapEff"], 16)
        except (OSError, KeyError, ValueError):
            continue
    return None


def _sets(config: Config) -> Iterator[Finding]:
    if config.bans.effective_backend == "dry-run":
        yield Finding("firewall", True, "nothing is expected in the kernel: bans are only observed")
        return
    argv = ("ipset", "list", "-name") if config.bans.backend == "ipset" else ("nft", "list", "tables")
    try:
        found = process.run(argv).decode()
    except CommandError as error:
        yield Finding(
            "firewall", False, str(error), f"apt install {argv[0].replace('nft', 'nftables')}, and run this as root"
        )
        return
    ok = "logwarden" in found
    yield Finding("firewall", ok, "our sets are there" if ok else "none of our sets is there", "logwarden reload")


def _order(config: Config) -> Iterator[Finding]:
    """Our rule must stand before any that accepts: what comes after it never sees the packet."""
    hook = config.bans.firewall.hook
    if config.bans.effective_backend != "ipset" or hook is None:
        return
    for command in ("iptables", "ip6tables"):
        try:
            rules = process.run((command, "-w", "-t", hook.table, "-S", hook.chain)).decode().splitlines()
        except CommandError as error:
            yield Finding("rule order", False, str(error), "run this as root")
            continue
        ours = next((index for index, rule in enumerate(rules) if "logwarden" in rule), None)
        before = [rule for rule in rules[:ours] if rule.endswith("-j ACCEPT") and " lo " not in rule]
        if ours is None:
            yield Finding("rule order", False, f"{command}: no rule of ours in {hook.chain}", "logwarden reload")
        else:
            text = (
                f"{command}: `{before[0]}` comes before ours"
                if before
                else f"{command}: our rule comes first in {hook.chain}"
            )
            yield Finding(
                "rule order", not before, text, "systemctl restart logwarden, after the firewall's own service"
            )


def _mta(config: Config) -> Iterator[Finding]:
    mail = config.mail
    if mail.transport != "smtp":
        yield Finding("mail", True, f"transport {mail.transport}")
        return
    try:
        with socket.create_connection((mail.host, mail.port), timeout=5) as door:
            greeting = door.recv(512).decode("ascii", "replace").splitlines()[:1]
        yield Finding("mail", True, f"{mail.host}:{mail.port} says {greeting[0] if greeting else 'nothing'}")
    except OSError as error:
        found = f"{mail.host}:{mail.port}: {error.strerror or error}"
        yield Finding(
            "mail",
            False,
            found,
            "apt install exim4-daemon-light, or set mail.host; digests wait in the outbox meanwhile",
        )


def _clock(_: Config) -> Iterator[Finding]:
    try:
        said = process.run(("timedatectl", "show", "-p", "NTPSynchronized", "--value")).decode().strip()
    except CommandError as error:
        yield Finding("clock", True, f"not known: {error}")
        return
    yield Finding(
        "clock",
        said == "yes",
        f"synchronised: {said}",
        "apt install systemd-timesyncd; times in logs and bans depend on it",
    )


def _inotify(_: Config) -> Iterator[Finding]:
    allowed = {}
    for name in ("max_user_watches", "max_user_instances"):
        try:
            allowed[name] = int(Path(f"/proc/sys/fs/inotify/{name}").read_text())
        except (OSError, ValueError):
            yield Finding("inotify", False, f"{name} cannot be read", "is /proc mounted?")
            return
    ok = allowed["max_user_watches"] >= WATCHES
    found = ", ".join(f"{name} {number}" for name, number in allowed.items())
    yield Finding(
        "inotify", ok, found, "echo fs.inotify.max_user_watches=65536 >/etc/sysctl.d/logwarden.conf && sysctl --system"
    )


EXAMINATIONS: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    _daemon,
    _account,
    _permissions,
    _presets,
    _logcheck,
    _capabilities,
    _sets,
    _order,
    _mta,
    _clock,
    _inotify,
)
