"""The real logcheck, run over a log: which lines it reports in which of its three sections.

It is taken from the PATH, or unpacked from its Debian packages below build/: to install it would start its cron job
and pull in a mail server. Needs root, to give it what it insists on: a user who is not root, and lockfile-progs in
/usr/bin; both exist in namespaces of its own alone.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

PEERS = Path(__file__).resolve().parent.parent / "build" / "peers"
PACKAGES = ("logcheck", "logtail", "lockfile-progs", "liblockfile-bin", "liblockfile1")
SECTIONS = {"Security Alerts": "attack", "Security Events": "violation", "System Events": "system"}

_IN_NAMESPACES = """
[ -x /usr/bin/lockfile-create ] || mount -t overlay overlay -o "lowerdir=$0/usr/bin:/usr/bin" /usr/bin
exec unshare --user --map-user=1000 -- bash "$@"
"""


@functools.cache
def why_not() -> str | None:
    """Why logcheck cannot be run here, or None."""
    if shutil.which("logcheck") or (PEERS / "logcheck" / "usr/sbin/logcheck").exists():
        return None
    if unpacked("logcheck", *PACKAGES) is None:
        return "logcheck is not installed, and apt cannot fetch it"
    return None


def unpacked(name: str, *packages: str) -> Path | None:
    """The root below build/ that these Debian packages were unpacked to, once; None where apt cannot fetch them."""
    root = PEERS / name
    if root.exists():
        return root
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return None
    place = PEERS / "debs" / name
    place.mkdir(parents=True, exist_ok=True)
    if subprocess.run(
        ["apt-get", "download", "-qq", *packages], cwd=place, capture_output=True, check=False
    ).returncode:
        return None
    for package in place.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    return root


def report(rules: Path, log: bytes, level: str, place: Path) -> Mapping[str, Counter[bytes]]:
    """What logcheck says with the rule directory `rules` once `log` has been written: for each section its lines, and
    how often each is there. It is written anew for each file that raises it, which does not count.

    `place` is scratch: there is `log`, which grows from call to call, and what logcheck remembers of it.
    """
    root = PEERS / "logcheck"
    with (place / "log").open("ab") as file:
        file.write(log)
    (place / "state").mkdir(exist_ok=True)
    environment = {
        "PATH": f"{root}/usr/sbin:{root}/usr/bin:{os.environ['PATH']}:/usr/sbin:/sbin",
        "LD_LIBRARY_PATH": ":".join(map(str, root.glob("usr/lib/*"))),
        "TMP": str(place),
        "LC_ALL": "C",
    }
    settings = {
        "INTRO": "0",
        "LOCKDIR": f"{place}/lock",
        "LOCKFILE": f"{place}/lock/logcheck",
        "LOGTAIL": shutil.which("logtail2", path=environment["PATH"]),
        "SUPPORT_CRACKING_IGNORE": "1"
        if "\nSUPPORT_CRACKING_IGNORE=1" in "\n" + _read(rules / "logcheck.conf")
        else "0",
    }
    (place / "conf").write_text("".join(f'{name}="{value}"\n' for name, value in settings.items()))
    program = shutil.which("logcheck", path=environment["PATH"]) or "logcheck"
    argv: list[str | Path] = ["unshare", "--mount", "sh", "-ec", _IN_NAMESPACES, root, program, "-o", "-H", "host"]
    argv += ["-c", place / "conf", "-l", place / "log", "-r", rules, "-S", place / "state", f"-{level[0]}"]
    done = subprocess.run(argv, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return _sections(done.stdout)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _sections(text: bytes) -> dict[str, Counter[bytes]]:
    """The lines below each heading, which is underlined with =-=-."""
    found: dict[str, Counter[bytes]] = {name: Counter() for name in SECTIONS.values()}
    current: Counter[bytes] = Counter()
    section = "system"
    lines = text.split(b"\n")
    for line, following in zip(lines, [*lines[1:], b""], strict=True):
        if following and not following.strip(b"=-") and following.startswith(b"="):
            found[section] |= current
            section, current = SECTIONS[line.decode().partition(" for ")[0]], Counter()
        elif line and line.strip(b"=-"):
            current[line] += 1
    found[section] |= current
    return found
