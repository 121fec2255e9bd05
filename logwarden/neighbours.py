"""Who else on this machine does logwarden's work: logcheck's cron job, and fail2ban, where they are at work.

Owns: how each is recognised, and the sentence that says what both would do and how to switch over.
Never: stops or changes either. `root` is where the machine's files are. Never fails: what cannot be read is not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

COMMAND = "usr/sbin/logcheck"
ENABLED = "etc/systemd/system/multi-user.target.wants/fail2ban.service"
RUNNING = ("run/fail2ban/fail2ban.sock", "run/fail2ban/fail2ban.pid")


def neighbours(root: Path = Path("/")) -> Iterator[str]:
    """A sentence for each."""
    if _logcheck_runs(root):
        yield (
            "/etc/cron.d/logcheck: logcheck mails every hour what logwarden mails too. To go over: set "
            "`logcheck: {rules: true}`, so that its rules count here, then `apt remove logcheck` (its database "
            "may stay); its local rules are read where they are"
        )
    if _fail2ban_runs(root):
        yield (
            "fail2ban is at work: both would ban the same address, each in its own chain, and a ban lifted here "
            "stays in force there. To go over: let logwarden observe for some days, then "
            "`systemctl disable --now fail2ban` and set `bans: {mode: enforce}`; its ignoreip is bans.allowlist here"
        )


def _logcheck_runs(root: Path) -> bool:
    """Its cron job, a file of the config, stays when the package is removed and then does nothing."""
    try:
        lines = (root / "etc/cron.d/logcheck").read_text(errors="replace").splitlines()
    except OSError:
        return False
    jobs = [line for line in lines if COMMAND in line and not line.lstrip().startswith("#")]
    return bool(jobs) and (root / COMMAND).exists()


def _fail2ban_runs(root: Path) -> bool:
    """Whether it runs now, or will after the next boot. What enables it stays when the package is removed."""
    at_work = any(os.path.lexists(root / place) for place in (ENABLED, *RUNNING))
    return at_work and (root / "usr/bin/fail2ban-server").exists()
