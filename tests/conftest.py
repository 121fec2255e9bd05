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
from installed import deb, machine  # noqa: F401 # fixtures

hypothesis.settings.register_profile("default", deadline=None, derandomize=True, max_examples=100)
hypothesis.settings.register_profile("quick", deadline=None, derandomize=True, max_examples=10)
hypothesis.settings.register_profile("fuzz", deadline=None, derandomize=False, max_examples=10_000, print_blob=True)
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


ORACLES = ("no grep", "GNU grep", "logcheck-database", "logcheck is not installed", "built without Hyperscan", "oracle")
"""What a reason to skip speaks of where that is no reason in CI: without them nothing would be proved."""
TOOLS = (
    "debhelper and dh-python",
    "dnsmasq is not installed",
    "needs a journald of its own",
    "needs exim4",
    "needs rsyslogd",
    "needs systemd-journal-remote",
    "no cgroup2",
    "no network namespace",
    "systemd is not installed",
    "systemd-analyze is not installed",
    "systemd-sysusers is not installed",
    "systemd-tmpfiles is not installed",
)
"""The same, where CI is root: then the test set-up has installed them. Without root, that is said at the end."""


def _fail_in_ci(report: pytest.TestReport | pytest.CollectReport, reason: str) -> None:
    """In CI the test set-up has installed the oracles, and as root the tools: what is skipped for want of one fails."""
    skipped = report.skipped and not hasattr(report, "wasxfail")
    needed = ORACLES + TOOLS if os.geteuid() == 0 else ORACLES
    if os.environ.get("CI") == "true" and skipped and any(name in reason for name in needed):
        report.outcome, report.longrepr = "failed", f"in CI this must not be skipped: {reason}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Iterator[None]:
    report = (yield).get_result()  # type: ignore[misc] # as pluggy has it
    _fail_in_ci(report, str(call.excinfo.value if call.excinfo else ""))


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """The same of a whole file."""
    report = (yield).get_result()  # type: ignore[misc] # as pluggy has it
    _fail_in_ci(report, str(report.longrepr))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that root's tests were not run: among the reasons to skip one line of many is overlooked."""
    skipped = terminalreporter.stats.get("skipped", ())
    if count := sum("needs root" in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"tests not run for want of root: {count}", yellow=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if (root := item.get_closest_marker("root")) and (reason := why_not_root()):
            oracle = root.kwargs.get("oracle")
            item.add_marker(pytest.mark.skip(reason=f"the oracle {oracle}: {reason}" if oracle else reason))


@pytest.fixture(autouse=True, scope="session")
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.getbasetemp() / "home"
    with pytest.MonkeyPatch.context() as patch:
        homes = {"HOME": home, "XDG_CACHE_HOME": home / ".cache", "XDG_CONFIG_HOME": home / ".config"}
        for name, path in homes.items():
            path.mkdir(exist_ok=True)
            patch.setenv(name, str(path))
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
            patch.delenv(name, raising=False)
        yield


def _children() -> set[int]:
    tasks = f"/proc/{os.getpid()}/task"
    return {int(child) for task in os.listdir(tasks) for child in _read(f"{tasks}/{task}/children").split()}


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # the thread ended, or this kernel does not list children
        return ""


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    threads, children = set(threading.enumerate()), _children()
    yield
    deadline = time.monotonic() + GRACE
    while (new := set(threading.enumerate()) - threads) and time.monotonic() < deadline:
        for thread in new:  # one that is only about to start cannot be joined: `ident` is set when it runs
            thread.join(0.1) if thread.ident is not None else time.sleep(0.01)
    left: list[object] = [thread for thread in threading.enumerate() if thread not in threads]
    left += [f"process {child}: {_read(f'/proc/{child}/cmdline')}" for child in _children() - children]
    assert not left, f"the test left behind: {left}"
