"""The only door to other programs: argv in, output out, always with a timeout, never with a shell.

Diagnostics: every failure is a CommandError that names the command and the line in which it speaks of an error, or the
last line it printed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import IO

from .errors import CommandError

TIMEOUT = 30.0
"""Default limit, seconds. A command that firewalls or mails and takes longer is stuck."""


def run(argv: Sequence[str], *, stdin: bytes = b"", timeout: float = TIMEOUT) -> bytes:
    """Run `argv` with `stdin`, in the C locale, and return what it wrote to standard output.

    Raises CommandError where it cannot be started, exits other than 0, or outlives `timeout` seconds.
    """
    environment = {**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout, env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{argv[0]}: no answer within {timeout:g} s") from error
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines() or ["no message"]
        cause = next((line for line in said if "error" in line.lower()), said[-1])
        raise CommandError(f"{' '.join(argv)}: exit {done.returncode}: {cause}")
    return done.stdout


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
