"""What `logwarden doctor` looks at: one function an examination, each with the remedy for what it may find.

Owns: the examinations and the words. Never: changes anything. Fails: never; an examination that cannot be made says so
as its finding. What the daemon's user may do is asked of the running daemon's process, where there is one, and else of
the account and the unit: whoever gives the command, most often root, may do more.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from . import control, identity, process
from .errors import CommandError, EdgeError
from .identity import Identity
from .rules.access import user
from .settings import Config
from .sources.mounts import mounts, remote

USER = "logwarden"
GROUPS = ("adm", "systemd-journal")
NEEDED = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
"""capability.h"""
DENIED = "Permission denied"
"""strerror(3)."""
INOTIFY = {"max_user_watches": (8192, 65536), "max_user_instances": (32, 128)}
"""What each user should at least be allowed, and what the remedy allows. A watch is a directory of logs or rules; an
instance serves the log files of one mount, the journal or the rules, and twice as many are there during a reload."""


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


def _account(config: Config) -> Iterator[Finding]:
    who = _identity(config)
    if who is None:
        yield Finding("user", False, f"there is no user {USER}", "systemd-sysusers")
        return
    name = user(who.uid)
    numbers = {group: identity.group_id(group) for group in GROUPS}
    unknown = [group for group, number in numbers.items() if number is None]
    lacking = [group for group, number in numbers.items() if number not in who.groups and not who.reads_all]
    if unknown:
        yield Finding("user", False, f"no group {unknown[0]}", f"groupadd --system {unknown[0]}")
    elif lacking:
        remedy = f"usermod -aG {','.join(lacking)} {name}, then systemctl restart logwarden"
        yield Finding("user", False, f"{name} is not in {' and '.join(lacking)}", remedy)
    else:
        may = "may read all" if who.reads_all else f"is in {' and '.join(GROUPS)}"
        yield Finding("user", True, f"{name} {may}")


def _identity(config: Config) -> Identity | None:
    """As whom the daemon runs, or would."""
    return _running(config) or identity.of_account(USER, _groups_of_unit())


def _running(config: Config) -> Identity | None:
    """As whom the process runs that answers for the daemon."""
    pid = control.listener(config.socket)
    return None if pid is None else identity.of_process(pid)


def _groups_of_unit() -> list[str]:
    try:
        asked = ("systemctl", "show", "--property=SupplementaryGroups", "--value", "logwarden.service")
        return process.run(asked).decode().split()
    except CommandError:  # no systemd
        return []


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


def _logs(config: Config) -> Iterator[Finding]:
    """Whether the daemon may read the files of the config, and find those of a glob."""
    if not config.sources.files:
        return
    who, table = _identity(config), mounts()
    if who is None:
        yield Finding("logs", False, f"not known whether they can be read: there is no user {USER}", "systemd-sysusers")
        return
    for pattern in (file.path for file in config.sources.files):
        mount = remote(pattern, table)
        if mount is not None:
            yield Finding("logs", True, f"{pattern}: not looked at, for {mount} may hang")
            continue
        shut = {place: path for path, place in identity.shut_out(who, pattern, table)}
        for place, path in shut.items():
            found = f"{path} cannot be read by {user(who.uid)}" + (f": {place} is in the way" if place != path else "")
            yield Finding("logs", False, found, f"setfacl -m u:{user(who.uid)}:rX {place}")
        if not shut:
            yield Finding("logs", True, f"{user(who.uid)} may read {pattern}, as far as it is there")


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
        yield Finding(
            "logcheck", False, f"{found}{DENIED}", remedy.rpartition(": ")[2] or f"setfacl -R -m u:{USER}:rX {path}"
        )
    if not unread:
        yield Finding("logcheck", True, f"the daemon may read {path}")


def _capabilities(config: Config) -> Iterator[Finding]:
    if config.bans.mode != "enforce":
        yield Finding("capabilities", True, "not needed: bans are only observed")
        return
    daemon = _running(config)
    if daemon is None:
        yield Finding(
            "capabilities",
            False,
            "no daemon runs whose could be read",
            "systemctl start logwarden, then ask again as root",
        )
        return
    lacking = [name for name, bit in NEEDED.items() if not daemon.capabilities >> bit & 1]
    found = f"the daemon lacks {' and '.join(lacking)}" if lacking else "the daemon has CAP_NET_ADMIN and CAP_NET_RAW"
    yield Finding(
        "capabilities", not lacking, found, "AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW in a drop-in of the unit"
    )


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
    for name, (least, better) in INOTIFY.items():
        try:
            allowed = int((identity.PROC / "sys/fs/inotify" / name).read_text())
        except (OSError, ValueError):
            yield Finding("inotify", False, f"{name} cannot be read", "is /proc mounted?")
            continue
        remedy = f"echo fs.inotify.{name}={better} >>/etc/sysctl.d/logwarden.conf && sysctl --system"
        yield Finding("inotify", allowed >= least, f"{name} {allowed}", remedy)


EXAMINATIONS: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    _daemon,
    _account,
    _permissions,
    _logs,
    _presets,
    _logcheck,
    _capabilities,
    _sets,
    _order,
    _mta,
    _clock,
    _inotify,
)
