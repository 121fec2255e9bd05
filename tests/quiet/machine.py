"""A real systemd as PID 1 of a machine that is thrown away: its root is a Debian tree under an overlay in memory.

Owns: the namespaces (mounts, processes, network, names, IPC, cgroup), the mounts and devices a container needs, and
their end: to kill the one process ends them all. Never: writes to the tree, or reaches a network: it has none but its
own loopback and a pair of virtual links.
/dev/kmsg is the host's, so what the kernel says is really said. Limits by cgroup2 are not in force where the host's
controllers belong to version 1.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

HERE = Path(__file__).parent
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
    "SYSTEMD_PAGER": "cat",
    "SYSTEMD_COLORS": "0",
}


class Machine:
    """Boots on entry, and is gone on exit."""

    def __init__(self, tree: Path, name: str) -> None:
        self._tree = tree
        self._name = name
        self._place = Path(tempfile.mkdtemp(prefix="logwarden-quiet-"))
        self._cgroup = _cgroup2() / self._place.name
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> Machine:
        self._cgroup.mkdir()
        argv = ["bash", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(self._cgroup), "unshare", "--fork", "--pid"]
        argv += ["--kill-child", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--propagation", "private"]
        argv += ["bash", str(HERE / "inside" / "boot.sh"), str(self._tree), self._name, str(self._place)]
        with open(self._place / "log", "wb") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._init = self._await_init(self._process.pid)
            self._await_boot()
        except RuntimeError:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Kill it, and remove what it left."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        _wait(self._removed_cgroup, 30.0)
        subprocess.run(["rm", "-rf", "--one-file-system", self._place], check=True)

    def run(self, *argv: str, check: bool = True, timeout: float = 300.0, script: str | None = None) -> str:
        """What a command inside prints. `script`: its standard input."""
        entry = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"]
        done = subprocess.run(
            [*entry, *argv],
            env=ENVIRONMENT,
            input=(script or "").encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        text = done.stdout.decode("utf-8", "backslashreplace")
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: exit status {done.returncode}: {text[-2000:]}")
        return text

    def bash(self, script: str, *, check: bool = True, timeout: float = 300.0) -> str:
        """What a script inside prints."""
        return self.run("bash", "-s", script=script, check=check, timeout=timeout)

    def fetch(self, path: str) -> bytes:
        """A file of the machine."""
        return Path(f"/proc/{self._init}/root{path}").read_bytes()

    def _removed_cgroup(self) -> int:
        try:
            for directory, _, _ in os.walk(self._cgroup, topdown=False):
                os.rmdir(directory)
        except OSError:  # somebody in it is still dying
            return 0
        return 1

    def _await_init(self, shell: int) -> int:
        def init() -> int:
            if self._process and self._process.poll() is not None:
                return -1
            for child in _children(shell):
                if _command(child).startswith("/sbin/init"):
                    return child
            return 0

        found = _wait(init, 30.0)
        if found <= 0:
            raise RuntimeError(f"it does not boot: {(self._place / 'log').read_text()[-2000:]}")
        return found

    def _await_boot(self) -> None:
        def up() -> int:
            return self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")

        if not _wait(up, 300.0):
            raise RuntimeError("systemd is still starting: " + self.run("systemctl", "list-jobs", check=False))


def _wait(ready: object, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := ready():  # type: ignore[operator]
            return int(found)
        time.sleep(0.1)
    return 0


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _cgroup2() -> Path:
    for line in Path("/proc/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return Path(fields[1])
    raise RuntimeError("no cgroup2 is mounted here, and systemd needs one")
