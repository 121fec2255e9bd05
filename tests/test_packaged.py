"""What the Debian package and the wheel hold: what was written but never shipped would be missed by nobody here."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OFFLINE = "No matching distribution found for setuptools"
"""What pip says where the package index, from which it builds, cannot be reached."""

EXT_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")

pytestmark = pytest.mark.slow


@pytest.mark.root
def test_the_debian_package_holds_folders_completions_and_every_page(deb: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", deb, tmp_path], check=True)
    tmpfiles = tmp_path / "usr/lib/tmpfiles.d/logwarden.conf"
    assert tmpfiles.read_text() == (ROOT / "systemd/logwarden.tmpfiles.conf").read_text()
    completions = ("bash-completion/completions/logwarden", "zsh/vendor-completions/_logwarden")
    for name in (*completions, "fish/vendor_completions.d/logwarden.fish"):
        assert "_LOGWARDEN_COMPLETE" in (tmp_path / "usr/share" / name).read_text()
    pages = {page.name for page in (tmp_path / "usr/share/doc/logwarden").glob("*.md")}
    written = {page.name for page in (ROOT / "packaging/doc").glob("*.md")}
    assert pages >= written | {"logwarden.md", "logwarden.yaml.md", "logwarden-rules.md"}


def shipped() -> set[str]:
    """The rules, as the package that pip builds has them below its prefix."""
    return {
        str(path.relative_to(ROOT)) for found in ("attack.d/*.yaml", "ignore.d/*/*.rules") for path in ROOT.glob(found)
    }


def test_the_wheel_holds_the_rules_the_schemas_and_the_extensions_that_can_be_built_here(tmp_path: Path) -> None:
    checkout, wheels = tmp_path / "checkout", tmp_path / "wheels"
    for part in ("logwarden", "ignore.d", "attack.d"):
        shutil.copytree(ROOT / part, checkout / part, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, checkout)
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(checkout)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode and OFFLINE in done.stdout + done.stderr:
        pytest.skip("no package index can be reached, to build a wheel with")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(wheels.glob("logwarden-*.whl"))) as wheel:
        held = set(wheel.namelist())
    rules = {name.partition("/data/share/logwarden/")[2] for name in held}
    assert shipped() == rules - {""}
    assert {"logwarden/config.schema.json", "logwarden/rules/attack.schema.json", "logwarden/py.typed"} <= held
    here = {str(path.relative_to(ROOT)) for path in ROOT.glob(f"logwarden/*/_*{EXT_SUFFIX}")}  # none without a compiler
    assert {name for name in held if name.endswith(EXT_SUFFIX)} == here
