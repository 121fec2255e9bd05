"""Rule files: which of them count, what each line says, and which rules may be in force."""

from __future__ import annotations

import gc
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden import config, process, rules, watch
from logwarden.model import AttackRule, IgnoreRule, Location, Policy, RuleSet, Severity
from logwarden.rules import attack, audit, directory, ignore
from logwarden.rules.reference import remarks

Tree = Callable[[Mapping[str, str | bytes]], str]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Writes a directory of files and returns its path."""

    def write(files: Mapping[str, str | bytes]) -> str:
        root = tmp_path / f"tree{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return str(root)

    return write


def said(found: RuleSet) -> list[str]:
    """The refusals, without the directories of their files."""
    return [f"{os.path.basename(each.where.file)}:{each.where.line}: {each.why}" for each in found.refused]


def texts(found: RuleSet) -> list[str]:
    return [rule.regex for rule in found.ignore]


# --- the lines of an ignore file ----------------------------------------------------------------------------


def read(text: str | bytes) -> tuple[list[IgnoreRule], list[str]]:
    found, refused = ignore.parse(text if isinstance(text, bytes) else text.encode(), "local.rules")
    return found, list(map(str, refused))


def test_a_line_names_programs_and_a_regex() -> None:
    found, refused = read("# a comment\n\n  \n  # another\nsshd, sshd-session:\t a (b): c\nsystemd*: x\n")
    assert found == [
        IgnoreRule(Location("local.rules", 5), "a (b): c", ("sshd", "sshd-session")),
        IgnoreRule(Location("local.rules", 6), "x", ("systemd*",)),
    ]
    assert not refused


def test_a_line_that_starts_with_a_caret_is_a_logcheck_rule() -> None:
    found, refused = read(r"^\w{3} [ :0-9]{11} [._[:alnum:]-]+ cron\[[0-9]+\]: x: y$")
    assert found[0].programs == ()
    assert found[0].regex.startswith(r"^\w{3}")
    assert not refused


def test_white_space_at_the_ends_of_a_line_is_no_part_of_the_rule() -> None:
    found, _ = read("  cron: done \t\n^foo$  \n")
    assert [rule.regex for rule in found] == ["done", "^foo$"]


def test_the_last_line_needs_no_newline() -> None:
    assert read("cron: done")[0][0].regex == "done"


@pytest.mark.parametrize(
    "program",
    ["(systemd)", "postfix/smtpd", "getty@tty1", "*", "exim[0-9]*", "CRON", "rsyslogd-2.0", "+x", "systemd-*"],
)
def test_programs_are_names_as_syslog_has_them_and_globs(program: str) -> None:
    found, _ = read(f"{program}: x")
    assert found[0].programs == (program,)


@pytest.mark.parametrize(
    "line",
    [
        "Some words without a program",
        "Failed password for: root",
        "cron:no space",
        "cron:",
        "cron: ",
        ": x",
        "a,,b: x",
        "pam_unix(cron:session): session opened",
        r"\w+: x",
        "cr\u00f6n: x",
    ],
)
def test_a_line_that_is_no_rule_is_refused_and_the_others_stand(line: str) -> None:
    found, refused = read(f"cron: a\n{line}\ncron: b\n")
    assert [rule.regex for rule in found] == ["a", "b"]
    assert refused == ["local.rules:2: is neither `programs: regex` nor a logcheck rule, which starts with ^"]


def test_windows_line_ends_are_refused_once() -> None:
    found, refused = read("# comment\r\ncron: a\r\ncron: b\ncron: c\r\n")
    assert [rule.regex for rule in found] == ["b"]
    assert refused == ["local.rules:2: ends in CR LF: save the file with Unix line ends (and 1 more lines)"]


def test_a_byte_order_mark_is_said_where_it_would_spoil_a_rule() -> None:
    found, refused = read(b"\xef\xbb\xbfcron: a\ncron: b\n")
    assert [rule.regex for rule in found] == ["b"]
    assert refused == ["local.rules:1: starts with a byte order mark: save the file as UTF-8 without one"]


def test_what_is_not_utf8_is_refused_by_line() -> None:
    found, refused = read(b"cron: a\ncron: caf\xe9\n")
    assert [rule.regex for rule in found] == ["a"]
    assert refused == ["local.rules:2: is not UTF-8: byte 0xe9"]


@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_rules_and_refusals(content: bytes) -> None:
    found, refused = ignore.parse(content, "x.rules")
    lines = [line for line in content.split(b"\n") if line.strip()]
    assert len(found) + len(refused) <= len(lines)


# --- which files count --------------------------------------------------------------------------------------


def test_levels_add_up_and_files_in_the_directory_itself_always_count(tree: Tree) -> None:
    shipped = tree({f"{level}/a.rules": f"a: {level}" for level in rules.LEVELS} | {"local.rules": "a: local"})
    assert set(texts(rules.load([shipped], level="paranoid"))) == {"local", "paranoid"}
    assert set(texts(rules.load([shipped], level="server"))) == {"local", "paranoid", "server"}
    assert set(texts(rules.load([shipped], level="workstation"))) == {"local", *rules.LEVELS}


def test_a_later_directory_replaces_a_file_of_the_same_relative_name(tree: Tree) -> None:
    shipped = tree({"server/sshd.rules": "sshd: shipped", "server/cron.rules": "cron: shipped"})
    local = tree({"server/sshd.rules": "sshd: local", "sshd.rules": "sshd: more"})
    assert sorted(texts(rules.load([shipped, local]))) == ["local", "more", "shipped"]


def test_an_empty_file_disables_the_shipped_one(tree: Tree) -> None:
    shipped = tree({"server/sshd.rules": "sshd: shipped", "server/cron.rules": "cron: shipped"})
    local = tree({"server/sshd.rules": ""})
    found = rules.load([shipped, local])
    assert texts(found) == ["shipped"]
    assert not found.refused
    os.remove(f"{local}/server/sshd.rules")
    os.symlink("/dev/null", f"{local}/server/sshd.rules")
    assert texts(rules.load([shipped, local])) == ["shipped"]


def test_attack_files_are_replaced_and_disabled_by_name_too(tree: Tree) -> None:
    shipped = tree({"sshd.yaml": ATTACK, "more.yaml": ATTACK.replace("[sshd, sshd-session]", "dropbear")})
    local = tree({"sshd.yaml": ATTACK.replace("threshold: 3", "threshold: 9"), "more.yaml": ""})
    found = rules.load([], [shipped, local])
    assert [(str(rule), rule.policy and rule.policy.threshold) for rule in found.attack] == [("sshd.yaml#failed", 9)]
    assert not found.refused
    os.remove(f"{local}/more.yaml")
    assert [str(rule) for rule in rules.load([], [shipped, local]).attack] == ["more.yaml#failed", "sshd.yaml#failed"]


def test_a_rule_knows_its_file_and_line(tree: Tree) -> None:
    shipped = tree({"server/sshd.rules": "# x\nsshd: a"})
    assert str(rules.load([shipped]).ignore[0].where) == f"{shipped}/server/sshd.rules:2"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("local.conf", "its name does not end in .rules"),
        ("local.rules~", "its name does not end in .rules"),
        ("local.rules.dpkg-old", "its name does not end in .rules"),
        ("local.rules.bak", "its name does not end in .rules"),
        ("local", "its name does not end in .rules"),
        (".local.rules", "a hidden file"),
        ("Server/local.rules", "a directory"),
        ("server/sub.d/local.rules", "a directory"),
    ],
)
def test_a_file_that_does_not_count_is_said(tree: Tree, name: str, why: str) -> None:
    found = rules.load([tree({name: "cron: x"})])
    assert not found.ignore
    assert [each.why for each in found.refused] == [f"skipped: {why}"]


@pytest.mark.parametrize(
    "name", [".git/config", ".gitignore", ".local.rules.swp", ".#local.rules", "#local.rules#", "README"]
)
def test_what_no_one_takes_for_a_rule_file_is_not_worth_a_word(tree: Tree, name: str) -> None:
    assert rules.load([tree({name: "cron: x"})]) == RuleSet()


def test_a_directory_that_is_not_there_is_said_unless_it_is_a_default_one(tmp_path: Path) -> None:
    found = rules.load([f"{tmp_path}/none"], [f"{tmp_path}/nothing"])
    assert said(found) == ["none:1: no such directory", "nothing:1: no such directory"]
    assert "/etc/logwarden/ignore.d" in directory.OPTIONAL
    assert "/usr/share/logwarden/attack.d" in directory.OPTIONAL


def test_what_cannot_be_read_is_said_and_what_it_would_replace_stays(tree: Tree) -> None:
    shipped, local = tree({"a.rules": "a: shipped"}), tree({})
    os.symlink(f"{local}/nowhere", f"{local}/a.rules")
    found = rules.load([shipped, local])
    assert texts(found) == ["shipped"]
    assert said(found) == ["a.rules:1: skipped: cannot be read: No such file or directory"]


def test_a_fifo_or_a_device_is_not_read(tree: Tree) -> None:
    local = tree({})
    os.mkfifo(f"{local}/a.rules")
    os.symlink("/dev/zero", f"{local}/b.rules")
    assert said(rules.load([local])) == [f"{name}.rules:1: skipped: is no regular file" for name in "ab"]


def test_a_huge_file_is_not_read(tree: Tree) -> None:
    local = tree({"a.rules": b""})
    os.truncate(f"{local}/a.rules", directory.MAX_BYTES + 1)
    assert said(rules.load([local])) == ["a.rules:1: skipped: is larger than 4 MiB"]


# --- the YAML of an attack file -----------------------------------------------------------------------------

ATTACK = """\
program: [sshd, sshd-session]
policy: {threshold: 3, window: 5m, ban: 2h}
rules:
  - id: failed
    match: 'Failed \\S+ for (invalid user )?<USER> from <ADDR> port <PORT>( ssh2)?'
    samples:
      - {line: 'Failed password for root from 203.0.113.9 port 4242 ssh2', address: 203.0.113.9}
    near_misses: ['Failed password for root']
  - id: probe
    match: 'Probe from <ADDR>'
    score: 2
    severity: violation
    aggressive: true
    samples: [{line: 'Probe from 2001:DB8:0::1', address: '2001:db8::1'}]
"""


def test_an_attack_file_says_all_that_a_rule_needs(tree: Tree) -> None:
    found = rules.load([], [tree({"sshd.yaml": ATTACK})], aggressive=True)
    assert not found.refused
    failed, probe = found.attack
    assert str(failed) == "sshd.yaml#failed"
    assert failed.programs == ("sshd", "sshd-session")
    assert failed.policy == Policy(3, 300, 7200)
    assert (failed.score, failed.severity, failed.where.line) == (1, Severity.ATTACK, 4)
    assert (probe.score, probe.severity, probe.where.line) == (2, Severity.VIOLATION, 9)


def test_an_aggressive_rule_is_in_force_only_where_it_was_asked_for(tree: Tree) -> None:
    assert [rule.id for rule in rules.load([], [tree({"sshd.yaml": ATTACK})]).attack] == ["failed"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("score: 2", "score: two", "11: rules[1].score: expected a whole number: "),
        ("score: 2", "score: 0", "11: rules[1].score: expected at least 1, not 0"),
        (
            "severity: violation",
            "severity: bad",
            "12: rules[1].severity: expected attack (counts against its source), violation (reported",
        ),
        ("score: 2", "scores: 2", "11: rules[1].scores: unknown key; known here: aggressive, fields, id, match, ne"),
        ("    match: 'Probe from <ADDR>'\n", "", "9: rules[1]: needs match"),
        ("id: probe", "id: 'a b'", "9: rules[1].id: expected the rule's name"),
        ("    samples: [{line: 'Probe", "    near_misses: [{line: 'Probe", "9: rules[1]: needs samples"),
        (
            "samples: [{line: 'Probe from 2001:DB8:0::1', address: '2001:db8::1'}]",
            "samples: []",
            "14: rules[1].samples: ",
        ),
    ],
)
def test_a_rule_with_a_problem_is_refused_at_its_line_and_the_rest_stands(old: str, new: str, why: str) -> None:
    assert old in ATTACK
    found, refused = attack.parse(ATTACK.replace(old, new).encode(), "sshd.yaml")
    assert [rule.id for rule in found] == ["failed"]
    assert any(str(each).startswith(f"sshd.yaml:{why}") for each in refused), list(map(str, refused))


REQUIRING = """
program: app
rules:
  - id: refused
    requires: [accepted]
    match: 'conn=<SESSION> refused'
    samples: [{line: 'conn=1 refused', after: 'conn=1 from 203.0.113.9', address: 203.0.113.9}]
  - id: accepted
    severity: context
    match: 'conn=<SESSION> from <ADDR>'
    samples: [{line: 'conn=1 from 203.0.113.9', address: 203.0.113.9}]
"""


def test_a_rule_that_requires_another_is_no_attack_by_itself(tree: Tree) -> None:
    found = rules.load([], [tree({"app.yaml": REQUIRING})])
    assert not found.refused
    assert [(rule.id, rule.requires) for rule in found.attack] == [("refused", ("accepted",)), ("accepted", ())]
    assert {rule.severity for rule in found.attack} == {Severity.CONTEXT}
    assert found.attack[0].samples[0].after == "conn=1 from 203.0.113.9"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("[accepted]", "[]", "5: rules[0].requires: "),
        ("[accepted]", "other", "4: rules[0].requires: no other rule of this file has the id other"),
        ("[accepted]", "refused", "4: rules[0].requires: no other rule of this file has the id refused"),
        ("    severity: context\n", "", "4: rules[0].requires: accepted is no rule of severity context"),
        ("    severity: context\n", "    severity: worse\n", "4: rules[0].requires: no other rule of this file has"),
        ("[accepted]", "accepted\n    severity: violation", "4: rules[0].severity: a rule that requires others is"),
        (" from <ADDR>'", " from .*'", "4: rules[0].requires: neither the rule nor one that it requires names a"),
        (" after: 'conn=1 from 203.0.113.9',", "", "4: rules[0].samples: a rule that requires others says in `after`"),
    ],
)
def test_a_rule_that_could_never_be_met_is_refused(old: str, new: str, why: str) -> None:
    assert old in REQUIRING
    found, refused = attack.parse(REQUIRING.replace(old, new).encode(), "app.yaml")
    assert "refused" not in [rule.id for rule in found]
    assert any(str(each).startswith(f"app.yaml:{why}") for each in refused), list(map(str, refused))


def test_a_rule_may_count_once_a_session_and_says_so() -> None:
    found, refused = attack.parse(ATTACK.replace("score: 2", "once: true").encode(), "sshd.yaml")
    assert not refused
    assert [(rule.once, "once a session" in remarks(rule)) for rule in found] == [(False, False), (True, True)]
    _, (refusal,) = attack.parse(ATTACK.replace("score: 2", "once: 1").encode(), "sshd.yaml")
    assert "rules[1].once: expected true: the rule does not count where" in str(refusal)


def test_a_line_that_only_others_refer_to_may_be_hidden(tree: Tree) -> None:
    hidden = tree({"local.rules": "app: conn=[0-9]+ (from .*|refused)\n"})
    assert rules.load([hidden], [tree({"app.yaml": REQUIRING})]).refused == ()


def test_a_policy_with_a_problem_leaves_its_rules_with_the_default(tree: Tree) -> None:
    for bad in ("{threshold: 3, window: 5x, ban: 2h}", "{threshold: 3}", "{threshold: 3, window: 0m, ban: 2h}", "7"):
        found, refused = attack.parse(ATTACK.replace("{threshold: 3, window: 5m, ban: 2h}", bad).encode(), "sshd.yaml")
        assert [rule.policy for rule in found] == [None, None]
        assert refused[0].where.line == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rules: []", "1: needs program"),
        ("program: sshd\nrules: 3", "2: rules: expected a list"),
        ("- a\n- b", "1: expected a mapping"),
        ("program: [\nrules: 3", ""),
        ("program: &x sshd\nrules: *x", "2: YAML aliases"),
        ("program: !!python/object:os.system sshd", "1: "),
        ("program: 'a b'\nrules: []", "1: program: expected the program"),
        ("program: []\nrules: []", "1: program: "),
        ("\x00", "1: not YAML"),
        ("a: " + "[" * 100_000, "1: nested deeper"),
    ],
)
def test_a_file_that_says_nothing_usable_is_refused_whole(text: str, why: str) -> None:
    found, refused = attack.parse(text.encode(), "sshd.yaml")
    assert not found
    assert str(refused[0]).startswith(f"sshd.yaml:{why}"), list(map(str, refused))


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_an_attack_file_without_content_has_no_rules_and_nothing_wrong(text: str) -> None:
    assert attack.parse(text.encode(), "sshd.yaml") == ([], [])


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(attack.schema())


# --- which rules may be in force ----------------------------------------------------------------------------


def judged(tree: Tree, line: str) -> list[str]:
    """What is said of one ignore rule beside the attack rules above."""
    found = rules.load([tree({"local.rules": f"x: y\n{line}\n"})], [tree({"sshd.yaml": ATTACK})], aggressive=True)
    assert texts(found)[0] == "y"
    assert len(found.ignore) + len(found.refused) == 2
    return said(found)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("cron: (a", "unmatched ("),
        ("cron: a{2,1}", "invalid content of {}"),
        ("cron: [[:foo:]]", "invalid character class name [:foo:]"),
        ("cron: from <ADRR>", "unknown placeholder <ADRR>"),
        ("cron: (((a{100}){100}){100}){100}", "regular expression too big"),
        ("cron: .*", "can match an empty message, and so may match everything"),
        ("cron: (a|b)?", "can match an empty message"),
        ("^x?", "can match an empty message"),
        ("^", "can match an empty message"),
        ("*: .+", "matches any message of any program"),
        (r"^\w{3} [ :0-9]{11} [._[:alnum:]-]+ .+$", "matches any message of any program"),
        ("^.", "matches any message of any program"),
        ("x: y", "the same as "),
        (
            "sshd: Failed password for .*",
            "hides a sample of the attack rule sshd.yaml#failed: Failed password for root",
        ),
        ("*: Probe from <ADDR>", "hides a sample of the attack rule sshd.yaml#probe"),
        ("ssh*: Probe .*", "hides a sample of the attack rule sshd.yaml#probe"),
        (r"^\w{3} [ :0-9]{11} [._[:alnum:]-]+ sshd\[[0-9]+\]: Failed .*$", "hides a sample of the attack rule"),
        (r"sshd: (\w+ ?)*(\w+ ?)*(\w+ ?)*(\w+ ?)* port 4242 ssh2x?.*!|Failed.*ssh2", "hides a sample"),
    ],
)
def test_an_ignore_rule_that_would_do_harm_is_refused(tree: Tree, line: str, why: str) -> None:
    refused = judged(tree, line)
    assert refused
    assert refused[0].startswith(f"local.rules:2: {why}")


@pytest.mark.parametrize(
    "line",
    [
        "cron: Failed password for .*",
        "sshd: Failed password for <USER>",
        "sshd: Accepted .*",
        "sshd: .+ closed",
        "*: Failed",
        r"^\w{3} [ :0-9]{11} [._[:alnum:]-]+ cron\[[0-9]+\]: Failed .*$",
        "dovecot: y",
    ],
)
def test_an_ignore_rule_that_does_no_harm_is_in_force(tree: Tree, line: str) -> None:
    assert judged(tree, line) == []


def judged_attack(tree: Tree, old: str, new: str) -> list[str]:
    assert old in ATTACK
    found = rules.load([], [tree({"sshd.yaml": ATTACK.replace(old, new)})], aggressive=True)
    assert len(found.attack) + len(found.refused) == 2
    return said(found)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("'Failed \\S+ ", "'(Failed \\S+ ", "4: unmatched ("),
        ("'Failed \\S+ ", "'Invalid ", "4: does not match its sample: Failed password for root"),
        ("address: 203.0.113.9", "address: 203.0.113.1", "4: yields the address 203.0.113.9, not 203.0.113.1, for its"),
        ("address: 203.0.113.9", "address: null", "4: yields the address 203.0.113.9, not none, for its sample"),
        (
            "['Failed password for root']",
            "['Failed x for y from 192.0.2.1 port 1']",
            "4: matches its near miss: Failed x",
        ),
        ("from <ADDR> port <PORT>( ssh2)?", "from .*", "4: names no source: an attack rule needs <ADDR> or <HOST>"),
        (
            "'Failed \\S+ for (invalid user )?<USER> from <ADDR> port <PORT>( ssh2)?'",
            "'<USER>'",
            "4: can match an empty",
        ),
        ("id: probe", "id: failed", "9: has the id of "),
        ("from <ADDR> port <PORT>( ssh2)?", "from <ADRR>", "4: unknown placeholder"),
        ("<USER> from <ADDR>", "(\\S+ ?)*(\\S+ ?)*(\\S+ ?)*(\\S+ ?)*x<ADDR>", "4: "),
    ],
)
def test_an_attack_rule_that_is_not_what_it_was_meant_to_be_is_refused(
    tree: Tree, old: str, new: str, why: str
) -> None:
    refused = judged_attack(tree, old, new)
    assert len(refused) == 1
    assert refused[0].startswith(f"sshd.yaml:{why}")


def test_a_violation_needs_no_source(tree: Tree) -> None:
    new = "'Probe from .+'\n    severity: violation"
    text = ATTACK.replace("'Probe from <ADDR>'\n    score: 2\n    severity: violation", new)
    text = text.replace(", address: '2001:db8::1'", "")
    assert rules.load([], [tree({"sshd.yaml": text})], aggressive=True).refused == ()


def test_a_host_name_is_no_address(tree: Tree) -> None:
    text = ATTACK.replace("from <ADDR>'", "from <HOST>'").replace(
        "2001:DB8:0::1', address: '2001:db8::1'", "a.example'"
    )
    assert rules.load([], [tree({"sshd.yaml": text})], aggressive=True).refused == ()


def test_a_rule_repeated_in_another_file_names_the_first(tree: Tree) -> None:
    found = rules.load([tree({"a.rules": "a, b: x", "b.rules": "b,a: x\na: x"})])
    assert [(rule.programs, rule.regex) for rule in found.ignore] == [(("a", "b"), "x"), (("a",), "x")]
    assert said(found)[0].endswith("a.rules:1, which stays in force")


@pytest.mark.slow
def test_what_is_shipped_is_in_force_without_a_word() -> None:
    root = Path(__file__).parent.parent
    found = rules.load([str(root / "ignore.d")], [str(root / "attack.d")], level="workstation", aggressive=True)
    assert list(map(str, found.refused)) == []
    assert found.ignore
    assert found.attack
    assert all(isinstance(rule, AttackRule) and rule.samples for rule in found.attack)


# --- what is remembered from load to load -------------------------------------------------------------------


@pytest.fixture
def cached(tree: Tree, tmp_path: Path) -> Callable[[], RuleSet]:
    """Loads the same directories again and again, with one cache."""
    ignore_files = tree({"local.rules": "cron: a\nsshd: Accepted .*\nsshd: (b\nsshd: Failed .*\n"})
    attack_files = tree({"sshd.yaml": ATTACK, "bad.yaml": "program: x\nrules: 3\n"})
    return lambda: rules.load([ignore_files], [attack_files], aggressive=True, cache=f"{tmp_path}/cache/judged.json")


def forbid_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object) -> None:
        raise AssertionError("worked out again")

    monkeypatch.setattr("logwarden.rules.soundness.ere.parse", work)
    monkeypatch.setattr("logwarden.rules.attack.document.parse", work)


def test_what_has_not_changed_is_not_judged_again(
    cached: Callable[[], RuleSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cached()
    assert (len(first.ignore), len(first.attack), len(first.refused)) == (2, 2, 3)
    forbid_work(monkeypatch)
    assert cached() == first


def test_what_another_version_of_the_regex_package_said_is_asked_again(
    cached: Callable[[], RuleSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cached()
    monkeypatch.setattr("logwarden.rules.audit.regex_version", lambda: "another")
    assert cached() == first
    forbid_work(monkeypatch)
    assert cached() == first
    monkeypatch.undo()
    forbid_work(monkeypatch)
    with pytest.raises(AssertionError, match="worked out again"):
        cached()


def test_an_edited_attack_sample_is_held_against_the_ignore_rules_of_its_program(
    cached: Callable[[], RuleSet], tmp_path: Path
) -> None:
    cached()
    (file,) = tmp_path.glob("*/sshd.yaml")
    file.write_text(
        ATTACK.replace("'Failed \\S+ for", "'(Failed|Accepted) \\S+ for").replace(
            "'Failed password", "'Accepted password"
        )
    )
    refused = said(cached())
    assert any(each.startswith("local.rules:2: hides a sample of the attack rule sshd.yaml#failed") for each in refused)
    assert not any(each.startswith("local.rules:4") for each in refused)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version": 1}', b"\x00\xff", b"[" * 100_000])
def test_a_damaged_cache_is_made_anew(
    cached: Callable[[], RuleSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    first = cached()
    (tmp_path / "cache/judged.json").write_bytes(damage)
    assert cached() == first
    forbid_work(monkeypatch)
    assert cached() == first


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(cached: Callable[[], RuleSet], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands where the directory would")
    assert cached() == cached()


def test_the_cache_forgets_what_is_no_longer_there(cached: Callable[[], RuleSet], tmp_path: Path) -> None:
    cached()
    (file,) = tmp_path.glob("*/local.rules")
    before = (tmp_path / "cache/judged.json").stat().st_size
    file.write_text("cron: a\n")
    cached()
    assert (tmp_path / "cache/judged.json").stat().st_size < before
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["judged.json"]


def test_that_a_rule_was_too_slow_once_is_not_remembered(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = [tree({"local.rules": "sshd: Failed .+"})], [tree({"sshd.yaml": ATTACK})]
    monkeypatch.setattr("logwarden.rules.soundness._search", _too_slow)
    assert "longer than" in said(rules.load(*directories, cache=f"{tmp_path}/cache/judged.json"))[0]
    monkeypatch.undo()
    assert "hides a sample" in said(rules.load(*directories, cache=f"{tmp_path}/cache/judged.json"))[0]


def _too_slow(pattern: object, line: bytes) -> None:
    raise audit.TooSlowError(f"takes longer than 100 ms for the message: {line.decode()}")


def test_of_rules_that_are_replaced_nothing_stays(cached: Callable[[], RuleSet]) -> None:
    gc.collect()
    gc.disable()
    try:
        before = attack_rules()
        found = cached()
        assert attack_rules() > before
        del found
        assert attack_rules() == before
    finally:
        gc.enable()


def attack_rules() -> int:
    return sum(isinstance(each, AttackRule) for each in gc.get_objects())


@pytest.mark.slow
def test_a_lean_start_has_a_child_judge_and_compile_the_rules_and_the_next_one_needs_none(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, state = tmp_path / "logwarden.yaml", tmp_path / "state"
    state.mkdir()
    ignore, attack = tree({"local.rules": "cron: a\nsshd: (b\n"}), tree({"sshd.yaml": ATTACK})
    file.write_text(f"state: {state}\nrules: {{ignore: [{ignore}], attack: [{attack}]}}\n")
    settings = config.load(str(file))
    asked: list[Sequence[str]] = []
    real = process.run

    def run(argv: Sequence[str], **more: Any) -> bytes:
        asked.append(argv)
        return real(argv, **more)

    monkeypatch.setattr(process, "run", run)
    with monkeypatch.context() as patched:
        patched.setattr("logwarden.rules.soundness.ere.parse", None)  # nothing is judged here
        first = watch.build(settings, lean=True)
    assert [argv[-3:] for argv in asked] == [["check", "--config", str(file)]], "nor compiled, but by that child"
    assert watch.build(settings, lean=True).rules == first.rules == watch.load_rules(settings)
    assert len(first.rules.refused) == 1
    assert len(asked) == 1


def test_where_nothing_can_be_kept_no_child_is_asked_for_it(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "logwarden.yaml"
    file.write_text(f"state: {tmp_path}/missing\nrules: {{ignore: [{tree({'a.rules': 'cron: a'})}], attack: []}}\n")
    monkeypatch.setattr(process, "run", None)
    watch._check(config.load(str(file)))
