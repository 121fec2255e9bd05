"""The daemon observed from outside: Prometheus, Nagios and munin, and the pages that are made of the code itself."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from logwarden import config, document, health, metrics
from logwarden.cli import COMMANDS, group, observe
from logwarden.cli.observe import check_health
from logwarden.errors import EdgeError

ROOT = Path(__file__).parent.parent
STATUS: dict[str, Any] = {
    "sources": {"journal": {"read": 9, "ignored": 6, "attack": 1, "unexplained": 2, "quarantined": 0}},
    "lines": {"ignored": 6, "attack": 1, "unexplained": 2, "quarantined": 0},
    "lag": {"journal": 0.2},
    "unread": {"journal": {"bytes": 0, "entries": 3, "seconds": 4.0}},
    "rules": {"ignore": 79, "attack": 232},
    "mode": "enforce",
    "backend": "ipset",
    "bans": 3,
    "waiting": 1,
    "uncommitted": {"batches": 0, "adrift": False, "why": None},
    "outbox": [{"created": 1000.0, "given_up": None}, {"created": 1.0, "given_up": 2.0}],
    "problems": [],
    "database": {"taken": 4096},
    "since": 900.0,
    "rss": 40_000_000,
    "bans_made": 7,
    "dropped": 1234,
    "latency": {"buckets": [["0.5", 3], ["+Inf", 4]], "sum": 2.5},
    "attacks": {"sshd.yaml#sshd-failed-login": 12},
    "slow": {"local.rules:7": 0.25},
}
SNIPPET = re.compile(r"`((?:bans|digest|sources|rules|logcheck|mail): \{.*?\})`")
"""A piece of config in a page."""
COLOUR = re.compile(rb"\x1b\[(\d+;)*[39][0-7]m")
"""Select Graphic Rendition with a colour (ECMA-48); bold is none."""
LAG, OUTBOX = health.Bounds(30, 300), health.Bounds(7200, 86400)


def samples(text: bytes) -> dict[str, float]:
    families = text_string_to_metric_families(text.decode())
    return {f"{each.name}{sorted(each.labels.values())}": each.value for family in families for each in family.samples}


def test_a_status_is_scraped_as_prometheus_reads_it() -> None:
    found = samples(metrics.exposition(STATUS, now=1060.0))
    assert found["logwarden_up[]"] == 1
    assert found["logwarden_lines_total['ignored', 'journal']"] == 6
    assert found["logwarden_outbox_age_seconds[]"] == 60
    assert found["logwarden_bans['enforce', 'ipset']"] == 3
    assert (found["logwarden_bans_made_total[]"], found["logwarden_dropped_packets[]"]) == (7, 1234)
    assert found["logwarden_latency_seconds_bucket['0.5']"] == 3
    assert (found["logwarden_latency_seconds_count[]"], found["logwarden_latency_seconds_sum[]"]) == (4, 2.5)
    assert found["logwarden_attack_lines_total['sshd.yaml#sshd-failed-login']"] == 12
    assert found["logwarden_rule_seconds_total['local.rules:7']"] == 0.25


def test_without_a_daemon_a_scrape_says_that_it_is_down() -> None:
    assert samples(metrics.exposition(None, now=0.0)) == {"logwarden_up[]": 0}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, health.OK),
        ({"problems": ["a rule is refused"]}, health.WARNING),
        ({"lag": {"journal": 31.0}}, health.WARNING),
        ({"lag": {"journal": 301.0}}, health.CRITICAL),
        ({"outbox": [{"created": -9000.0, "given_up": None}]}, health.WARNING),
        ({"uncommitted": {"batches": 2, "adrift": False, "why": "disk full"}}, health.CRITICAL),
    ],
)
def test_health_is_judged_by_its_bounds(change: dict[str, Any], expected: int) -> None:
    status, *said = health.judge({**STATUS, **change}, 1060.0, LAG, OUTBOX)
    assert status == expected
    line = health.line(status, *said)
    assert re.fullmatch(r"LOGWARDEN (OK|WARNING|CRITICAL) - [^|]+ \| (\w+=[\d.]+[sc]?(;[\d.]*)*( |$))+", line)


def test_no_daemon_is_critical_and_a_bad_config_unknown(tmp_path: Path) -> None:
    config = tmp_path / "logwarden.yaml"
    config.write_text(f"socket: {tmp_path}/none\n")
    done = CliRunner().invoke(check_health, ["--config", str(config)])
    assert (done.exit_code, done.output[:20]) == (2, "LOGWARDEN CRITICAL -")
    config.write_text("sockets: 1\n")
    assert CliRunner().invoke(check_health, ["--config", str(config)]).exit_code == 3


@pytest.mark.parametrize("asked", [["--lag", "soon"], ["--lag", "9"], ["--lagg", "1,2"], ["more"]])
def test_what_was_asked_wrongly_is_unknown_and_not_critical(asked: list[str]) -> None:
    done = CliRunner().invoke(group, ["check-health", *asked])
    assert (done.exit_code, done.output[:19]) == (3, "LOGWARDEN UNKNOWN -")
    assert len(done.output.splitlines()) == 1


def test_a_daemon_that_may_not_be_asked_or_says_something_else_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "logwarden.yaml"
    settings.write_text("{}\n")
    asked = ["check-health", "--config", str(settings)]

    def forbidden(*_: object, **__: object) -> None:
        raise EdgeError("no daemon answers (Permission denied)") from PermissionError()

    with monkeypatch.context() as patch:
        patch.setattr("logwarden.control.ask", forbidden)
        assert CliRunner().invoke(group, asked).exit_code == health.UNKNOWN
        patch.setattr("logwarden.control.ask", lambda *_, **__: {"version": "0.0"})
        assert CliRunner().invoke(group, asked).exit_code == health.UNKNOWN


def test_nothing_that_is_told_ends_a_plugin_s_line_or_moves_a_cursor() -> None:
    why = "disk full | lag=0s\nLOGWARDEN OK - \x1b[2J\u202e"
    change = {"uncommitted": {"batches": 2, "adrift": False, "why": why}}
    line = health.line(*health.judge({**STATUS, **change}, 1060.0, LAG, OUTBOX))
    assert line.isprintable()
    assert line.count("|") == 1
    assert line.startswith("LOGWARDEN CRITICAL - database: disk full / lag=0s")


def test_however_many_scrape_the_daemon_is_asked_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any user may connect to a port of the loopback interface, and each scrape went through the daemon's loop."""
    asked: list[str] = []
    now = [1000.0]
    monkeypatch.setattr(observe, "_exposition", lambda path: asked.append(path) or f"{len(asked)}".encode())
    monkeypatch.setattr("time.time", lambda: now[0])
    latest = observe._Latest("/s")
    assert [latest.get() for _ in range(20)] == [b"1"] * 20
    now[0] += observe.FRESH
    assert latest.get() == b"2"
    now[0] -= 3600  # the clock was set
    assert latest.get() == b"3"


def test_a_text_file_is_whole_may_be_read_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    settings, target = tmp_path / "logwarden.yaml", tmp_path / "node" / "logwarden.prom"
    target.parent.mkdir()
    settings.write_text(f"socket: {tmp_path}/none\n")
    asked = ["metrics", "--config", str(settings), "--textfile"]
    assert CliRunner().invoke(group, [*asked, str(target)]).exit_code == 0
    assert target.read_text().endswith("logwarden_up 0.0\n")
    assert target.stat().st_mode & 0o777 == 0o644
    (target.parent / "full").mkdir()  # what cannot be replaced
    assert isinstance(CliRunner().invoke(group, [*asked, str(target.parent / "full")]).exception, EdgeError)
    assert {each.name for each in target.parent.iterdir()} == {"logwarden.prom", "full"}


def test_metrics_are_served_on_no_path_where_something_stands(tmp_path: Path) -> None:
    settings, target = tmp_path / "logwarden.yaml", tmp_path / "precious"
    settings.write_text(f"socket: {tmp_path}/none\n")
    target.write_text("precious")
    done = CliRunner().invoke(group, ["metrics", "--config", str(settings), "--listen", str(target)])
    assert isinstance(done.exception, EdgeError)
    assert target.read_text() == "precious"


def test_alerts_and_dashboard_name_only_metrics_that_exist() -> None:
    known = {name.partition("[")[0] for name in samples(metrics.exposition(STATUS, now=0.0))}
    board = json.loads((ROOT / "packaging/prometheus/grafana.json").read_text())
    alerts = yaml.safe_load((ROOT / "packaging/prometheus/alerts.yaml").read_text())
    asked = [panel["targets"][0]["expr"] for panel in board["panels"]]
    asked += [rule["expr"] for rule in alerts["groups"][0]["rules"]]
    assert {name for text in asked for name in re.findall(r"logwarden_\w+", text)} <= known


@pytest.mark.parametrize("kind", ["lines", "bans", "lag", "outbox"])
@pytest.mark.parametrize("answers", [True, False])
def test_the_munin_plugin_draws_what_its_config_announces(kind: str, answers: bool, tmp_path: Path) -> None:
    plugin, command = tmp_path / f"logwarden_{kind}", tmp_path / "logwarden"
    plugin.symlink_to(ROOT / "packaging/munin/logwarden_")
    command.write_text(f"#!{sys.executable}\n" + (f"print({json.dumps(STATUS)!r})\n" if answers else "exit(1)\n"))
    command.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    config, values = (
        subprocess.run(
            [sys.executable, plugin, *asked], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for asked in (["config"], [])
    )
    assert {line.split(".")[0] for line in values.splitlines()} == set(re.findall(r"^(\w+)\.label", config, re.M))
    assert ".warning " in config
    assert answers or {line.split()[1] for line in values.splitlines()} == {"U"}


def test_the_pages_and_completions_are_made_of_what_the_program_goes_by(tmp_path: Path) -> None:
    script = ROOT / "packaging/doc/pages.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    manual = (tmp_path / "logwarden.md").read_text()
    assert [name for name in COMMANDS if f"`logwarden {name} " not in manual] == []
    assert "`bans.allowlist`" in (tmp_path / "logwarden.yaml.md").read_text()
    for name in ("logwarden.8", "logwarden.yaml.5", "logwarden-rules.5"):
        assert (tmp_path / name).read_text().startswith(".TH ")
    for shell in ("bash", "zsh", "fish"):
        assert "_LOGWARDEN_COMPLETE" in (tmp_path / f"logwarden.{shell}").read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_reads_its_completion(shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    subprocess.run([sys.executable, ROOT / "packaging/doc/pages.py", tmp_path], check=True)
    done = subprocess.run([shell, "-n", tmp_path / f"logwarden.{shell}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("peer", ["logcheck", "fail2ban"])
def test_what_the_pages_for_newcomers_name_exists(peer: str) -> None:
    page = (ROOT / f"packaging/doc/from-{peer}.md").read_text()
    snippets = SNIPPET.findall(page)
    assert len(snippets) > 3
    for snippet in snippets:
        config.from_document(document.parse(snippet.encode(), peer), file=None)
    assert set(re.findall(r"`logwarden ([\w-]+)", page)) <= set(COMMANDS)


def test_each_command_explains_itself_by_an_example() -> None:
    for name in COMMANDS:
        done = CliRunner().invoke(group, [name, "--help"])
        assert done.exit_code == 0
        assert "Usage:" in done.output
        assert f"logwarden {name}" in done.output, name
    assert "\n  logwarden scan /var/log/auth.log" in CliRunner().invoke(group, ["--help"]).output


def on_a_terminal(*arguments: str, **environ: str) -> bytes:
    """What a command writes to a terminal, on either stream."""
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "logwarden", *arguments],
            stdout=theirs,
            stderr=theirs,
            check=False,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", **environ},
        )
        return os.read(ours, 65_536)
    finally:
        os.close(ours)
        os.close(theirs)


def test_colours_are_for_a_terminal_and_not_where_no_color_is_set(tmp_path: Path) -> None:
    settings, log = tmp_path / "logwarden.yaml", tmp_path / "log"
    settings.write_text(
        f"state: {tmp_path}\nsocket: {tmp_path}/none\nrules: {{ignore: [], attack: [{tmp_path}/attack.d]}}\n"
    )
    log.write_text("Nov 22 10:00:00 host web[1]: denied 203.0.113.9\n")
    (tmp_path / "attack.d").mkdir()
    (tmp_path / "attack.d/web.yaml").write_text(
        "program: web\nrules:\n  - id: denied\n    match: denied <ADDR>\n"
        "    samples: [{line: denied 203.0.113.9, address: 203.0.113.9}]\n    near_misses: [denied]\n"
    )
    for command in (("status",), ("scan", str(log))):
        asked = (*command, "--config", str(settings))
        assert COLOUR.search(on_a_terminal(*asked)), command
        assert not COLOUR.search(on_a_terminal(*asked, NO_COLOR="1")), command
