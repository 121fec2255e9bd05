"""`logwarden scan` says the same of a file whatever number of processes reads it, and however it comes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from logwarden.cli import scan as module
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
