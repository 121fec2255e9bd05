"""`logwarden scan` says the same of a file whatever number of processes reads it, and however it comes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from logwarden.cli import scan as module
from logwarden.digest import Shapes
from logwarden.model import MAX_LINE

pytestmark = pytest.mark.slow  # processes of its own

HEAD = "2026-11-24T15:47:46+00:00 web1 "


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRETCH", 5_000)
    monkeypatch.setattr(module, "BLOCK", 2_000)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "ignore.d").mkdir()
    (tmp_path / "attack.d").mkdir()
    (tmp_path / "ignore.d" / "app.rules").write_text("app: normal <NUM>\n")
    file = tmp_path / "logwarden.yaml"
    file.write_text(
        f"state: {tmp_path}/state\nrules: {{ignore: [{tmp_path}/ignore.d], attack: [{tmp_path}/attack.d]}}\n"
    )
    return file


def log(path: Path, *, ended: bool = True) -> Path:
    """Lines of all kinds: empty, of NULs, longer than a stretch, longer than a line may be, at every offset."""
    random = Random(5)
    kinds = (
        lambda: f"{HEAD}app: normal {random.randrange(10**9)}",
        lambda: f"{HEAD}app: odd {'x' * random.randrange(200)}",
        lambda: "",
        lambda: "\0" * random.randrange(1, 3_000) + f"{HEAD}app: behind NULs",
        lambda: f"{HEAD}app: {'long' * 3_000}",
        lambda: "y" * random.randrange(MAX_LINE - 2, 2 * MAX_LINE),
    )
    chosen = random.choices(kinds, (100, 40, 5, 2, 2, 1), k=2_000)
    text = "\n".join(make() for make in chosen) + ("\n" if ended else "")
    path.write_text(text)
    return path


def said(config: Path, file: str, *options: str, given: bytes | None = None) -> str:
    done = CliRunner().invoke(module.scan, [*options, "--config", str(config), file], input=given)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("options", [(), ("--json", "--groups", "none"), ("--json", "--groups", "all")])
def test_two_processes_say_what_one_says(config: Path, tmp_path: Path, options: Sequence[str], ended: bool) -> None:
    file = log(tmp_path / "app.log", ended=ended)
    one = said(config, str(file), "--jobs", "1", *options)
    assert len(one.splitlines()) > 500
    assert said(config, str(file), "--jobs", "2", *options) == one
    if options:
        assert [json.loads(line)["n"] for line in one.splitlines()] == list(range(1, 2_001))


@pytest.mark.parametrize(("cores", "size", "workers"), [({0, 5, 6}, 1, 3), ({5}, 1, 1), ({0, 5, 6}, 1 << 30, 1)])
def test_a_large_file_is_for_all_cores_that_the_process_may_use(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: set[int], size: int, workers: int
) -> None:
    """Which in a container, or behind taskset, are fewer than the machine has."""
    asked: list[int] = []

    class Pool(module.ProcessPoolExecutor):
        def __init__(self, workers: int, *arguments: Any, **more: Any) -> None:
            asked.append(workers)
            super().__init__(workers, *arguments, **more)

    monkeypatch.setattr(module, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(module, "LARGE", size)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: cores)
    said(config, str(log(tmp_path / "app.log")))
    assert (asked or [1]) == [workers]


def test_what_has_no_size_is_spread_too(config: Path, tmp_path: Path) -> None:
    file = log(tmp_path / "app.log")
    assert said(config, "-", "--jobs", "2", given=file.read_bytes()) == said(config, str(file), "--jobs", "1")


@pytest.mark.parametrize("content", [b"", b"x", b"\n" * 20_000, b"x" * 20_000 + b"\n"])
def test_a_file_that_ends_where_a_piece_ends_is_read_once(config: Path, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "app.log"
    file.write_bytes(content)
    assert said(config, str(file), "--jobs", "2") == said(config, str(file), "--jobs", "1")


# --- groups ---------------------------------------------------------------------------------------------------------

ATTACK = """
program: [sshd]
rules:
  - id: failed
    match: 'Failed password for <USER> from <ADDR>'
    samples: [{line: 'Failed password for root from 203.0.113.9', address: 203.0.113.9}]
    near_misses: ['Failed password for root']
"""
MIXED = [
    "app: normal 1",
    "app: disk sda1 is failing",
    "app: disk sdb2 is failing",
    "sshd: Failed password for root from 203.0.113.9",
    "app: normal 2",
    "sshd: Failed password for root from 203.0.113.10",
    "app: cat alice left",
    "\xff no header at all",
    *(f"app: cat {name} left" for name in ("bob", "carol", "dave", "eve", "mallory")),
]


def grouped(config: Path, place: Path, *options: str) -> list[dict[str, Any]]:
    (place / "attack.d" / "sshd.yaml").write_text(ATTACK)
    file = place / "mixed.log"
    file.write_bytes("".join(f"{HEAD}{line}\n" for line in MIXED).encode("latin-1"))
    return [json.loads(line) for line in said(config, str(file), "--json", *options).splitlines()]


def test_with_groups_all_every_line_has_the_id_of_its_kind(config: Path, tmp_path: Path) -> None:
    lines = grouped(config, tmp_path, "--groups", "all")
    assert [line["n"] for line in lines] == list(range(1, len(MIXED) + 1))
    assert {line["verdict"] for line in lines} == {"ignored", "attack", "unexplained"}
    assert all(re.fullmatch("[0-9a-f]{8}", line["group"]) for line in lines)
    kinds = [("normal", 2), ("disk", 2), ("Failed", 2), ("cat", 6), ("no header", 1)]
    of_kind = {kind: [line["group"] for line in lines if kind in line["message"]] for kind, _ in kinds}
    assert {kind: len(found) for kind, found in of_kind.items()} == dict(kinds)
    assert [len(set(found)) for found in of_kind.values()] == [1] * len(kinds)
    assert len({line["group"] for line in lines}) == len(kinds)


def test_by_default_the_unexplained_lines_alone_have_a_group(config: Path, tmp_path: Path) -> None:
    every = {line["n"]: line["group"] for line in grouped(config, tmp_path, "--groups", "all")}
    for options in ((), ("--groups", "unexplained")):
        for line in grouped(config, tmp_path, *options):
            wanted = every[line["n"]] if line["verdict"] == "unexplained" else None
            assert line["group"] == wanted
    assert all("group" not in line for line in grouped(config, tmp_path, "--groups", "none"))


def test_the_id_of_a_group_is_the_one_that_a_digest_shows(config: Path, tmp_path: Path) -> None:
    shape = Shapes().learn("app", "disk sda1 is failing", 0.0)
    assert grouped(config, tmp_path)[1]["group"] == shape.id
