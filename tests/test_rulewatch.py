"""An edit of a rule file is heard of once, when it is done."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from logwarden.rulewatch import RuleWatch

pytestmark = pytest.mark.slow  # a whole daemon, or a real journal, server or disk


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[threading.Semaphore]:
    (tmp_path / "ignore.d" / "server").mkdir(parents=True)
    (tmp_path / "ignore.d" / "server" / "a.rules").write_text("")
    heard = threading.Semaphore(0)
    watch = RuleWatch([str(tmp_path / "ignore.d"), str(tmp_path / "later" / "attack.d")], heard.release, quiet=0.02)
    watch.start()
    yield heard
    watch.stop()


def test_an_edit_is_heard_of_once_however_many_writes_it_takes(heard: threading.Semaphore, tmp_path: Path) -> None:
    with (tmp_path / "ignore.d" / "server" / "a.rules").open("a", buffering=1) as file:
        for _ in range(50):
            file.write("app: x\n")
    assert heard.acquire(timeout=5)
    assert not heard.acquire(timeout=0.1)


def test_a_directory_that_appears_later_is_listened_to(heard: threading.Semaphore, tmp_path: Path) -> None:
    (tmp_path / "later" / "attack.d").mkdir(parents=True)
    assert heard.acquire(timeout=5)
    while heard.acquire(timeout=0.1):
        pass  # the directories may have come one by one
    (tmp_path / "later" / "attack.d" / "x.yaml").write_text("")
    assert heard.acquire(timeout=5)


@pytest.mark.parametrize("name", ["local-postfix", "local.conf"])
def test_a_file_of_logchecks_directories_is_heard_of_and_one_that_is_misnamed(
    heard: threading.Semaphore, tmp_path: Path, name: str
) -> None:
    (tmp_path / "ignore.d" / "server" / name).write_text("^x")
    assert heard.acquire(timeout=5)


@pytest.mark.parametrize("name", [".a.rules.swp", "4913"])
def test_what_is_no_rule_file_is_not_heard_of(heard: threading.Semaphore, tmp_path: Path, name: str) -> None:
    (tmp_path / "ignore.d" / "server" / name).write_text("")
    assert not heard.acquire(timeout=0.1)
