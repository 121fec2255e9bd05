"""The map in ARCHITECTURE.md is true: imports point down its table, and each door has the one keeper it names."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "logwarden"


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under `heading`, as cells, without its two header lines."""
    text = (ROOT / "ARCHITECTURE.md").read_text().partition(f"\n## {heading}\n")[2]
    rows = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def code_names(cell: str) -> list[str]:
    """The names in `code` in a cell, as module names: `rules/` is rules, `model.py` is model."""
    return [name.removesuffix(".py").removesuffix("/") for name in re.findall(r"`([^`]+)`", cell)]


HEIGHT = {name: height for height, row in enumerate(table("The map")) for name in code_names(row[1])}


def room(path: Path) -> str:
    """The row of the map that a file belongs to: logwarden/rules/ignore.py is in `rules`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(path for path in PACKAGE.rglob("*.py") if room(path) not in ("__init__", "__main__"))


def imports(path: Path) -> Iterator[str]:
    """The absolute name of each module that a file imports when it runs, wherever in the file the import stands."""
    package = ("logwarden", *path.relative_to(PACKAGE).parts[:-1])
    for node in tree(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join((*package[: len(package) - node.level + 1], node.module or "")) if node.level else node.module
            )
            yield from (f"{base}.{alias.name}".replace("..", ".") for alias in node.names)


@functools.cache
def tree(path: Path) -> list[ast.AST]:
    return list(at_run_time(ast.parse(path.read_text())))


def at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """The tree's nodes, but for what stands under `if TYPE_CHECKING:`."""
    left = [tree]
    while left:
        for node in ast.iter_child_nodes(left.pop()):
            if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
                yield node
                left.append(node)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_room_of_the_package_is_on_the_map() -> None:
    assert {room(path) for path in FILES} <= HEIGHT.keys()


def test_every_room_on_the_map_exists() -> None:
    assert [name for name in HEIGHT if not (PACKAGE / name).is_dir() and not (PACKAGE / f"{name}.py").is_file()] == []


def test_imports_point_down_the_map() -> None:
    assert {name_of(path): wrong for path in FILES if (wrong := pointing_up(path))} == {}


def pointing_up(path: Path) -> list[str]:
    """The rooms of the package that a file may not import, and does."""
    own = [name.split(".")[1] for name in imports(path) if name.startswith("logwarden.")]
    here = HEIGHT[room(path)]
    return [name for name in own if name in HEIGHT and name != room(path) and HEIGHT[name] >= here]


@pytest.mark.parametrize("row", table("The doors"), ids=lambda row: row[0])
def test_each_door_has_its_one_keeper(row: list[str]) -> None:
    things, keepers = code_names(row[0]), code_names(row[1])
    users = {room(path) for path in FILES if any(uses(path, thing) for thing in things)}
    assert users <= set(keepers)


def uses(path: Path, thing: str) -> bool:
    """Whether a file imports `thing`, from `thing`, or names it as an attribute, as in `clock=time.time`."""
    return any(f".{thing}." in f".{name}." for name in names(path))


@functools.cache
def names(path: Path) -> frozenset[str]:
    """What a file imports, and each attribute of a name that it mentions, dots and all."""
    return frozenset(imports(path)) | {dotted(node) for node in tree(path) if isinstance(node, ast.Attribute)}


def dotted(node: ast.expr) -> str:
    """`time.time` as it is written; what is no plain name at its root has none."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_a_start_loads_nothing_that_only_parses_rules_or_writes_mail() -> None:
    """Each would cost a warm start 5 to 20 of its 300 ms: see `tests/bench/start.py`."""
    later = ["regex", "logwarden.ere", "logwarden.header.unusual", "jinja2", "rich", "email", "smtplib", "ssl"]
    code = f"import sys, logwarden.cli.run; print([each for each in {later} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
