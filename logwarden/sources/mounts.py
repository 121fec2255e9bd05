"""Which mounts may keep whoever looks at them waiting for ever, and which paths lie there.

A server that is gone blocks stat(2) and read(2) for as long as it is gone: in NFS's hard mounts, in FUSE, in most
others that something outside the kernel answers for.

Owns: the reading of the mount table, see proc_pid_mountinfo(5).
Never: touches what lies on such a mount: links are followed up to it.
Fails: without a table no mount is known.
Bugs: who puts such a link in the place of a log that is being read, or of a directory on the way to it, stops the
thread that reads it.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterator, Mapping

TABLE = "/proc/thread-self/mountinfo"
"""poll(2) tells when it changes."""
_REMOTE = re.compile(
    r"nfs4?|cifs|smb3|smbfs|ceph|9p|afs|lustre|beegfs|gfs2?|ocfs2|virtiofs|autofs|fuse|fuse\..*|fuseblk"
)
_LINKS = 40  # MAXSYMLINKS of the kernel: more in one path is a circle


def mounts() -> Mapping[str, str]:
    """The type of the file system that is seen at each mount point, by its path."""
    try:
        with open(TABLE, encoding="utf-8", errors="surrogateescape") as table:
            return dict(map(_entry, table))
    except OSError:
        return {}


def remotes(table: Mapping[str, str]) -> set[str]:
    """The mount points behind which whoever looks may hang."""
    return {point for point, kind in table.items() if _is_remote(kind)}


def remote(path: str, table: Mapping[str, str]) -> str | None:
    """The mount point that a path, or what matches a glob, lies behind, where whoever looks may hang; else None.

    Of a glob that may lead to several, the directory above them.
    """
    parts = list(_parts(path))
    plain = list(itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    at = "/"
    for at in on_the_way("/".join(plain)):
        if _is_remote(table.get(at, "")):
            return at
    return at if plain != parts and any(_below(point, at) for point in remotes(table)) else None


def on_the_way(path: str) -> Iterator[str]:
    """What is looked up, one after the other, to find what an absolute path means: directories, links, and where these
    lead, up to the thing itself, which may not be there. None has a link above it, nor is touched before it is asked
    for what follows it."""
    at, rest, links = "/", list(_parts(path)), 0
    while rest:
        at = os.path.normpath(os.path.join(at, rest.pop(0)))
        yield at
        try:
            target = os.readlink(at)
        except OSError:  # no link
            continue
        if (links := links + 1) > _LINKS:
            return
        at, rest = os.path.dirname(at) if not target.startswith("/") else "/", [*_parts(target), *rest]


def matches(pattern: str, table: Mapping[str, str]) -> tuple[set[str], dict[str, str]]:
    """What a glob matches, without following a link to where whoever looks may hang.

    Such links are the second value: a path, or a glob where it leads to a directory, and the mount that it lies behind.
    """
    above, name = os.path.split(pattern)
    bases, links = matches(above, table) if glob.has_magic(above) else ({above}, {})
    found, beyond = set(), {os.path.join(path, name): mount for path, mount in links.items()}
    for base in bases:
        paths = glob.glob(os.path.join(glob.escape(base), name)) if glob.has_magic(name) else [os.path.join(base, name)]
        for path in paths:
            mount = remote(os.path.abspath(path), table) if os.path.islink(path) else None
            if mount is not None:
                beyond[path] = mount
            elif os.path.lexists(path):
                found.add(path)
    return found, beyond


def _entry(line: str) -> tuple[str, str]:
    before, _, after = line.partition(" - ")
    point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4])
    return point, after.split(" ")[0]


def _parts(path: str) -> Iterator[str]:
    return (part for part in path.split("/") if part)


def _is_remote(kind: str) -> bool:
    return _REMOTE.fullmatch(kind) is not None


def _below(point: str, directory: str) -> bool:
    return point.startswith(directory.rstrip("/") + "/")
