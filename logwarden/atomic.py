"""A file written whole or not at all: a crash leaves the old one or the new one, and so it does to whoever reads.

Owns: the way there, by a file beside it. One that a kill leaves behind has the name that `tempfile` gives.
Fails: with OSError, and then the old file stands as it stood.
"""

from __future__ import annotations

import os
import tempfile


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` at `path`, for the owner alone."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
