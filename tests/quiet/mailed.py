"""What a real daemon mails of the quiet hour: it reads the journal up to the first digest, makes that, and reads on.

Owns: `logwarden run` over a journal of its own, which grows as the machine's did, with a file for a mailbox. Never: has
a firewall, or reads what is not in the capture. Fails: with SystemExit, where the daemon does not start or hangs.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..demo.stage import command, daemon, until
from .capture import append

ROOT = Path(__file__).resolve().parents[2]
OURS = "_TRANSPORT=kernel SYSLOG_IDENTIFIER=kernel + _TRANSPORT=audit + _TRANSPORT=driver + _TRANSPORT=journal"
OURS += " + _TRANSPORT=stdout + _TRANSPORT=syslog"
"""journalctl's match for all but what other processes of the host wrote to /dev/kmsg."""
CONFIG = """
state: {place}/state
socket: {place}/control.sock
host: mail
sources: {{journal: {{directories: [{place}/journal]}}, presets: false}}
rules: {{ignore: [{root}/ignore.d], attack: [{root}/attack.d], level: server}}
bans: {{backend: dry-run}}
digest: {{schedule: yearly, to: [{place}/box]}}
"""


def mailed(journal: Path, steady: float, end: float) -> str:
    """All that is mailed of what was logged from `steady`, when the first digest is made, until `end`; '' is none.

    `journal` is a file; the times are POSIX seconds.
    """
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        config, box = place / "logwarden.yaml", place / "box"
        config.write_text(CONFIG.format(place=place, root=ROOT))
        box.touch()
        (place / "journal").mkdir()
        first, _, boot = _exported(journal, f"--until=@{steady:.6f}").partition(b"\n\n")
        append(place / "journal" / "mail.journal", first + b"\n\n")  # a journal's first start begins at its end
        with daemon(config):
            _read(config, place, boot)
            _digest(config)
            told = box.stat().st_size
            _read(config, place, _exported(journal, f"--since=@{steady:.6f}", f"--until=@{end:.6f}"))
            _digest(config)
        return box.read_bytes()[told:].decode()


def _exported(journal: Path, *span: str) -> bytes:
    argv = ["journalctl", f"--file={journal}", "--output=export", *span, *OURS.split()]
    return subprocess.run(argv, check=True, capture_output=True).stdout


def _read(config: Path, place: Path, entries: bytes) -> None:
    """Log the entries, and wait until the daemon has read them."""
    append(place / "journal" / "mail.journal", entries)
    wanted = sum(line.startswith(b"__CURSOR=") for line in entries.split(b"\n"))
    _until(config, lambda status: sum(status["lines"].values()) >= wanted, f"{wanted} entries read")


def _digest(config: Path) -> None:
    """Have the period end, and wait until its digest has been delivered, if there is one."""
    command(config, "digest", "--now")
    _until(config, lambda status: not status["outbox"], "the digest delivered")


def _until(config: Path, done: Callable[[Any], bool], what: str) -> None:
    until(lambda: done(json.loads(command(config, "status", "--json"))), what)
