"""The config file: defaults, and an error that names the place for everything that is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden import config, memory
from logwarden.errors import ConfigError
from logwarden.firewall import Hook, Settings
from logwarden.settings import Config, FileConfig, JournalConfig
from logwarden.tracker import Aggregation


def load(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "logwarden.yaml"
    file.write_text(text)
    return config.load(str(file))


def refused(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.exit_status == 78
    return [line.removeprefix(f"{tmp_path}/logwarden.yaml:") for line in str(caught.value).splitlines()]


def test_every_key_may_be_left_out(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    assert settings.state == "/var/lib/logwarden"
    assert settings.bans.default == config.Policy(threshold=5, window=600, ban=3600)
    assert (settings.mail.transport, settings.mail.host, settings.mail.port) == ("smtp", "localhost", 25)
    assert settings.digest.to == ("root",)
    assert settings.sources.journal or settings.sources.files


@pytest.mark.parametrize(("directory", "installed"), [(True, True), (True, False), (False, True)])
def test_without_sources_the_journal_is_read_or_else_the_usual_files(
    directory: bool, installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "JOURNAL_DIRECTORIES", (str(tmp_path if directory else tmp_path / "none"),))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: installed or None)
    sources = load(tmp_path, "").sources
    assert (sources.journal is not None) == (directory and installed)
    assert [file.path for file in sources.files] == ([] if sources.journal else list(config.USUAL_FILES))


def test_the_trunk_that_other_peoples_scripts_count_on_is_understood(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
state: /var/lib/logwarden
socket: /run/logwarden/control.sock
sources:
  journal: true
  files: [{path: /var/log/auth.log}, {path: /var/log/nginx/error.log, program: nginx}]
rules: {level: server, ignore: [/a], attack: [/b]}
bans: {mode: enforce, backend: ipset, threshold: 5, window: 10m, ban: 1h, allowlist: [192.0.2.0/24]}
digest: {schedule: "*:02", to: [root], from: logwarden@host}
mail: {transport: smtp, host: localhost, port: 25}
""",
    )
    assert settings.sources.journal == JournalConfig()
    assert settings.sources.files[1] == FileConfig("/var/log/nginx/error.log", program="nginx")
    assert settings.rules.ignore == ("/a",)
    assert list(map(str, settings.bans.allowlist.prefixes)) == ["192.0.2.0/24"]
    assert settings.digest.sender == "logwarden@host"


def test_what_the_tracker_and_the_firewall_are_told(tmp_path: Path) -> None:
    bans = load(
        tmp_path,
        """
bans:
  hook: DOCKER-USER
  set_size: 1024
  cut: false
  growth: {factor: 1}
  repeat: null
  aggregate: {threshold: 10, window: 1h, ban: 1d, cap: 8}
  policies: {sshd.yaml: {threshold: 3, window: 1h, ban: 1d}}
  allowlist: [192.0.2.1, home.example.org, /etc/logwarden/allow]
  actions: [{ban: [tell, "{address}"], retries: 0}]
""",
    ).bans
    assert bans.firewall == Settings(Hook("filter", "DOCKER-USER"), 1024, cut=False)
    assert (bans.growth.factor, bans.growth.ceiling, bans.repeat) == (1, 7 * 86400, None)
    assert bans.aggregate == Aggregation(10, 3600, 86400, cap=8)
    assert bans.policies["sshd.yaml"] == config.Policy(3, 3600, 86400)
    assert (bans.allowlist.names, bans.allowlist.files) == (("home.example.org",), ("/etc/logwarden/allow",))
    assert bans.actions[0].ban == ("tell", "{address}")


def test_the_journal_may_be_narrowed(tmp_path: Path) -> None:
    text = "sources: {journal: {units: [ssh.service], priority: 4, directories: [/var/log/journal/remote]}}"
    assert load(tmp_path, text).sources.journal == JournalConfig(("ssh.service",), 4, ("/var/log/journal/remote",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bans:\n  treshold: 5\n", "2: bans.treshold: unknown key; known here: "),
        ("bans:\n  threshold: many\n", "2: bans.threshold: expected ban when"),
        ("bans:\n  threshold: 0\n", "2: bans.threshold: expected at least 1, not 0"),
        ("bans:\n  window: 10\n", "2: bans.window: expected a length of time such as 90s, 10m, 1h or 7d, not 10"),
        ("bans:\n  threshold: 3.0\n", "2: bans.threshold: expected ban when"),
        ("bans:\n  ban: 600000w\n", "2: bans.ban: '600000w' is longer than 100 years"),
        ("bans:\n  ban: 99999999999s\n", "2: bans.ban: "),
        (
            "bans:\n  policies:\n    a.yaml: {threshold: 1, window: 0s, ban: 1s}\n",
            "3: bans.policies.a.yaml.window: expected more",
        ),
        ("mail:\n  timeout: 0s\n", "2: mail.timeout: expected more than 0"),
        ("mail: {user: x}\n", "1: mail: user and password_file go together"),
        (
            "sources:\n  files:\n  - path: /x\n  - path: /x\n",
            "4: sources.files[1].path: is the same as sources.files[0]",
        ),
        ("bans:\n  window: 0s\n", "2: bans.window: expected more than 0"),
        ("bans:\n  allowlist: ['no name']\n", "2: bans.allowlist[0]: 'no name' is no address, prefix, DNS name or"),
        ("bans:\n  hook: a b\n", "2: bans.hook: 'a b' is not PREROUTING, INPUT, none"),
        ("bans:\n  backend: nftables\n  hook: DOCKER-USER\n", "1: bans: hook: with nftables PREROUTING, INPUT or none"),
        ("bans:\n  actions: [{ban: ['{address}']}]\n", "2: bans.actions[0].ban: '{address}': the command itself"),
        ("bans:\n  actions: [{ban: [a, '{user}']}]\n", "2: bans.actions[0].ban: {user} is not one of {address}"),
        ("bans:\n  growth: {factor: 0}\n", "2: bans.growth.factor: expected at least 1"),
        ("bans:\n  aggregate: {threshold: 10}\n", "2: bans.aggregate: "),
        ("bans:\n  backend: pf\n", "2: bans.backend: expected ipset, nftables or dry-run, not"),
        ("bans:\n  allowlist:\n  - 192.0.2.1\n  - 192.0.2.300\n", "4: bans.allowlist[1]: "),
        ("state: var\n", "1: state: expected the directory of the database"),
        ("sources:\n  files:\n  - program: x\n", "3: sources.files[0]: needs path"),
        ("sources:\n  files:\n  - {path: /x, continues: '('}\n", "3: sources.files[0].continues: not a regular"),
        ("digest: {to: []}\n", "1: digest.to: expected something that is not empty, not []"),
        ('digest: {to: ["a\\nBcc: b"]}\n', "1: digest.to[0]: expected a mail address"),
        ("digest: {schedule: 'whenever'}\n", "1: digest.schedule: "),
        ("mail: {port: 70000}\n", "1: mail.port: expected at most 65535, not 70000"),
        ("- a\n", "1: expected a mapping, not"),
        ("a: [\n", "2: "),
        ("bans: &x {}\nmail: *x\n", "2: YAML aliases"),
        ("mail: {}\nmail: {}\n", "2: mail is given twice"),
        ("state: !!python/object:os.system x\n", "1: "),
        ("\tx: 1\n", "1: "),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_what_was_expected(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text)[0].startswith(said)


def test_all_problems_are_said_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    problems = refused(tmp_path, "mail:\n  port: x\nbogus: 1\nbans:\n  mode: maybe\n")
    assert [problem.split(":")[0] for problem in problems] == ["2", "3", "5"]


def test_a_config_that_is_named_and_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(str(tmp_path / "none.yaml"))


def accepted_or_refused(content: bytes) -> str:
    try:
        config.from_document(config.document.parse(content, "x.yaml"), file="x.yaml")
    except ConfigError as error:
        return str(error)
    return "x.yaml:1: accepted"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_config_or_an_error(content: bytes) -> None:
    assert accepted_or_refused(content).startswith("x.yaml:")


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(config.schema()["properties"])), json_like, max_size=3))
def test_any_value_under_any_key_is_a_config_or_an_error(data: dict[str, object]) -> None:
    assert accepted_or_refused(json.dumps(data).encode()).startswith("x.yaml:1:")


# --- what is remembered of a config ---------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """What is remembered of a config that was in order, which stands in tmp_path/logwarden.yaml."""
    (tmp_path / "state").mkdir()
    load(tmp_path, f"state: {tmp_path}/state\nhost: first\n")
    config.load(f"{tmp_path}/logwarden.yaml", remember=True)
    return tmp_path / "state/cache/config.json"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files about which the schema was asked."""
    asked: list[str] = []

    def problems(self: config.Document, schema: object) -> list[object]:
        asked.append(self.file)
        return []

    monkeypatch.setattr(config.Document, "problems", problems)
    return asked


def test_a_config_that_was_in_order_is_not_held_against_the_schema_again(
    kept: Path, tmp_path: Path, asked: list[str]
) -> None:
    assert config.load(f"{tmp_path}/logwarden.yaml", remember=True).host == "first"
    assert asked == []
    assert [path.name for path in kept.parent.iterdir()] == ["config.json"]


def test_an_edited_config_is(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "logwarden.yaml").write_text(f"state: {tmp_path}/state\nhost: 3\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r":2: host: expected .*, not 3"):
            config.load(f"{tmp_path}/logwarden.yaml", remember=True)


@pytest.mark.parametrize("damage", [lambda old: b"", lambda old: old[:-1], lambda old: old[:40] + b"x" + old[41:]])
def test_what_is_remembered_is_not_believed_where_it_is_damaged(
    kept: Path, tmp_path: Path, asked: list[str], damage: Callable[[bytes], bytes]
) -> None:
    kept.write_bytes(damage(kept.read_bytes()))
    for _ in range(2):
        config.load(f"{tmp_path}/logwarden.yaml", remember=True)
    assert asked == [f"{tmp_path}/logwarden.yaml"]


def test_nor_where_another_version_wrote_it(
    kept: Path, tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_version", lambda: b"another")
    for _ in range(2):
        config.load(f"{tmp_path}/logwarden.yaml", remember=True)
    assert asked == [f"{tmp_path}/logwarden.yaml"]


def test_where_it_cannot_be_written_the_schema_is_asked_each_time(kept: Path, tmp_path: Path, asked: list[str]) -> None:
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("a file stands where the directory would")
    for _ in range(2):
        assert config.load(f"{tmp_path}/logwarden.yaml", remember=True).host == "first"
    assert len(asked) == 2


def test_a_state_directory_is_not_made_for_it(tmp_path: Path) -> None:
    load(tmp_path, f"state: {tmp_path}/none\n")
    config.load(f"{tmp_path}/logwarden.yaml", remember=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["state: 3", "state: [x]", "- state", "just text", "state: {a: b}"])
def test_a_config_that_names_no_place_for_it_is_refused_as_ever(tmp_path: Path, text: str) -> None:
    (tmp_path / "logwarden.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r":1: .*expected"):
        config.load(f"{tmp_path}/logwarden.yaml", remember=True)
