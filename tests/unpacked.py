"""Debian packages unpacked below build/, for what must not be installed beside what is: fetched once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PEERS = Path(__file__).resolve().parent.parent / "build" / "peers"


def unpacked(name: str, *packages: str) -> Path | None:
    """The root that they were unpacked to; None where apt cannot fetch them."""
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
