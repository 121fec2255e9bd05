"""The rules of the Debian package logcheck-database, and of what else is installed beside them, read in place."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

DATABASE = Path("/etc/logcheck")
MISSING = "the Debian package logcheck-database is not installed"


def installed_rules() -> list[bytes]:
    """All rules in all files, as grep would be given them."""
    lines = (line for file in sorted(DATABASE.glob("*.d*/*")) for line in file.read_bytes().split(b"\n"))
    return [line for line in lines if line.strip() and not line.startswith(b"#")]


def how_many() -> int:
    """How many rules dpkg and grep see there. Raises where a file of the package's own is not there."""
    argv = ["dpkg-query", "-W", "-f=${Conffiles}", "logcheck-database"]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    own = set(re.findall(r"/etc/logcheck/[a-z.]+\.d[a-z.]*/\S+", listed))
    files = own | {str(file) for file in DATABASE.glob("*.d*/*")}
    assert len(own) > 100, "the package has no files of rules"
    argv = [shutil.which("grep") or "grep", "-havE", "^#|^[[:space:]]*$", *sorted(files)]
    return len(subprocess.run(argv, capture_output=True, check=True, env={"LC_ALL": "C"}).stdout.splitlines())
