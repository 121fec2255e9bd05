"""The peers, run as their users run them, over the same lines.

Owns: logcheck's way of filtering, with GNU grep; fail2ban-regex, installed or unpacked from its Debian package.
Never: installs a peer: that would start its service.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build" / "peers"


def cleaned_rules(files: Sequence[Path], place: Path) -> list[Path]:
    """logcheck's rule files without comments and blank lines, as logcheck itself hands them to grep."""
    cleaned = []
    for number, file in enumerate(files):
        lines = file.read_bytes().splitlines(keepends=True)
        cleaned.append(place / f"{number:03}")
        cleaned[-1].write_bytes(b"".join(line for line in lines if line.strip() and not line.startswith(b"#")))
    return cleaned


def grep_pipeline(log: Path, rules: Sequence[Path], locale: str) -> int:
    """What logcheck does: one `grep -v -f` a rule file, each over what the one before it left. Returns lines left.

    logcheck runs it in the locale that cron gets from Debian's /etc/default/locale by pam_env: UTF-8.
    """
    left = log.read_bytes()
    for file in rules:
        argv = ["grep", "--text", "-E", "-v", "-f", str(file)]
        done = subprocess.run(argv, input=left, stdout=subprocess.PIPE, env={"LC_ALL": locale, **_path()}, check=False)
        left = done.stdout
    return left.count(b"\n")


def fail2ban() -> list[str] | None:
    """The start of a fail2ban-regex command line; None where there is neither fail2ban nor apt."""
    if installed := shutil.which("fail2ban-regex"):
        return [installed]
    root = BUILD / "fail2ban"
    if not root.exists() and not _unpack("fail2ban", root):
        return None
    modules = root / "usr/lib/python3/dist-packages"
    program = root / "usr/bin/fail2ban-regex"
    return ["env", f"PYTHONPATH={modules}", "/usr/bin/python3", str(program), "-c", str(root / "etc/fail2ban")]


def fail2ban_server(place: Path, log: Path) -> list[str] | None:
    """The command line of a fail2ban-server in the foreground that watches `log` with its own sshd jail and ipset.

    All that it writes is in `place`. With pyinotify, as Debian recommends; None where the package cannot be had.
    """
    root = BUILD / "fail2ban"
    if not root.exists() and not _unpack("fail2ban", root):
        return None
    if not (root / "usr/lib/python3/dist-packages/pyinotify.py").exists():
        _unpack("python3-pyinotify", root)
    settings = place / "fail2ban"
    if not settings.exists():
        shutil.copytree(root / "etc/fail2ban", settings)
        for debian in (settings / "jail.d").glob("*"):
            debian.unlink()
    (settings / "fail2ban.local").write_text(
        f"[Definition]\nlogtarget={place}/fail2ban.log\nsocket={place}/f2b.sock\npidfile={place}/f2b.pid\n"
        f"dbfile={place}/f2b.sqlite3\n"
    )
    (settings / "jail.local").write_text(
        "[DEFAULT]\nbackend=auto\nbanaction=iptables-ipset[type=multiport]\nignoreself=false\n"
        f"[sshd]\nenabled=true\nlogpath={log}\nmaxretry=5\nfindtime=10m\nbantime=1h\n"
    )
    modules, program = root / "usr/lib/python3/dist-packages", root / "usr/bin/fail2ban-server"
    return ["env", f"PYTHONPATH={modules}", "/usr/bin/python3", str(program), "-f", "-c", str(settings)]


def _unpack(package: str, root: Path) -> bool:
    if shutil.which("apt-get") is None:
        return False
    BUILD.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(["apt-get", "download", "-qq", package], cwd=BUILD, capture_output=True, check=False)
    packages = sorted(BUILD.glob(f"{package}_*.deb"))
    if fetched.returncode or not packages:
        return False
    return subprocess.run(["dpkg-deb", "-x", str(packages[-1]), str(root)], check=False).returncode == 0


def fail2ban_regex(command: Sequence[str], log: Path) -> None:
    """fail2ban's own sshd filter over a log, start-up included."""
    subprocess.run([*command, str(log), "sshd"], stdout=subprocess.DEVNULL, check=True)


def _path() -> dict[str, str]:
    return {"PATH": os.environ["PATH"]}
