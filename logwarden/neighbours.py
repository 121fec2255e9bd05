"""Who else on this machine does logwarden's work: logcheck's cron job, and fail2ban.

Owns: how each is recognised, and the sentence that says what both would do and how to switch over.
Never: stops or changes either. `root` is where the machine's files are. Never fails: what cannot be read is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def neighbours(root: Path = Path("/")) -> Iterator[str]:
    """A sentence for each."""
    cron = root / "etc/cron.d/logcheck"
    if cron.exists():
        yield (
            f"/{cron.relative_to(root)}: logcheck mails every hour what logwarden mails too. To go over: set "
            "`logcheck: {rules: true}`, so that its rules count here, then `apt remove logcheck` (its database "
            "may stay); its local rules are read where they are"
        )
    if any((root / place).exists() for place in ("usr/bin/fail2ban-server", "etc/fail2ban/jail.conf")):
        yield (
            "fail2ban is installed: both would ban the same address, each in its own chain, and a ban lifted here "
            "stays in force there. To go over: let logwarden observe for some days, then "
            "`systemctl disable --now fail2ban` and set `bans: {mode: enforce}`; its ignoreip is bans.allowlist here"
        )
