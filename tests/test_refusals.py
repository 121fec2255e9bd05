"""Nothing that is not in force is so in silence: `check`, `status` and the digest name it by file and line."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from small import Small

from logwarden import answers, atomic, diagnosis
from logwarden.cli.check import check

pytestmark = pytest.mark.slow  # a whole daemon

FILES = {
    "ignore.d/local.rules": (
        "app: (\napp: .*\napp: x\napp: x\nsshd: Failed password .*\nno rule at all\napp: in force\n"
    ),
    "ignore.d/local.conf": "app: x\n",
    "attack.d/local.yaml": """
program: app
rules:
  - {id: one, match: 'by <ADDR>', samples: [{line: 'by 203.0.113.9', address: 203.0.113.9}]}
  - {id: one, match: 'of <ADDR>', samples: [{line: 'of 203.0.113.9', address: 203.0.113.9}]}
  - {id: two, match: 'by <ADDR>', samples: [{line: 'by 203.0.113.9', address: 203.0.113.9}]}
  - {id: three, match: 'at <ADDR>', samples: [{line: 'in 203.0.113.9', address: 203.0.113.9}]}
  - {id: four, match: 'at <ADDR>', score: 0, samples: [{line: 'at 203.0.113.9', address: 203.0.113.9}]}
""",
    "logcheck/ignore.d.server/app": "^x?\n[[:foo:]]\nfine$\n",
    "logcheck/ignore.d.server/local.conf": "^x$\n",
    "logcheck/ignore.d.server/more/app": "^x$\n",
    "logcheck/cracking.d/app.dpkg-old": "^x$\n",
    "logcheck/violations.ignore.d/lonely": "^x$\n",
    "logcheck/ignore.d.servr/app": "^x$\n",
}
DANGLING = ("ignore.d/gone.rules", "attack.d/gone.yaml", "logcheck/violations.d/gone")
NAMED = {
    "ignore.d/local.rules:1": "unmatched (",
    "ignore.d/local.rules:2": "can match an empty message",
    "ignore.d/local.rules:4": "the same as",
    "ignore.d/local.rules:5": "hides a sample of the attack rule sshd.yaml#failed",
    "ignore.d/local.rules:6": "is neither",
    "ignore.d/local.conf:1": "its name does not end in .rules",
    "attack.d/local.yaml:5": "has the id of",
    "attack.d/local.yaml:6": "the same as",
    "attack.d/local.yaml:7": "does not match its sample",
    "attack.d/local.yaml:8": "expected at least 1",
    "logcheck/ignore.d.server/app:1": "can match an empty message",
    "logcheck/ignore.d.server/app:2": "invalid character class name",
    "logcheck/ignore.d.server/local.conf:1": "logcheck does not read it",
    "logcheck/ignore.d.server/more:1": "a directory",
    "logcheck/cracking.d/app.dpkg-old:1": "logcheck does not read it",
    "logcheck/violations.ignore.d/lonely:1": "pairs with no file",
    "logcheck/ignore.d.servr:1": "no directory of this name",
    **{f"{name}:1": "cannot be read: No such file" for name in DANGLING},
}
"""What stands where it is refused, and a word of why."""


@pytest.fixture
def host(tmp_path: Path) -> Small:
    small = Small(tmp_path, extra=f"logcheck: {{rules: true, path: {tmp_path}/logcheck}}")
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in DANGLING:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    return small


def unsaid(host: Small, said: str) -> list[str]:
    """What `said` does not name, wherever its lines are folded."""
    text = "".join(said.split())
    return [place for place, why in NAMED.items() if "".join(f"{host.place}/{place}: ".split()) not in text] + [
        why for why in NAMED.values() if "".join(why.split()) not in text
    ]


def test_check_status_and_digest_name_all_that_is_not_in_force(host: Small) -> None:
    done = CliRunner().invoke(check, ["--config", str(host.config)])
    assert done.exit_code == 1
    assert unsaid(host, done.output) == []
    assert len([line for line in done.output.splitlines() if line.startswith(f"{host.place}/")]) == len(NAMED)
    assert "4 ignore rules and 2 attack rules in force" in done.output, "what stands beside it is in force"
    with host.running() as daemon:
        host.write("in force", "out of force")
        assert unsaid(host, "\n".join(answers.status(daemon, {})["problems"])) == []
        rendered = host.rendered()
        assert rendered
        assert unsaid(host, rendered.text) == unsaid(host, rendered.html) == []


def test_a_cache_that_cannot_be_written_is_said_by_check_and_once_by_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    host = Small(tmp_path)
    (tmp_path / "ignore.d" / "local.rules").write_text("app: compiled by nobody else\n")
    monkeypatch.setattr("logwarden.matcher.cache.atomic", SimpleNamespace(write=forbidden, PREFIX=atomic.PREFIX))
    said = f"{tmp_path}/state/cache cannot be written (Permission denied), so each start compiles the rules anew"
    done = CliRunner().invoke(check, ["--config", str(host.config)])
    assert (done.exit_code, said in done.output.splitlines()) == (1, True)
    with host.running() as daemon:
        assert [notice.text for notice in daemon.notices.latest].count(said) == 1
        host.write("compiled by nobody else", "normal 1")
        assert host.preview().count("so each start compiles") == 1


@pytest.mark.root
def test_doctor_names_a_cache_that_is_not_the_daemons(tmp_path: Path) -> None:
    assert list(diagnosis._cache(tmp_path)) == []
    (tmp_path / "cache").mkdir()
    assert list(diagnosis._cache(tmp_path)) == []
    os.chown(tmp_path, 65534, 65534)
    (finding,) = diagnosis._cache(tmp_path)
    assert (finding.ok, finding.found) == (False, f"{tmp_path}/cache does not belong to the user of {tmp_path}")
    assert f"chown -R --reference={tmp_path} {tmp_path}/cache" in finding.remedy
