"""logcheck's own directories, read in place, mean what they mean to logcheck."""

from __future__ import annotations

import grp
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random

import logcheck_peer
import pytest
from grep_oracle import example, grep, mutate
from logcheck_database import DATABASE, MISSING, how_many
from sink import Sink

from logwarden import ere, header, matcher, rules
from logwarden.ere import nodes
from logwarden.matcher import prefix
from logwarden.model import Batch, Dialect, IgnoreRule, Location, Outcome, RuleSet, Severity, Verdict
from logwarden.rules import logcheck
from logwarden.sources.file import FileSource, FileSpec

HERE = Path(__file__).parent
BUNDLED = ("demo/sample.log", "captured/hour", "captured/faults")
HEADER = r"^\w{3} [ :[:digit:]]{11} [._[:alnum:]-]+ "

TREE = {
    "ignore.d.paranoid/cron": f"# a comment\n\n{HEADER}cron\\[[0-9]+\\]: paranoid$\n",
    "ignore.d.server/cron": f"{HEADER}cron\\[[0-9]+\\]: server$\n{HEADER}su: [a-z ]+$\n",
    "ignore.d.workstation/cron": f"{HEADER}cron\\[[0-9]+\\]: workstation$\n",
    "cracking.d/probe": "PROBE\nrlogind: refused\n",
    "cracking.d/other": "OTHER\n",
    "cracking.ignore.d/probe": "PROBE of our own\n",
    "cracking.ignore.d/logcheck-probe": "(PROBE|OTHER) by design\n",
    "cracking.ignore.d/local": "here\n",
    "cracking.ignore.d/local-more": "there\n",
    "cracking.ignore.d/local_more": "nowhere\n",
    "violations.d/su": "su: FAILED\nsu: bad\n",
    "violations.d/sudo": "sudo: FAILED\n",
    "violations.d/logcheck": "FAILED\nattackalert\n",
    "violations.ignore.d/su": "su: FAILED for fun\n",
    "violations.ignore.d/logcheck-sudo": "sudo: FAILED by design\n",
    "violations.ignore.d/local": "FAILED here\n",
    "violations.ignore.d/local-more": "FAILED there\n",
    "violations.ignore.d/cups": "cups: FAILED\n",
}
MESSAGES = (
    """
cron[1]: paranoid|cron[1]: server|cron[1]: workstation|cron[1]: other|su: all is well|su: FAILED|su: FAILED for fun
su: bad|su: bad, su: FAILED for fun|sudo: FAILED|sudo: FAILED by design|sudo: FAILED for fun, su: FAILED for fun
su: FAILED here|sudo: FAILED there|cups: FAILED|lpd: FAILED|attackalert|attackalert here|PROBE|PROBE of our own
OTHER, PROBE of our own|PROBE FAILED|rlogind: refused|su: bad OTHER
PROBE by design|OTHER by design|PROBE here|OTHER here|PROBE there|OTHER, PROBE there|PROBE nowhere
""".strip()
    .replace("\n", "|")
    .split("|")
)


def write(root: Path, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode("latin-1"))
    return str(root)


def sections(
    path: str, lines: list[bytes], level: str, *, portable: bool = False, cache: Path | None = None
) -> dict[str, Counter[bytes]]:
    """What we report of these lines, by logcheck's sections, and how often each."""
    ruleset = rules.load(logcheck=path, logcheck_level=level)
    found: dict[str, Counter[bytes]] = {name: Counter() for name in logcheck_peer.SECTIONS.values()}
    compiled = matcher.compile(ruleset, cache, portable=portable)
    batch = Batch("test", b"".join(line + b"\n" for line in lines), len(lines), "")
    for line, verdict in zip(lines, compiled.classify(batch, 1e9, every=True).verdicts, strict=True):
        if section := _section(verdict):
            found[section][line] += 1
    return found


def _section(verdict: Verdict) -> str | None:
    if not verdict.reported:
        return None
    return str(verdict.attack_by.severity) if verdict.attack_by else "system"


# --- what is read -------------------------------------------------------------------------------------------


def test_a_rule_is_what_grep_takes_it_for(tmp_path: Path) -> None:
    path = write(tmp_path, {"ignore.d.server/a": "# no rule\n \t\n #a rule\n^x $\n^\\d\n^caf\xe9\n^z\r\n^<ADDR>"})
    found, _, refused = logcheck.load(path, ("server",))
    assert [rule.regex for rule in found] == [" #a rule", "^x $", r"^\d", "^caf\udce9", "^z\r", "^<ADDR>"]
    assert all(rule.dialect is Dialect.GREP and not rule.programs for rule in found)
    assert found[1].where == Location(f"{path}/ignore.d.server/a", 4)
    assert not refused


def test_levels_add_up(tmp_path: Path) -> None:
    path = write(tmp_path, TREE)
    for count, level in enumerate(rules.LEVELS, 1):
        found = rules.load(logcheck=path, logcheck_level=level).ignore
        names = {rule.where.file.split("/")[-2] for rule in found if not rule.exempts}
        assert names == {f"ignore.d.{name}" for name in rules.LEVELS[:count]}


@pytest.mark.parametrize("name", ["local.conf", "cron~", "cron.dpkg-old", ".cron", "a b", "cr\u00f6n"])
@pytest.mark.parametrize("place", ["ignore.d.server", "violations.d", "violations.ignore.d", "cracking.d"])
def test_a_file_that_run_parts_skips_is_said(tmp_path: Path, place: str, name: str) -> None:
    path = write(tmp_path, {f"{place}/{name}": "^x"})
    *found, refused = logcheck.load(path, ("server",))
    assert found == [[], []]
    assert [each.where.file for each in refused] == [f"{path}/{place}/{name}"]
    assert "logcheck does not read it" in refused[0].why


def test_a_directory_among_the_files_is_said_and_a_readme_is_read_as_logcheck_reads_it(tmp_path: Path) -> None:
    path = write(tmp_path, {"ignore.d.server/postfix/local": "^x", "ignore.d.server/README": "rules of ours"})
    found, _, refused = logcheck.load(path, ("server",))
    assert [rule.regex for rule in found] == ["rules of ours"]
    assert list(map(str, refused)) == [
        f"{path}/ignore.d.server/postfix:1: skipped: a directory, into which logcheck does not look"
    ]


@pytest.mark.parametrize("name", [".git", ".cron.swp", ".#cron", "#cron#"])
def test_what_an_editor_leaves_is_not_worth_a_word(tmp_path: Path, name: str) -> None:
    assert logcheck.load(write(tmp_path, {f"ignore.d.server/{name}": "^x"}), ("server",)) == ([], [], [])


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, {"ignore.d.server/a": "^x"})
    os.symlink(f"{path}/nowhere", f"{path}/ignore.d.server/b")
    found, _, refused = logcheck.load(path, ("server",))
    assert len(found) == 1
    assert list(map(str, refused)) == [
        f"{path}/ignore.d.server/b:1: skipped: cannot be read: No such file or directory"
    ]


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert [each.why for each in rules.load(logcheck=f"{tmp_path}/none").refused] == ["no such directory"]
    assert rules.load(logcheck=str(tmp_path)).refused == ()


@pytest.mark.parametrize(
    "name",
    ["ignore.d.servr", "violations.ignore", "ignore.d", "ignore.server", "violation.d", "cracking", "igonre.d.server"],
)
def test_a_directory_that_is_called_almost_like_one_of_logchecks_is_said(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, TREE | {f"{name}/su": "^x"})
    found = rules.load(logcheck=path)
    assert not [rule for rule in (*found.ignore, *found.attack) if rule.where.file.startswith(f"{path}/{name}/")]
    assert list(map(str, found.refused)) == [f"{path}/{name}:1: skipped: logcheck reads no directory of this name"]


def test_what_else_lies_beside_logchecks_directories_is_not_worth_a_word(tmp_path: Path) -> None:
    others = ("logcheck.logfiles.d/a", "ignore.d", ".git/ignore", "backup/ignore.d.server/a", "header.txt")
    path = write(tmp_path, TREE | dict.fromkeys(others, "x"))
    assert rules.load(logcheck=path).refused == ()


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user without rights; root alone can, and who is not root is such a user already."""
    before = os.geteuid(), os.getegid(), os.getgroups()
    if before[0] == 0:
        os.setgroups([])
        os.setegid(65534)
        os.seteuid(65534)
    try:
        yield
    finally:
        if before[0] == 0:
            os.seteuid(before[0])
            os.setegid(before[1])
            os.setgroups(before[2])


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that everybody may enter; pytest's own are its user's alone."""
    with tempfile.TemporaryDirectory(prefix="logwarden-test-") as place:
        os.chmod(place, 0o755)
        yield Path(place)


@pytest.mark.root
def test_a_directory_for_another_group_is_said_once_with_what_to_do(open_place: Path) -> None:
    """As Debian's logcheck leaves /etc/logcheck."""
    path = write(open_place / "logcheck", TREE)
    os.chown(path, 0, grp.getgrnam("adm").gr_gid)
    os.chmod(path, 0o750)
    with nobody():
        found = rules.load(logcheck=path)
    assert not found.ignore
    assert list(map(str, found.refused)) == [
        f"{path}:1: cannot be read: Permission denied: {path} is for the group adm: "
        "usermod -aG adm nobody, then start logwarden anew"
    ]


@pytest.mark.root
@pytest.mark.parametrize("below", ["ignore.d.server", "ignore.d.server/cron", "logcheck.conf"])
def test_what_is_for_root_alone_is_said_with_what_to_do_and_the_rest_is_in_force(open_place: Path, below: str) -> None:
    path = write(open_place / "logcheck", TREE | {"logcheck.conf": ""})
    os.chmod(f"{path}/{below}", 0)
    group = grp.getgrgid(65534).gr_name
    with nobody():
        found = rules.load(logcheck=path)
    assert found.ignore
    assert [each.where.file for each in found.refused] == [f"{path}/{below}"]
    assert f"Permission denied: {path}/{below} is for root alone: chgrp {group} {path}/{below} && chmod g+rX" in str(
        found.refused[0]
    )


def test_rules_that_raise_are_attack_rules_of_whole_lines(tmp_path: Path) -> None:
    found = rules.load(logcheck=write(tmp_path, TREE)).attack
    assert {(rule.file, rule.severity) for rule in found} == {
        ("cracking.d/other", Severity.ATTACK),
        ("cracking.d/probe", Severity.ATTACK),
        ("violations.d/logcheck", Severity.VIOLATION),
        ("violations.d/su", Severity.VIOLATION),
        ("violations.d/sudo", Severity.VIOLATION),
    }
    assert [str(rule) for rule in found if rule.regex == "su: bad"] == ["violations.d/su#2"]


def test_exempting_files_pair_with_raising_files_by_name(tmp_path: Path) -> None:
    found = rules.load(logcheck=write(tmp_path, TREE)).ignore
    pairs = {os.path.basename(rule.where.file): {os.path.basename(file) for file in rule.exempts} for rule in found}
    everything = {"logcheck", "su", "sudo"}
    assert pairs["su"] == {"logcheck", "su"}
    assert pairs["logcheck-sudo"] == {"logcheck", "sudo"}
    assert pairs["local"] == pairs["local-more"] == everything
    assert pairs["cups"] == {"logcheck"}


def test_an_exempting_file_that_pairs_with_nothing_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, {"violations.d/su": "x", "violations.ignore.d/sudo": "y\nz"})
    found = rules.load(logcheck=path)
    assert not found.ignore
    assert [each.why for each in found.refused] == ["skipped: pairs with no file of violations.d"]


def test_cracking_ignore_counts_only_where_logcheck_conf_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, TREE)
    assert not [rule for rule in rules.load(logcheck=path).ignore if "cracking.d/probe" in rule.exempts]
    write(tmp_path, {"logcheck.conf": '#SUPPORT_CRACKING_IGNORE=0\nSUPPORT_CRACKING_IGNORE="1"\n'})
    assert [rule for rule in rules.load(logcheck=path).ignore if "cracking.d/probe" in rule.exempts]
    write(tmp_path, {"logcheck.conf": "SUPPORT_CRACKING_IGNORE=1\nSUPPORT_CRACKING_IGNORE=0\n"})
    assert not [rule for rule in rules.load(logcheck=path).ignore if "cracking.d/probe" in rule.exempts]


def test_a_malformed_rule_costs_itself_alone(tmp_path: Path) -> None:
    path = write(tmp_path, {"ignore.d.server/a": "^a\n^(b\n^x?\n^c\n"})
    found = rules.load(logcheck=path)
    assert [rule.regex for rule in found.ignore] == ["^a", "^c"]
    assert [each.where.line for each in found.refused] == [2, 3]


@pytest.mark.parametrize("stamp", [r"\w{3} [ :[:digit:]]{11}", r"\w{3} [ :0-9]{11}", r"[[:alpha:]]{3} [ :0-9]{11}"])
@pytest.mark.parametrize("other", ["", "|[0-9T:.+-]{32}", "|[-0-9T:.+]{32}"])
@pytest.mark.parametrize("host", ["[._[:alnum:]-]+", "[-._[:alnum:]]+", "[^ ]+", "[^[:space:]]+", r"\S+"])
def test_a_standard_header_is_known_however_it_is_spelt(stamp: str, other: str, host: str) -> None:
    rule = f"^({stamp}{other}) {host} cron: x$"
    assert prefix.rest(ere.parse(rule.encode())) == ere.parse(b"cron: x$")


@pytest.mark.parametrize("rule", ["^.* cron: x$", r"^\w{3} cron: x$", r"^\w{3} [ :0-9]{11} .* x$", "cron: x$"])
def test_what_matches_more_than_headers_is_no_header(rule: str) -> None:
    assert prefix.rest(ere.parse(rule.encode())) is None


@pytest.mark.parametrize("portable", [False, True], ids=["hyperscan", "regex"])
def test_a_rule_may_look_back_at_its_header(portable: bool) -> None:
    """It is for the whole line then: without its header it would match nothing."""
    head = r"^\w{3} [ :[:digit:]]{11} ([._[:alnum:]-]+) su: "
    own, other = (IgnoreRule(Location("x", n), rf"{head}(a)\{n}$", (), Dialect.GREP) for n in (1, 2))
    made = matcher.compile(RuleSet((own, other)), portable=portable)
    block = b"".join(b"Nov 22 17:00:00 mail su: %s\n" % message for message in (b"amail", b"aa", b"ab"))
    found = made.classify(Batch("test", block, 3, ""), 1e9, every=True)
    assert [each.ignored_by for each in found.verdicts] == [own, other, None]


@pytest.mark.slow
def test_every_spelling_of_the_header_in_the_database_is_known() -> None:
    """But where an alternation stands beside it, no blank behind the host, or a \\1 that means the header's own group:
    those rules mean their own stamps."""
    if not DATABASE.is_dir():
        pytest.skip(MISSING)
    trees = {rule.regex: ere.parse(rule.regex.encode()) for rule in rules.load(logcheck=str(DATABASE)).ignore}
    begin = [text for text in trees if re.match(r"\^\(?(\\w|\[\[:alpha:\]\])\{3\} ", text)]
    unknown = [text for text in begin if not isinstance(trees[text], nodes.Alt) and prefix.rest(trees[text]) is None]
    assert len(begin) > 1_000
    assert [text for text in unknown if not re.match(r".{40,70}\]\+(\[\[:space:\]\]\+:|.*\\1)", text)] == []


# --- what it comes to ---------------------------------------------------------------------------------------


def test_raised_lines_are_reported_whatever_ignore_d_says_and_exempted_ones_are_not(tmp_path: Path) -> None:
    lines = [f"Jan  1 00:00:00 host {message}".encode() for message in MESSAGES]
    found = sections(write(tmp_path, TREE), lines, "server")
    texts = {name: {line.partition(b"host ")[2].decode() for line in some} for name, some in found.items()}
    assert texts["attack"] >= {"PROBE", "PROBE of our own", "rlogind: refused", "su: bad OTHER"}
    assert texts["violation"] == {
        *("su: FAILED", "su: bad", "sudo: FAILED", "lpd: FAILED", "attackalert", "attackalert here"),
        "sudo: FAILED for fun, su: FAILED for fun",
    }
    assert texts["system"] == {"cron[1]: workstation", "cron[1]: other"}


@pytest.mark.slow
@pytest.mark.root(oracle="logcheck")
@pytest.mark.parametrize("cracking_ignore", [False, True])
@pytest.mark.parametrize("level", rules.LEVELS)
def test_a_tree_of_every_pairing_is_reported_as_logcheck_reports_it(
    tmp_path: Path, level: str, cracking_ignore: bool
) -> None:
    if reason := logcheck_peer.why_not():
        pytest.skip(reason)
    path = write(tmp_path / "rules", TREE | ({"logcheck.conf": "SUPPORT_CRACKING_IGNORE=1"} if cracking_ignore else {}))
    lines = [f"Jan  1 00:00:00 host {message}".encode() for message in (*MESSAGES, *MESSAGES[::3])]
    lines += [message.encode() for message in MESSAGES]
    (tmp_path / "peer").mkdir()
    expected = logcheck_peer.report(Path(path), b"".join(line + b"\n" for line in lines), level, tmp_path / "peer")
    for portable in (False, True):
        assert sections(path, lines, level, portable=portable) == expected


@pytest.mark.slow
@pytest.mark.root(oracle="logcheck")
def test_of_a_log_that_grows_both_report_what_is_new(tmp_path: Path) -> None:
    """Each has its own memory of where it was: a file that belongs to logtail, and the source's cursor."""
    if reason := logcheck_peer.why_not():
        pytest.skip(reason)
    path, log = write(tmp_path / "rules", TREE), tmp_path / "log"
    cursors: dict[str, str] = {}
    for hour in range(3):
        new = [f"Jan  1 {hour:02}:00:00 host {message}" for message in MESSAGES[hour::3]]
        written = "".join(f"{line}\n" for line in new).encode()
        expected = logcheck_peer.report(Path(path), written, "server", tmp_path)
        source, sink = FileSource([FileSpec(str(log), from_start=True)]), Sink()
        source.start(sink, cursors)
        sink.wait_for_lines(*new)
        source.stop()
        cursors |= sink.cursors
        assert sections(path, [line.encode() for line in new], "server") == expected
        assert sum(map(len, expected.values())) > 3


@pytest.mark.slow
@pytest.mark.root
def test_what_cracking_ignore_d_exempts_is_still_a_violation_whatever_else_is_in_the_log(tmp_path: Path) -> None:
    """Where we differ on purpose: logcheck says nothing of it in a run in which it has found another attack."""
    if reason := logcheck_peer.why_not():
        pytest.skip(reason)
    path = write(tmp_path / "rules", TREE | {"logcheck.conf": "SUPPORT_CRACKING_IGNORE=1"})
    exempted, other = b"Jan  1 00:00:00 host PROBE of our own FAILED", b"Jan  1 00:00:01 host OTHER"
    for number, (log, said) in enumerate([([exempted], 1), ([exempted, other], 0)]):
        place = tmp_path / f"peer{number}"
        place.mkdir()
        expected = logcheck_peer.report(Path(path), b"".join(line + b"\n" for line in log), "server", place)
        assert expected["violation"] == Counter([exempted] * said)
        found = sections(path, log, "server")
        assert found["violation"] == Counter([exempted])
        assert found["attack"] == expected["attack"] == Counter(log[1:])


STAMP = b"Jan  1 00:00:00 host "
LIKE_A_STAMP = re.compile(rb"([0-9A-Za-z_]{3} [ :0-9]{11}|[0-9T:.+-]{32}) ")


@pytest.mark.slow
@pytest.mark.root(oracle="logcheck")
def test_the_installed_database_reports_what_logcheck_reports(tmp_path: Path) -> None:
    """At each level, on both engines: lines made from all rules, several from those that raise or exempt, with a header
    and without; the bundled logs; some of it twice."""
    if not (DATABASE / "ignore.d.server").is_dir():
        pytest.skip(MISSING)
    if reason := logcheck_peer.why_not():
        pytest.skip(reason)
    random = Random(11)
    database = rules.load(logcheck=str(DATABASE), logcheck_level="workstation")
    exempting = [rule for rule in database.ignore if rule.exempts]
    chosen = [rule for rule in database.ignore if not rule.exempts]
    trees = [ere.parse(rule.regex.encode()) for rule in (*chosen, *(exempting * 5), *(database.attack * 5))]
    log = [line for tree in trees for line in _lines(tree, random)]
    log += [line for name in BUNDLED for line in (HERE / name).read_bytes().splitlines()]
    log = [line.rstrip() for line in log if b"\x00" not in line and line.strip()]
    log += random.sample(log, 1_000)
    readable = shutil.copytree(DATABASE, tmp_path / "rules")  # where logcheck is installed, /etc/logcheck is its own
    readable.chmod(0o755)
    for level in reversed(rules.LEVELS):  # what is compiled for the last of them serves for that before it, too
        place = tmp_path / level
        place.mkdir()
        expected = logcheck_peer.report(readable, b"".join(line + b"\n" for line in log), level, place)
        assert min(len(expected["attack"]), len(expected["violation"])) >= 20
        assert len(expected["system"]) > 100
        for portable in (False, True):
            found = sections(str(DATABASE), log, level, portable=portable, cache=tmp_path / "cache")
            for name, lines in expected.items():
                assert found[name] - lines == Counter(), f"{level}: {name}: we report more"
                assert lines - found[name] == Counter(), f"{level}: {name}: logcheck reports more"


def _lines(rule: ere.Node, random: Random) -> list[bytes]:
    """A line that a rule matches and one that is almost it; with a header that is one, where it begins with one, and
    without any.

    To us a header pattern means any header and no other, so what is none but looks so to grep is left out, and what is
    one but not to grep.
    """
    rest = prefix.rest(rule)
    made = example(rule if rest is None else rest, random)[:400]
    if rest is not None:
        bare = [made] if header.take_apart(made, None, 1e9).start == 0 else []
        return [STAMP + made, STAMP + mutate(made, random), *bare]
    return [line for line in (made, mutate(made, random)) if not LIKE_A_STAMP.match(line)]


@pytest.mark.slow
def test_of_every_rule_of_the_database_the_matcher_says_what_grep_says() -> None:
    """Which rules match, on both engines, line by line and in one block: 1,922 rules, two lines made from each, and the
    bundled logs. What exempts is tried as if it hid, for a rule that is exempted does not count."""
    if not (DATABASE / "ignore.d.server").is_dir():
        pytest.skip(MISSING)
    random = Random(12)
    database = rules.load(logcheck=str(DATABASE), logcheck_level="workstation")
    ruleset = RuleSet(tuple(rule._replace(exempts=()) for rule in database.ignore), database.attack)
    texts = {str(rule.where): rule.regex.encode() for rule in ruleset.ignore}
    texts |= {str(rule): rule.regex.encode() for rule in ruleset.attack}
    assert (len(texts), database.refused) == (how_many(), ())
    made = [line for text in texts.values() for line in _lines(ere.parse(text), random)]
    made += [line for name in BUNDLED for line in (HERE / name).read_bytes().splitlines()]
    lines = [line for line in dict.fromkeys(made) if line.rstrip(b"\r") == line]
    expected = {name: grep(text, lines) for name, text in texts.items()}
    assert sum(map(len, expected.values())) > 3_000
    block = b"".join(line + b"\n" for line in lines)
    for portable in (False, True):
        compiled = matcher.compile(ruleset, portable=portable)
        alone: dict[str, set[int]] = {}
        for index, line in enumerate(lines):
            for name in compiled.classify(Batch("test", line + b"\n", 1, ""), 1e9).hits:
                alone.setdefault(name, set()).add(index)
        wrong = {name: alone.get(name, set()) ^ wanted for name, wanted in expected.items()}
        assert {name: lines[min(indices)] for name, indices in wrong.items() if indices} == {}
        together = compiled.classify(Batch("test", block, len(lines), ""), 1e9).hits
        assert together == {name: len(indices) for name, indices in alone.items()}


def test_outcomes_account_for_every_line(tmp_path: Path) -> None:
    lines = [f"Jan  1 00:00:00 host {message}".encode() for message in MESSAGES]
    compiled = matcher.compile(rules.load(logcheck=write(tmp_path, TREE)))
    batch = Batch("test", b"".join(line + b"\n" for line in lines), len(lines), "")
    counts = compiled.classify(batch, 1e9).counts
    assert sum(counts.values()) == len(lines)
    assert not counts.get(Outcome.QUARANTINED)
