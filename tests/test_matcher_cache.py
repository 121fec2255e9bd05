"""What is compiled once is not compiled again, an edit costs what was edited, and no cache file is trusted blindly."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from test_rules_logcheck import nobody, open_place  # noqa: F401 - a fixture

from logwarden import matcher, process
from logwarden.errors import CommandError
from logwarden.matcher import Matcher, cache
from logwarden.matcher.build import Databases, build
from logwarden.matcher.patterns import Text
from logwarden.model import AttackRule, Batch, Dialect, IgnoreRule, Location, RuleSet

pytestmark = pytest.mark.slow

NEEDS_HYPERSCAN = pytest.mark.skipif(cache.hyperscan_version() is None, reason="logwarden was built without Hyperscan")
NOW = 1_795_366_800.0


@dataclass
class Child:
    """Compiles in this process, remembers what it was asked for, and does not survive `deadly` texts."""

    deadly: str = ""
    asked: list[list[str]] = field(default_factory=list)

    def __call__(self, argv: Sequence[str], *, stdin: bytes, timeout: float) -> bytes:
        request = json.loads(stdin)
        texts = [Text(regex, tuple(programs), *rest) for regex, programs, *rest in request["texts"]]
        self.asked.append([text.regex for text in texts])
        if self.deadly and any(self.deadly in text.regex for text in texts):
            raise CommandError("killed")
        return cache.dump(build(texts, portable=request["portable"]))


def ruleset(*regexes: str) -> RuleSet:
    rules = [IgnoreRule(Location("local.rules", line), regex, ("su",)) for line, regex in enumerate(regexes, 1)]
    attack = AttackRule(Location("x.yaml", 1), "x.yaml", "r", ("su",), "from <ADDR>")
    return RuleSet(tuple(rules), (attack,))


def ignored(made: Matcher, message: str) -> str | None:
    """Where the rule is that ignores a message."""
    block = f"Nov 22 17:00:00 mail su: {message}\n".encode()
    (found,) = made.classify(Batch("test", block, 1, ""), NOW, every=True).verdicts
    return str(found.ignored_by.where) if found.ignored_by else None


BASE = tuple(f"rule {number}" for number in range(20))


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def test_a_second_start_compiles_nothing(tmp_path: Path) -> None:
    matcher.compile(ruleset(*BASE), tmp_path, run=Child())
    again = Child()
    made = matcher.compile(ruleset(*BASE), tmp_path, run=again)
    assert again.asked == []
    assert ignored(made, "rule 7") == "local.rules:8"
    assert ignored(made, "rule") is None


def test_an_edit_compiles_what_was_edited(tmp_path: Path) -> None:
    matcher.compile(ruleset(*BASE), tmp_path, run=Child())
    child = Child()
    made = matcher.compile(ruleset("new", *BASE[1:]), tmp_path, run=child)
    assert child.asked == [["new"]]
    assert [ignored(made, text) for text in ("new", "rule 0", "rule 1")] == ["local.rules:1", None, "local.rules:2"]
    again = Child()
    made = matcher.compile(ruleset("new", *BASE[1:]), tmp_path, run=again)
    assert again.asked == []
    assert [ignored(made, text) for text in ("new", "rule 0")] == ["local.rules:1", None]


def test_a_rule_that_moves_is_the_same_rule(tmp_path: Path) -> None:
    matcher.compile(ruleset(*BASE), tmp_path, run=Child())
    child = Child()
    assert ignored(matcher.compile(ruleset(*reversed(BASE)), tmp_path, run=child), "rule 0") == "local.rules:20"
    assert child.asked == []


def test_the_cache_is_kept_by_what_a_rule_says_and_for_whom(tmp_path: Path) -> None:
    before = ruleset(*BASE)
    matcher.compile(before, tmp_path, run=Child())
    other = IgnoreRule(before.ignore[0].where, before.ignore[0].regex, ("cron",))
    plain = IgnoreRule(before.ignore[1].where, before.ignore[1].regex, ("su",), Dialect.GREP)
    child = Child()
    matcher.compile(RuleSet((other, plain, *before.ignore[2:]), before.attack), tmp_path, run=child)
    assert child.asked == [["rule 0", "rule 1"]]


def test_many_edits_make_a_new_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MOST_BESIDE", 2)
    matcher.compile(ruleset(*BASE), tmp_path)
    child = Child()
    matcher.compile(ruleset(*BASE, "x", "y"), tmp_path, run=child)
    made = matcher.compile(ruleset(*BASE, "x", "y", "z"), tmp_path, run=child)
    assert [len(texts) for texts in child.asked] == [2, len(BASE) + 4]
    assert ignored(made, "z") == f"local.rules:{len(BASE) + 3}"


def test_old_files_go(tmp_path: Path) -> None:
    for number in range(20):
        matcher.compile(ruleset(*BASE, f"edit {number}"), tmp_path)
    assert len(files(tmp_path)) <= 8


@pytest.mark.parametrize("damage", ["empty", "cut", "head", "text", "other version", *range(0, 100, 7)])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str | int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        if damage == "other version":
            patch.setattr(cache, "version", lambda: "0")
        matcher.compile(ruleset(*BASE), tmp_path)
    (path,) = files(tmp_path)
    content = path.read_bytes()
    place = len(content) * damage // 100 if isinstance(damage, int) else 0
    flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    path.write_bytes(
        {
            "empty": b"",
            "cut": content[:-1],
            "head": content[:30],
            "text": b"hello\n",
        }.get(damage, content if damage == "other version" else flipped)
    )
    child = Child()
    made = matcher.compile(ruleset(*BASE), tmp_path, run=child)
    assert len(child.asked) == 1
    assert ignored(made, "rule 7") == "local.rules:8"
    assert len(files(tmp_path)) == 1
    assert matcher.compile(ruleset(*BASE), tmp_path, run=child) is not None
    assert len(child.asked) == 1


@NEEDS_HYPERSCAN
def test_a_cache_of_another_version_of_hyperscan_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    from logwarden.matcher import _hyperscan

    library = ctypes.CDLL("libhs_runtime.so.5")
    library.hs_version.restype = ctypes.c_char_p
    spoken = library.hs_version().decode()
    assert (cache.hyperscan_version(), cache.version().split(maxsplit=3)[3]) == (spoken, spoken)
    matcher.compile(ruleset(*BASE), tmp_path)
    (old,) = files(tmp_path)
    assert json.dumps(cache.version()).encode() in old.read_bytes()
    request.addfinalizer(cache.version.cache_clear)
    child = Child()
    with monkeypatch.context() as patch:
        patch.setattr(_hyperscan, "VERSION", f"{spoken} and a day")
        cache.version.cache_clear()
        for _ in range(2):
            assert ignored(matcher.compile(ruleset(*BASE), tmp_path, run=child), "rule 7") == "local.rules:8"
    assert len(child.asked) == 1
    assert old not in files(tmp_path)


def test_a_cache_of_another_version_of_the_regex_package_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    matcher.compile(ruleset(*BASE), tmp_path)
    request.addfinalizer(cache.version.cache_clear)
    child = Child()
    monkeypatch.setattr("logwarden.matcher.cache.regex_version", lambda: "another")
    cache.version.cache_clear()
    for _ in range(2):
        matcher.compile(ruleset(*BASE), tmp_path, run=child)
    assert len(child.asked) == 1


@NEEDS_HYPERSCAN
@pytest.mark.parametrize("name", ["0", "f"])
@pytest.mark.parametrize("other", ["processor", "version"])
@pytest.mark.parametrize("which", Databases._fields)
def test_a_database_that_hyperscan_does_not_take_is_made_again_once(
    tmp_path: Path, name: str, other: str, which: str
) -> None:
    matcher.compile(ruleset(*BASE), tmp_path)
    (path,) = files(tmp_path)
    path = path.rename(path.with_name(f"{name * 32}.rules"))  # before and after all that this processor's may be called
    with path.open("rb") as file:
        built = cache.load(file)
    assert built is not None
    whole: bytes = getattr(built.databases, which)
    start = {"processor": b"\xff" * 64, "version": whole[:4] + b"\xff" * 4}[other]
    damaged = built.databases._replace(**{which: start + whole[len(start) :]})
    path.write_bytes(cache.dump(built._replace(databases=damaged)))
    child = Child()
    for _ in range(2):
        assert ignored(matcher.compile(ruleset(*BASE), tmp_path, run=child), "rule 7") == "local.rules:8"
    assert len(child.asked) == 1
    assert path not in files(tmp_path)


def test_a_cache_that_cannot_be_written_costs_no_rule(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    made = matcher.compile(ruleset(*BASE), tmp_path / "file")
    assert ignored(made, "rule 7") == "local.rules:8"
    said = f"{tmp_path}/file cannot be written (File exists), so each start compiles the rules anew"
    assert made.unkept == said


@pytest.mark.root
def test_a_cache_that_root_has_made_for_himself_is_said_to_be_of_no_use_to_another(
    open_place: Path,  # noqa: F811
) -> None:
    matcher.compile(ruleset(*BASE), open_place / "cache")
    (open_place / "cache").chmod(0o700)
    with nobody():
        made = matcher.compile(ruleset(*BASE), open_place / "cache")
    assert ignored(made, "rule 7") == "local.rules:8"
    assert made.unkept == (
        f"{open_place}/cache cannot be written (Permission denied), so each start compiles the rules anew"
    )
    assert matcher.compile(ruleset(*BASE), open_place / "cache").unkept is None


@pytest.mark.parametrize("error", [OSError("no room"), KeyboardInterrupt()], ids=["full", "killed"])
def test_what_was_not_written_to_its_end_is_as_if_it_had_never_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(_: int) -> None:
        raise error

    matcher.compile(ruleset(*BASE), tmp_path)
    before = files(tmp_path)
    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr("os.fsync", fails)
        made = matcher.compile(ruleset("new", *BASE), tmp_path)
        assert ignored(made, "new") == "local.rules:1"
    child = Child()
    assert ignored(matcher.compile(ruleset(*BASE), tmp_path, run=child), "rule 7") == "local.rules:8"
    assert (child.asked, files(tmp_path)) == ([], before)


def test_refusals_are_remembered(tmp_path: Path) -> None:
    for _ in range(2):
        made = matcher.compile(ruleset("(", *BASE), tmp_path)
        assert [str(each) for each in made.refused] == ["local.rules:1: unmatched ("]


@pytest.mark.parametrize("portable", [False, True])
def test_the_same_rule_twice_counts_twice(tmp_path: Path, portable: bool) -> None:
    for _ in range(2):
        made = matcher.compile(ruleset("x", "x", "(.)\\1", "(.)\\1"), tmp_path, portable=portable)
        found = made.classify(Batch("test", b"Nov 22 17:00:00 mail su: x\nNov 22 17:00:00 mail su: yy\n", 2, ""), NOW)
        assert found.hits == {f"local.rules:{line}": 1 for line in (1, 2, 3, 4)}


def test_a_rule_that_kills_the_compiler_does_without_it() -> None:
    child = Child(deadly="rule 7")
    made = matcher.compile(ruleset(*BASE), run=child)
    assert made.refused == ()
    assert all(ignored(made, text) == f"local.rules:{line}" for line, text in enumerate(BASE, 1))


def test_where_no_child_can_be_run_the_error_says_so() -> None:
    def broken(argv: Sequence[str], *, stdin: bytes, timeout: float) -> bytes:
        raise CommandError("no memory")

    with pytest.raises(CommandError, match="no memory"):
        matcher.compile(ruleset(*BASE), run=broken)


@pytest.mark.parametrize("portable", [False, True])
def test_a_real_child_compiles(tmp_path: Path, portable: bool) -> None:
    made = matcher.compile(ruleset("(", *BASE, r"(.)\1\udcff"), tmp_path, run=process.run, portable=portable)
    assert ignored(made, "rule 7") == "local.rules:9"
    assert len(made.refused) == 1
    assert len(files(tmp_path)) == 1
