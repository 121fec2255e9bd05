"""As whom the daemon runs: user, groups and capabilities; and which logs such a one may read.

Owns: the words of /proc/PID/status and of the account, and what modes and ACLs make of them, see acl(5).
Never: asks whether the process that calls may read a file: root may read all. Touches nothing on a mount that may hang.
Fails: what cannot be looked at shuts nobody out.
Bugs: what the unit's sandbox hides (ProtectHome), and what a security module forbids, is not seen.
"""

from __future__ import annotations

import glob
import grp
import os
import pwd
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .sources.mounts import matches, on_the_way

PROC = Path("/proc")
READS_ALL = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, see capability.h."""
_ACL = "system.posix_acl_access"
_USER, _GROUP_OBJ, _GROUP, _MASK = 0x02, 0x04, 0x08, 0x10
"""posix_acl.h; the attribute is a version of four bytes, then entries of tag, permissions and id."""


class Identity(NamedTuple):
    """`groups` has the primary one too; `capabilities` are the effective ones, a bit each."""

    uid: int
    groups: frozenset[int]
    capabilities: int

    @property
    def reads_all(self) -> bool:
        """Whether no mode keeps it out."""
        return bool(self.capabilities & READS_ALL)


def of_process(pid: int) -> Identity | None:
    """Of a running process, see proc_pid_status(5); None where it cannot be read."""
    try:
        lines = (PROC / str(pid) / "status").read_text(errors="replace").splitlines()
        fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        groups = frozenset(map(int, [fields["Gid"].split()[1], *fields["Groups"].split()]))
        return Identity(int(fields["Uid"].split()[1]), groups, int(fields["CapEff"], 16))
    except (OSError, KeyError, ValueError, IndexError):
        return None


def of_account(name: str, further: Iterable[str] = ()) -> Identity | None:
    """Of a process started as `name`, in the groups `further` besides its own; None where there is no such
    user. Groups that do not exist count for nothing."""
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        return None
    given = {number for group in further if (number := group_id(group)) is not None}
    own = os.getgrouplist(name, account.pw_gid)
    return Identity(account.pw_uid, frozenset(given | {*own}), 0 if account.pw_uid else READS_ALL)


def group_id(name: str) -> int | None:
    """The number of a group; None where there is none of that name."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def shut_out(who: Identity, pattern: str, table: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each file that `pattern`, a path or glob, finds and `who` may not read, and what is in the way: a directory that
    may not be entered, or not be listed for the glob, or the file itself. `table`: see `mounts`."""
    for path in sorted(matches(pattern, table)[0]):
        place = _barrier(who, path, _listed(path, pattern))
        if place is not None:
            yield path, place


def allows(who: Identity, info: os.stat_result, acl: bytes, wanted: int) -> bool:
    """Whether mode and ACL (the attribute; empty: none) let `who` do what is `wanted`: bits of R_OK, W_OK, X_OK."""
    if who.reads_all:
        return True
    if who.uid == info.st_uid:
        return info.st_mode >> 6 & wanted == wanted
    group = info.st_mode >> 3 & 7  # the mask, where there is an ACL; the kernel looks at none whose mask allows nothing
    entries = list(struct.iter_unpack("<HHI", acl[4:] if group else b"")) or [(_GROUP_OBJ, group, 0)]
    mask = next((allowed for tag, allowed, _ in entries if tag == _MASK), 7)
    named = [allowed & mask for tag, allowed, number in entries if tag == _USER and number == who.uid]
    grouped = [
        allowed & mask
        for tag, allowed, number in entries
        if (tag == _GROUP_OBJ and info.st_gid in who.groups) or (tag == _GROUP and number in who.groups)
    ]
    return any(allowed & wanted == wanted for allowed in named or grouped or [info.st_mode & 7])


def _listed(path: str, pattern: str) -> set[str]:
    """The directories whose names the glob must see to find `path`."""
    found = set()
    while glob.has_magic(pattern):
        if glob.has_magic(os.path.basename(pattern)):
            found.add(os.path.realpath(os.path.dirname(path)))
        path, pattern = os.path.dirname(path), os.path.dirname(pattern)
    return found


def _barrier(who: Identity, path: str, listed: set[str]) -> str | None:
    for place in ("/", *on_the_way(path)):
        try:
            info = os.lstat(place)
        except OSError:  # gone, or not for whoever asks to see
            return None
        if stat.S_ISLNK(info.st_mode):
            continue
        entered = os.X_OK | (os.R_OK if place in listed else 0)
        if not allows(who, info, _acl(place), entered if stat.S_ISDIR(info.st_mode) else os.R_OK):
            return place
    return None


def _acl(place: str) -> bytes:
    try:
        return os.getxattr(place, _ACL, follow_symlinks=False)
    except OSError:  # it has none, or its file system knows none
        return b""
