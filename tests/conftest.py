"""What holds for every test: it stays off the machine's own files, leaves nothing running, and says why it is skipped.

The real /etc, /var and /run, and the user's home, are out of bounds: an audit hook refuses to open anything there
for writing. A test that leaves a thread or a child process (and with it a namespace) behind fails.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("default", deadline=None, derandomize=True, max_examples=100)
hypothesis.settings.register_profile("quick", deadline=None, derandomize=True, max_examples=20)
hypothesis.settings.register_profile("unit", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=1_000)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=10_000, print_blob=True)
hypothesis.settings.load_profile("default")

OFF_LIMITS = ("/etc/", "/var/", "/run/", str(Path.home()) + "/")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
GRACE = 5.0
"""Seconds that a thread or a child may take to end after its test has."""


def _refuse_writes_to_the_machine(allowed: tuple[str, ...]) -> None:
    def hook(event: str, args: tuple[object, ...]) -> None:
        if event != "open" or not isinstance(args[2], int) or not args[2] & WRITES:
            return
        path = os.path.abspath(os.fsdecode(args[0])) if isinstance(args[0], str | bytes) else ""
        if path.startswith(OFF_LIMITS) and not path.startswith(allowed):
            raise PermissionError(f"a test opened the machine's own {path} for writing")

    sys.addaudithook(hook)


def pytest_configure(config: pytest.Config) -> None:
    checkout = str(config.rootpath) + "/"
    _refuse_writes_to_the_machine((checkout, os.path.realpath(os.environ.get("TMPDIR", "/tmp")) + "/"))


@functools.cache
def why_not_root() -> str | None:
    """Why root tests cannot run here, or None where they can."""
    if os.geteuid() != 0:
        return "needs root"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return f"root may make no network namespace here: {tried.stderr.strip()}" if tried.returncode else None


SLOW = ("test_rules_shipped.py", "test_matcher_cache.py", "test_tail_machine.py", "test_rules.py")
"""Files that compile all shipped rules, or live through many days of rotations: left out of `make unit` whole."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in SLOW:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("root") and (reason := why_not_root()):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.getbasetemp() / "home"
    for name, path in {"HOME": home, "XDG_CACHE_HOME": home / ".cache", "XDG_CONFIG_HOME": home / ".config"}.items():
        path.mkdir(exist_ok=True)
        monkeypatch.setenv(name, str(path))
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "LOGWARDEN_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def _children() -> set[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(child) for task in tasks for child in _read(task).split()}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the thread ended, or this kernel does not list children
        return ""


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    threads, children = set(threading.enumerate()), _children()
    yield
    deadline = time.monotonic() + GRACE
    for thread in set(threading.enumerate()) - threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    left: list[object] = [thread for thread in threading.enumerate() if thread not in threads]
    left += [f"process {child}: {_read(Path(f'/proc/{child}/cmdline'))}" for child in _children() - children]
    assert not left, f"the test left behind: {left}"
