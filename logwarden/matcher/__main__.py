"""The child process that compiles: a request on standard input, the content of a cache file on standard output."""

from __future__ import annotations

import json
import resource
import sys

from .build import build
from .cache import dump
from .patterns import Text

MEMORY = 2 << 30
"""Bytes of address space. 1,600 rules take 0.1 GB: what needs this much is a rule that explodes."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # what RLIMIT_CPU ends would leave one behind
    request = json.load(sys.stdin.buffer)
    # Whoever asked may have been killed, and a rule that explodes would then burn a core for ever.
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"] + 1))
    texts = [Text(regex, tuple(programs), dialect, copy) for regex, programs, dialect, copy in request["texts"]]
    sys.stdout.buffer.write(dump(build(texts, portable=request["portable"])))


if __name__ == "__main__":
    main()
