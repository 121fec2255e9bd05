"""Why a rule file or directory cannot be read, and what would change that.

Owns: the words. Where logcheck is installed, /etc/logcheck is for a group of its own, and the daemon is an ordinary
user: "Permission denied" alone helps nobody. Fails: never; what cannot be found out is left out.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat


def trouble(path: str, error: OSError) -> str:
    """What the system says of `path`; where reading it is forbidden to this process, also how it would be allowed."""
    said = error.strerror or str(error)
    remedy = _remedy(os.path.realpath(path)) if error.errno == errno.EACCES else None
    return f"{said}: {remedy}" if remedy else said


def _remedy(path: str) -> str | None:
    try:
        place = _shut(path)
        info = os.stat(place)
    except OSError:
        return None
    if os.access(place, os.R_OK | (os.X_OK if stat.S_ISDIR(info.st_mode) else 0), effective_ids=True):
        return None  # it is not the mode that forbids it
    account, group, ours = user(os.geteuid()), _group(info.st_gid), os.getegid()
    if info.st_gid not in {0, ours, *os.getgroups()} and info.st_mode & stat.S_IRGRP:
        return f"{place} is for the group {group}: usermod -aG {group} {account}, then start logwarden anew"
    return f"{place} is for {user(info.st_uid)} alone: chgrp {_group(ours)} {place} && chmod g+rX {place}"


def _shut(path: str) -> str:
    """The first directory on the way to `path` that this process may not enter, or `path` itself."""
    place = "/"
    for part in path.strip("/").split("/"):
        if not os.access(place, os.X_OK, effective_ids=True):
            break
        place = os.path.join(place, part)
    return place


def user(number: int) -> str:
    """The name of a user, or its number where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
