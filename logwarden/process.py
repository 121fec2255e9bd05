"""The only door to other programs: argv in, output out, always with a timeout, never with a shell.

Diagnostics: every failure is a CommandError that names the command and the line in which it speaks of an error, or the
last line it printed.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import IO

from .errors import CommandError, UnansweredError

TIMEOUT = 30.0
"""Default limit, seconds. A command that firewalls or mails and takes longer is stuck."""


def run(argv: Sequence[str], *, stdin: bytes = b"", timeout: float = TIMEOUT, heard: bool = True) -> bytes:
    """Run `argv` with `stdin`, in the C locale, and return what it wrote to standard output, if that is to be `heard`:
    all of it is held in memory.

    Raises CommandError where it cannot be started or exits other than 0, and UnansweredError where it outlives
    `timeout` seconds; then whatever it has started ends with it. Where it has exited by then, and only what it left
    behind holds on to its output, that is left alone, and what it wrote is lost.
    """
    environment = {**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if heard else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error.strerror}") from error
    with child:
        try:
            output, errors = child.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            if child.poll() is None:
                _kill(child)
                raise UnansweredError(f"{argv[0]}: no answer within {timeout:g} s") from error
            output = errors = b""
        except BaseException:
            _kill(child)
            raise
    if child.returncode != 0:
        said = errors.decode("utf-8", "backslashreplace").strip().splitlines() or ["no message"]
        cause = next((line for line in said if "error" in line.lower()), said[-1])
        raise CommandError(f"{' '.join(argv)}: exit {child.returncode}: {cause}")
    return output or b""


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End it with all that it has started: it is the leader of a session, and so of a group of its own."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


class Output:
    """The standard output of a running command, to be read in bounded memory. Give it back with `close`."""

    def __init__(self, argv: Sequence[str], child: subprocess.Popen[bytes]) -> None:
        self._argv = argv
        self._child = child

    def read1(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end. Raises CommandError where the command ends with other than 0."""
        assert self._child.stdout is not None  # noqa: S101 - `stream` asked for a pipe
        data = self._child.stdout.read1(size)  # type: ignore[attr-defined] # Popen gives a BufferedReader
        if not data and (status := self._child.wait(TIMEOUT)) != 0:
            raise CommandError(f"{' '.join(self._argv)}: exit {status}")
        return bytes(data)

    def close(self) -> None:
        """End the command, whether or not it has said all."""
        self._child.kill()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()


def stream(argv: Sequence[str], *, stdin: IO[bytes]) -> Output:
    """Start `argv` on the open file `stdin`, for output too large to hold. Raises CommandError as `run` does."""
    try:
        return Output(argv, subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error.strerror}") from error
