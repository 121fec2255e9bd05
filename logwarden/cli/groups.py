"""The groups of scanned lines: each line's shape as it is known when all of them have been read.

Owns: a spool without a name, on disk, for a line's group may become part of another until the last line was read.
Memory holds one number a shape, never a line. Fails: with EdgeError where the disk takes no spool.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator

from ..digest import Shape, Shapes
from ..errors import EdgeError

Key = tuple[str, str]
"""Program and message of a line that wants a group."""

NONE = -1


class Grouped:
    """JSON objects of lines, written down as they come, and read again with their groups."""

    def __init__(self) -> None:
        self._shapes = Shapes()
        self._known: list[Shape] = []
        self._number: dict[str, int] = {}
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this does

    def add(self, lines: Iterable[tuple[str, Key | None, float]]) -> None:
        """Take lines: the JSON object, whose last key is to be the group; the key, where it wants one; its time."""
        try:
            for text, key, time in lines:
                number = NONE if key is None else self._learn(*key, time)
                self._spool.write(f"{number}\t{text}\n".encode("utf-8", "surrogatepass"))
        except OSError as error:
            raise EdgeError(f"{tempfile.gettempdir()}: the groups cannot be kept: {error.strerror}") from error

    def _learn(self, program: str, message: str, time: float) -> int:
        shape = self._shapes.learn(program, message, time)
        if shape.id not in self._number:
            self._number[shape.id] = len(self._known)
            self._known.append(shape)
        return self._number[shape.id]

    def lines(self) -> Iterator[str]:
        """Every line that was taken, each with its group."""
        self._spool.seek(0)
        with self._spool:
            for line in self._spool:
                number, _, text = line.decode("utf-8", "surrogatepass").partition("\t")
                group = "null" if int(number) == NONE else f'"{self._known[int(number)].root.id}"'
                yield f'{text.rstrip()[:-1]}, "group": {group}}}\n'
