"""The only door to other programs: argv in, output out, always with a timeout, never with a shell.

Diagnostics: every failure is a CommandError that names the command and the last line it printed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

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
        raise CommandError(f"{' '.join(argv)}: exit {done.returncode}: {said[-1]}")
    return done.stdout
