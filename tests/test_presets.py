"""Log files that attack files know: read where they are there, for their attacks alone, and never twice."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from sink import Sink
from small import Small

from logwarden import config, diagnosis, presets, watch
from logwarden.cli.rules import rules as rules_command
from logwarden.model import Batch, Found, Location, Manner, Preset
from logwarden.rules import attack
from logwarden.settings import Config, PresetsConfig, SourcesConfig
from logwarden.sources import presets as of_sources
from logwarden.sources.ahead import Scout
from logwarden.sources.file import FileSource, FileSpec

ATTACKS = """
program: [shop, 'shop-*']
policy: {{threshold: 3, window: 10m, ban: 1h}}
files: {files}
rules:
  - id: shop-login
    match: 'login failed for <USER> from <ADDR>'
    samples: [{{line: 'login failed for root from 203.0.113.9', address: 203.0.113.9}}]
    near_misses: ['login failed for root']
"""
LOG = "{path: /var/log/shop/*.log}"


def parsed(files: str) -> tuple[list[Preset], list[str]]:
    content = ATTACKS.format(files=files).encode()
    rules, refused = attack.parse(content, "/etc/shop.yaml")
    assert [rule.id for rule in rules] == ["shop-login"]  # a preset that is no good takes no rule with it
    return attack.presets(content, "/etc/shop.yaml"), list(map(str, refused))


# --- the rule file ------------------------------------------------------------------------------------------


def test_an_attack_file_says_where_its_program_logs() -> None:
    found, refused = parsed(
        f"[{LOG}, {{path: /opt/shop.json, program: till, format: json, time: at.utc, journal: true}}]"
    )
    assert refused == []
    assert found == [
        Preset(Location("/etc/shop.yaml", 4), "shop.yaml", "/var/log/shop/*.log", "shop"),
        Preset(Location("/etc/shop.yaml", 4), "shop.yaml", "/opt/shop.json", "till", "at.utc", journal=True),
    ]


def test_a_json_log_says_when_in_its_time_unless_the_preset_says_otherwise() -> None:
    assert parsed("[{path: /opt/shop.json, format: json}]")[0][0].time == "time"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ("[{path: log/shop.log}]", "files[0].path: expected an absolute path"),
        ("[{path: /var/log/../../etc/shadow}]", "files[0].path: expected an absolute path"),
        ("[{path: /var/log/./shop.log}]", "files[0].path: expected an absolute path"),
        ("[{path: /var/log//shop.log}]", "files[0].path: expected an absolute path"),
        ("[{path: /*/*/*}]", "files[0].path: expected an absolute path"),
        ("[{path: /var/*.log}]", "files[0].path: expected an absolute path"),
        ("[{path: /var/log/*/*/*/*/x}]", "files[0].path: expected an absolute path"),
        ("[{path: /proc/1/environ}]", "files[0].path: expected an absolute path"),
        ('[{path: "/var/log/shop\\n"}]', "files[0].path: expected an absolute path"),
        ('[{path: "/var/log/a\\0b"}]', "is not YAML"),
        ("[{path: 7}]", "files[0].path: expected an absolute path"),
        ("[{program: shop}]", "files[0]: needs path"),
        ("[{path: /opt/x.log, form: json}]", "files[0].form: unknown key; known here: format, journal, path, program"),
        ("[{path: /opt/x.log, format: xml}]", "files[0].format: expected plain, or json"),
        ("[{path: /opt/x.log, time: at}]", "files[0].time: goes with format json alone"),
        ("[{path: /opt/x.log, program: 'a*'}]", "files[0].program: expected the program that writes it"),
        ("/opt/x.log", "files: expected a list of log files"),
        ("[/opt/x.log]", "files[0]: expected a log file: path at least"),
    ],
)
def test_a_preset_that_cannot_be_meant_is_refused_by_name_and_the_rules_stay(files: str, why: str) -> None:
    if why == "is not YAML":
        assert "not" in str(attack.parse(ATTACKS.format(files=files).encode(), "x.yaml")[1][0])
        return
    found, refused = parsed(files)
    assert found == []
    assert refused[0].startswith(f"/etc/shop.yaml:4: {why}")


def test_a_preset_of_globs_needs_a_program() -> None:
    content = ATTACKS.format(files=f"[{LOG}]").replace("[shop, 'shop-*']", "['*']").encode()
    _, refused = attack.parse(content, "x.yaml")
    assert list(map(str, refused)) == ["x.yaml:4: files[0]: needs program: the file's own are globs"]
    assert attack.presets(content, "x.yaml") == []


def test_what_is_wrong_with_one_preset_leaves_the_others() -> None:
    found, refused = parsed(f"[{{path: x}}, {LOG}]")
    assert [preset.path for preset in found] == ["/var/log/shop/*.log"]
    assert len(refused) == 1


# --- which of them count ------------------------------------------------------------------------------------

SHOP = Preset(Location("shop.yaml", 1), "shop.yaml", "/var/log/shop/shop.log", "shop")
TILL = Preset(Location("till.yaml", 1), "till.yaml", "/var/log/till/*.log", "till", journal=True)


def chosen(sources: SourcesConfig, *known: Preset) -> dict[str, str | None]:
    return {each.preset.path: each.why_not for each in presets.choose(sources, known or (SHOP, TILL))}


def read(tmp_path: Path, sources: str) -> SourcesConfig:
    (tmp_path / "c.yaml").write_text(f"sources: {sources}\n")
    return config.load(str(tmp_path / "c.yaml")).sources


OFF, NAMED, HAS = "sources.presets leaves it out", "sources.files names it", "the journal or syslog has it"


@pytest.mark.parametrize(
    ("sources", "shop", "till"),
    [
        ("{files: []}", None, None),
        ("{files: [], presets: true}", None, None),
        ("{files: [], presets: false}", OFF, OFF),
        ("{files: [], presets: []}", OFF, OFF),
        ("{files: [], presets: [shop]}", None, OFF),
        ("{files: [], presets: [/var/log/till/*.log]}", OFF, None),
        ("{files: [], presets: {except: [till]}}", None, OFF),
        ("{files: [], presets: {except: [/var/log/shop/shop.log]}}", OFF, None),
        ("{journal: true}", None, HAS),
        ("{files: [{path: /var/log/syslog}]}", None, HAS),
        ("{files: [{path: /var/log/auth.log}]}", None, None),
        ("{journal: {units: [ssh.service]}}", None, None),
        ("{journal: {priority: 4}}", None, None),
        ("{journal: {directories: [/srv/journal]}}", None, None),
        ("{files: [{path: /var/log/shop/shop.log}]}", NAMED, None),
        ("{files: [{path: /var/log/*/*.log}]}", NAMED, NAMED),
        ("{files: [{path: /var/log/*.log}]}", None, None),
    ],
)
def test_the_config_says_which_presets_count(tmp_path: Path, sources: str, shop: str | None, till: str | None) -> None:
    assert chosen(read(tmp_path, sources)) == {SHOP.path: shop, TILL.path: till}


def test_to_speak_of_presets_alone_leaves_the_other_sources_as_they_are_by_default(tmp_path: Path) -> None:
    spoken, silent = read(tmp_path, "{presets: false}"), config.load(str(_empty(tmp_path))).sources
    assert spoken._replace(presets=silent.presets) == silent
    assert spoken.presets == PresetsConfig(wanted=())


def _empty(tmp_path: Path) -> Path:
    (tmp_path / "empty.yaml").touch()
    return tmp_path / "empty.yaml"


def test_a_log_that_two_attack_files_know_is_read_once() -> None:
    again = SHOP._replace(file="shop-probe.yaml")
    nothing = SourcesConfig(None, ())
    assert [each.why_not for each in presets.choose(nothing, (SHOP, again))] == [None, "shop.yaml has it"]
    off = SourcesConfig(None, (), PresetsConfig(wanted=()))
    assert [each.why_not for each in presets.choose(off, (SHOP, again))] == [OFF, OFF]


def test_a_preset_is_what_somebody_would_write_by_hand_for_its_attacks(tmp_path: Path) -> None:
    by_hand = read(tmp_path, "{files: [{path: /opt/x.json, program: shop, for: attacks, format: json, time: at}]}")
    (own,) = presets.files(_config(by_hand), ())
    (preset,) = presets.files(
        _config(SourcesConfig(None, ())), [Preset(SHOP.where, "shop.yaml", "/opt/x.json", "shop", "at")]
    )
    assert own == preset._replace(besides=None)
    assert own.manner == Manner(alone=True, time="at")


def _config(sources: SourcesConfig) -> Config:
    return config.load(os.devnull)._replace(sources=sources)


def test_a_time_without_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"c.yaml:1: sources.files\[0\]: time goes with format json alone"):
        read(tmp_path, "{files: [{path: /opt/x.log, time: at}]}")


# --- which files are read -----------------------------------------------------------------------------------


@contextmanager
def reading(*specs: FileSpec, cursors: Mapping[str, str] | None = None) -> Iterator[tuple[FileSource, Sink]]:
    source, sink = FileSource(specs, sweep=0.05), Sink()
    source.start(sink, cursors or {})
    try:
        if not cursors:
            sink.wait_until_begun()
        yield source, sink
    finally:
        source.stop()


def preset(path: Path, *besides: str) -> FileSpec:
    return FileSpec(str(path), "shop", manner=Manner(alone=True), besides=besides)


def append(path: Path, *lines: str) -> None:
    with path.open("a") as log:
        log.writelines(f"{line}\n" for line in lines)


def test_what_stands_in_the_log_when_it_is_first_seen_is_history(tmp_path: Path) -> None:
    append(log := tmp_path / "shop.log", "old")
    with reading(preset(log)) as (source, sink):
        append(log, "new")
        sink.wait_for_lines("new")
        assert source.found() == {str(log): Found((str(log),), {})}


def test_a_log_that_appears_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "log" / "shop" / "shop.log"
    with reading(preset(log.with_name("*.log"))) as (source, sink):
        assert source.found() == {str(log.with_name("*.log")): Found()}
        log.parent.mkdir(parents=True)
        append(log, "first", "second")
        sink.wait_for_lines("first", "second")
        assert all(item.manner.alone for item in sink.items if isinstance(item, Batch) and item.block)


def test_a_log_that_is_not_there_is_no_source_at_all(tmp_path: Path) -> None:
    with reading(preset(tmp_path / "shop.log")) as (source, sink):
        assert source.lag() == {}
    assert set(sink.cursors) == {"files"}


def test_what_was_written_while_nobody_read_is_read_at_the_next_start(tmp_path: Path) -> None:
    append(log := tmp_path / "shop.log", "old")
    with reading(preset(log)) as (_, sink):
        append(log, "one")
        sink.wait_for_lines("one")
        cursors = dict(sink.cursors)
    append(log, "two")
    with reading(preset(log), cursors=cursors) as (_, sink):
        sink.wait_for_lines("two")


@pytest.mark.parametrize("item", ["shop.log", "*.log", "?hop.log"])
def test_what_an_item_of_the_config_means_is_its_whichever_comes_first(tmp_path: Path, item: str) -> None:
    own = FileSpec(str(tmp_path / item), "mine")
    with reading(preset(tmp_path / "s*.log", own.path), own) as (source, sink):
        append(tmp_path / "shop.log", "one")
        sink.wait_for_lines("one")
        assert source.found() == {str(tmp_path / "s*.log"): Found()}
    assert {item.program for item in sink.items if isinstance(item, Batch) and item.block} == {"mine"}


def test_a_log_that_the_config_names_otherwise_is_not_read_twice(tmp_path: Path) -> None:
    append(log := tmp_path / "shop.log", "old")
    (tmp_path / "link").symlink_to(log)
    own = FileSpec(str(tmp_path / "link"))
    with reading(own, preset(log, own.path)) as (source, sink):
        append(log, "new")
        sink.wait_for_lines("new")
        assert source.found() == {str(log): Found()}


def test_a_log_that_may_not_be_read_is_a_note_and_is_read_on_once_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log := tmp_path / "shop.log", "old")
    append(tmp_path / "other.log")
    closed, access = [str(log)], os.access
    monkeypatch.setattr(of_sources.os, "access", lambda path, mode: path not in closed and access(path, mode))
    with reading(preset(tmp_path / "*.log")) as (source, sink):
        (found,) = source.found().values()
        assert found == Found((str(tmp_path / "other.log"),), {str(log): "cannot be read: Permission denied"})
        append(log, "meanwhile")
        closed.clear()
        sink.wait(lambda: f"file:{log}" in sink.cursors)
        append(log, "new")
        sink.wait_for_lines("new")
        (found,) = source.found().values()
        assert found == Found((str(tmp_path / "other.log"), str(log)), {})
    assert sink.notices == []


@pytest.mark.root
def test_a_log_that_becomes_unreadable_is_no_failure_and_is_read_on_where_it_was(tmp_path: Path) -> None:
    append(log := tmp_path / "shop.log", "old")
    with reading(preset(log)) as (source, sink):
        append(log, "one")
        sink.wait_for_lines("one")
        os.rename(log, tmp_path / "shop.log.1")
        log.mkdir()  # as unreadable to root as a file without permission is to others
        sink.wait(lambda: source.found()[str(log)].left)
        assert source.found()[str(log)].left == {str(log): "cannot be read: not a regular file"}
        log.rmdir()
        append(log, "two")
        sink.wait_for_lines("one", "two")
        sink.wait(lambda: not source.found()[str(log)].left)
    assert sink.notices == []


def test_a_directory_that_is_closed_to_us_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop").mkdir()
    monkeypatch.setattr(of_sources.os, "access", lambda _path, _mode: False)
    with reading(preset(tmp_path / "shop" / "log" / "shop.log")) as (source, _):
        (found,) = source.found().values()
    assert found.left == {str(tmp_path / "shop"): "cannot be looked into: Permission denied"}


def many(place: Path, count: int) -> list[str]:
    """So many logs, the oldest first."""
    for number in range(count):
        append(path := place / f"shop{number:03}.log")
        os.utime(path, (number, number))
    return [str(place / f"shop{number:03}.log") for number in range(count)]


def test_of_many_files_those_are_read_that_were_written_to_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_sources, "MOST", 8)
    logs = many(tmp_path, 40)
    with reading(preset(tmp_path / "*.log")) as (source, sink):
        (found,) = source.found().values()
        assert found.read == tuple(logs[-8:])
        assert set(found.left.values()) == {"is one too many: 8 are read"}
        assert len(found.left) == 8  # nor is each of a million remembered
        append(Path(logs[-1]), "read")
        sink.wait_for_lines("read")


def test_the_log_of_a_new_day_is_read_however_many_there_were_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_sources, "MOST", 8)
    logs = many(tmp_path, 40)
    with reading(preset(tmp_path / "*.log")) as (source, sink):
        sink.wait(lambda: len(sink.cursors) == 9)
        append(tmp_path / "shop998.log", "today")
        sink.wait_for_lines("today")
        append(tmp_path / "shop999.log", "tomorrow")
        sink.wait_for_lines("today", "tomorrow")
        (found,) = source.found().values()
        assert found.read == (*logs[-6:], str(tmp_path / "shop998.log"), str(tmp_path / "shop999.log"))
        assert set(found.left.values()) == {"is one too many: 8 are read"}


def test_a_log_that_made_room_for_another_is_read_on_where_it_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_sources, "MOST", 2)
    first, second = many(tmp_path, 2)
    with reading(preset(tmp_path / "*.log")) as (source, sink):
        sink.wait(lambda: len(sink.cursors) == 3)
        append(tmp_path / "third.log", "one")
        sink.wait_for_lines("one")
        assert first not in next(iter(source.found().values())).read
        append(Path(first), "two")
        sink.wait_for_lines("one", "two")
        assert second not in next(iter(source.found().values())).read


def test_no_log_that_is_written_to_makes_room_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_sources, "MOST", 2)
    for name in ("a.log", "b.log"):
        append(tmp_path / name, "old")
    with reading(preset(tmp_path / "*.log")) as (source, sink):
        append(tmp_path / "c.log", "one too many")
        sink.wait(lambda: any(found.left for found in source.found().values()))
        append(tmp_path / "a.log", "read")
        sink.wait_for_lines("read")


def test_what_finds_a_crowd_of_files_reads_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_sources, "CROWD", 20)
    many(tmp_path, 40)
    with reading(pattern := preset(tmp_path / "*.log")) as (source, _):
        (found,) = source.found().values()
    assert found == Found((), {pattern.path: "finds more than 20 files, and reads none of these"})


def test_nothing_but_a_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "directory.log").mkdir()
    (tmp_path / "null.log").symlink_to("/dev/null")
    (tmp_path / "loop.log").symlink_to("loop.log")
    with reading(preset(tmp_path / "*.log")) as (source, _):
        (found,) = source.found().values()
    assert found.read == ()
    assert set(found.left.values()) == {"is no regular file", "cannot be read: Too many levels of symbolic links"}
    assert len(found.left) == 4


@pytest.mark.root
def test_a_link_that_root_did_not_make_leads_out_of_its_directory_for_nobody(tmp_path: Path) -> None:
    append(secret := tmp_path / "secret", "a secret")
    append(elsewhere := tmp_path / "elsewhere", "old")
    logs = tmp_path / "logs"
    logs.mkdir()
    append(logs / "today.txt", "old")
    for name, target, owner in (("evil", secret, 65534), ("good", elsewhere, 0), ("current", "today.txt", 65534)):
        (logs / f"{name}.log").symlink_to(target)
        os.lchown(logs / f"{name}.log", owner, owner)
    with reading(preset(logs / "*.log")) as (source, _):
        (found,) = source.found().values()
    assert found.read == (str(logs / "current.log"), str(logs / "good.log"))
    assert found.left == {
        str(logs / "evil.log"): "is not followed: a link leads elsewhere that root did not make",
    }


# --- the daemon ---------------------------------------------------------------------------------------------


class Host(Small):
    """A small host whose attack file knows a log that is not there yet."""

    def __init__(self, place: Path, extra: str = "") -> None:
        super().__init__(place, extra)
        self.log = place / "log" / "shop.log"
        self.rules = place / "attack.d" / "shop.yaml"
        self.know(f"[{{path: {self.log}}}]")

    def know(self, files: str) -> None:
        self.rules.write_text(ATTACKS.format(files=files))

    def say(self, *messages: str) -> None:
        self.log.parent.mkdir(exist_ok=True)
        stamp = f"[{_date(self.hands.wall)}] "
        append(self.log, *(stamp + message for message in messages))

    def reload(self) -> None:
        old = self.daemon.watch.rules
        self.daemon.reload()
        self.step_until(lambda: self.daemon.watch.rules is not old)

    def counts(self) -> dict[str, int]:
        found = self.daemon.state.tallies().get(f"file:{self.log}", {})
        return {str(outcome): lines for outcome, lines in found.items() if lines}

    def read(self) -> int:
        return sum(self.counts().values())

    def preset(self) -> dict[str, object]:
        from logwarden import answers

        (found,) = answers.status(self.daemon, {})["presets"]
        return dict(found)


def _date(time: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S+00:00")


def failures(address: str, times: int) -> list[str]:
    return [f"login failed for root from {address}"] * times


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_log_that_appears_while_the_daemon_runs_bans_and_every_line_of_it_is_counted(host: Host) -> None:
    with host.running():
        host.daemon.step()
        assert host.preset()["read"] == []
        host.say(*["GET / from 192.0.2.7"] * 1_000, *failures("203.0.113.9", 3), "x" * 70_000)
        host.step_until(lambda: host.read() == 1_004)
        assert host.counts() == {"ignored": 1_000, "attack": 3, "quarantined": 1}
        assert list(host.bans()) == ["203.0.113.9/32"]
        assert host.preset()["read"] == [str(host.log)]
        shown = host.preview()
        assert "read for attacks alone" in shown
        assert "GET /" not in shown
        assert "bug in logwarden" not in shown
        host.say("GET /again from 192.0.2.7")
        host.step_until(lambda: host.read() == 1_005)


def test_an_attack_of_long_ago_bans_nobody_now(host: Host) -> None:
    with host.running():
        host.hands.pass_by(-86_400.0)
        lines = failures("203.0.113.9", 3)
        host.say(*lines)
        host.hands.pass_by(86_400.0)
        host.step_until(lambda: host.read() == 3)
        assert host.bans() == {}


def test_what_was_in_the_log_before_the_first_start_is_not_read(host: Host) -> None:
    host.say(*failures("203.0.113.9", 3))
    with host.running():
        host.say(*failures("203.0.113.10", 3))
        host.step_until(lambda: host.read() == 3)
        assert list(host.bans()) == ["203.0.113.10/32"]


def test_the_user_who_names_the_log_himself_is_told_what_no_rule_explains(tmp_path: Path) -> None:
    host = Host(tmp_path)
    text = host.config.read_text()
    host.config.write_text(text.replace("{files: []}", f"{{files: [{{path: {host.log}, program: shop}}]}}"))
    with host.running():
        assert host.preset()["why_not"] == "sources.files names it"
        host.say("unheard of", *failures("203.0.113.9", 1))
        host.step_until(lambda: host.read() == 2)
        assert host.counts() == {"unexplained": 1, "attack": 1}


def test_a_source_of_the_config_may_be_read_for_its_attacks_alone(tmp_path: Path) -> None:
    host = Host(tmp_path)
    text, item = host.config.read_text(), f"{{path: {host.log}, program: shop, for: attacks}}"
    host.config.write_text(text.replace("{files: []}", f"{{files: [{item}]}}"))
    with host.running():
        host.say("unheard of", *failures("203.0.113.9", 1))
        host.step_until(lambda: host.read() == 2)
        assert host.counts() == {"ignored": 1, "attack": 1}


def test_an_edit_of_the_rule_file_begins_and_ends_the_reading(host: Host) -> None:
    host.know("[]")
    host.say("old")
    with host.running():
        host.know(f"[{{path: {host.log}}}]")
        host.reload()
        host.say(*failures("203.0.113.9", 3))
        host.step_until(lambda: host.read() == 3)
        host.know("[]")
        host.reload()
        assert "file:" not in "".join(host.daemon.unread())
        assert host.daemon.found() == {}


def test_the_config_may_turn_presets_off(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.config.write_text(host.config.read_text().replace("{files: []}", "{files: [], presets: {except: [shop]}}"))
    with host.running():
        assert host.preset()["why_not"] == "sources.presets leaves it out"
        assert host.daemon.found() == {}


def test_a_name_in_the_config_that_no_attack_file_knows_is_said(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.config.write_text(host.config.read_text().replace("{files: []}", "{files: [], presets: {except: [shpo]}}"))
    with host.running() as daemon:
        assert watch.missing(daemon.watch)[-1:] == ["sources.presets: no attack file in force knows a log of shpo"]


def test_a_log_that_is_far_behind_shows_its_newest_lines_in_the_same_manner(tmp_path: Path) -> None:
    append(log := tmp_path / "shop.log", "one")
    shown = Scout(str(log), "shop", Manner(alone=True)).look()
    assert shown is not None
    assert shown.batch.manner == Manner(alone=True)


def test_a_log_that_may_not_be_read_is_a_note_of_status_and_doctor_and_no_problem(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from logwarden import answers, control
    from logwarden.cli import ask

    host.say("old")
    access = os.access
    monkeypatch.setattr(of_sources.os, "access", lambda path, mode: path != str(host.log) and access(path, mode))
    with host.running() as daemon:
        status = answers.status(daemon, {})
    assert status["problems"] == []
    note = f"{host.log} cannot be read: Permission denied (shop.yaml)"
    monkeypatch.setattr(control, "ask", lambda *_args, **_more: status)
    said = CliRunner().invoke(ask.status, ["--config", str(host.config)], catch_exceptions=False).output
    assert f"note: {note}\n" in said
    findings = [each for each in diagnosis.examine(config.load(str(host.config))) if each.what == "presets"]
    assert all(finding.ok for finding in findings)
    assert any(finding.found.startswith(note) for finding in findings)


# --- the commands -------------------------------------------------------------------------------------------


def test_the_presets_are_listed_with_what_the_config_says_of_them(host: Host) -> None:
    arguments = ["files", "--config", str(host.config)]
    said = CliRunner(env={"COLUMNS": "300"}).invoke(rules_command, arguments, catch_exceptions=False).output
    assert f"{host.log} shop shop.yaml if it is there" in [" ".join(line.split()) for line in said.splitlines()]
    said = CliRunner().invoke(rules_command, [*arguments, "--json"], catch_exceptions=False).output
    assert [(each["path"], each["why_not"]) for each in json.loads(said)] == [(str(host.log), None)]


def test_a_rule_is_shown_with_the_logs_of_its_file(host: Host) -> None:
    host.know(f"[{{path: {host.log}, format: json, time: t.at, journal: true}}]")
    arguments = ["show", "shop-login", "--config", str(host.config)]
    said = CliRunner().invoke(rules_command, arguments, catch_exceptions=False).output
    remarks = "shop, JSON, its time in t.at, only where neither the journal nor syslog is read"
    assert f"log          {host.log} ({remarks})\n" in said
    said = CliRunner().invoke(rules_command, [*arguments, "--json"], catch_exceptions=False).output
    assert json.loads(said)["files"] == [str(host.log)]
