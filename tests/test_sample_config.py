"""The shipped logwarden.yaml shows every setting with its true default, and can be used as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from logwarden import config
from logwarden.settings import Config

SAMPLE = Path(__file__).parent.parent / "packaging" / "logwarden.yaml"


def uncommented() -> str:
    """The sample with the first # of each line taken away, as its first lines tell the reader to do."""
    return re.sub("^#", "", SAMPLE.read_text(), flags=re.M)


SHOWN = yaml.safe_load(uncommented())


def settings(schema: Mapping[str, Any], *above: str) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """(path, rule) of each setting at the trunk: sections are entered, alternatives and items are not."""
    for key, rule in schema.get("properties", {}).items():
        if rule.get("type") == "object" and "properties" in rule:
            yield from settings(rule, *above, key)
        else:
            yield (*above, key), rule


def every_key(schema: Any) -> Iterator[str]:
    """Each key that the schema knows, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for rule in schema.values():
            yield from every_key(rule)
    elif isinstance(schema, list):
        for rule in schema:
            yield from every_key(rule)


def test_the_sample_as_shipped_means_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    shipped, empty = config.load(str(SAMPLE)), config.load(str(tmp_path / "empty.yaml"))
    assert {**vars_of(shipped), "file": None} == {**vars_of(empty), "file": None}


def vars_of(record: Config) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record._fields}


def test_the_sample_with_every_setting_uncommented_is_valid(tmp_path: Path) -> None:
    whole = tmp_path / "whole.yaml"
    whole.write_text(uncommented())
    config.load(str(whole))


@pytest.mark.parametrize("key", sorted(set(every_key(config.schema()))))
def test_each_key_of_the_schema_stands_in_the_sample(key: str) -> None:
    assert re.search(rf"\b{key}:", SAMPLE.read_text())


@pytest.mark.parametrize(
    ("path", "rule"),
    [(path, rule) for path, rule in settings(config.schema()) if path != ("sources", "journal")],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_the_sample_shows_the_default_of_each_setting(path: tuple[str, ...], rule: Mapping[str, Any]) -> None:
    shown: Any = SHOWN
    for key in path:
        shown = shown[key]
    assert shown == rule["default"]
