"""A file written whole or not at all: a crash leaves the old one or the new one, and so it does to whoever reads.

Owns: the way there, by a file beside it. The name of one that a kill leaves behind begins with PREFIX.
Fails: with OSError, and then the old file stands as it stood.
"""

from __future__ import annotations

import os

PREFIX = "tmp"


def write(path: str | os.PathLike[str], content: bytes, mode: int = 0o600) -> None:
    """Put `content` at `path`, for the owner alone unless `mode` says otherwise."""
    import tempfile  # a start at which nothing is new writes nothing

    descriptor, temporary = tempfile.mkstemp(prefix=PREFIX, dir=os.path.dirname(path))
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
