"""Which lines are of one kind."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from .model import Part

_VARIABLE = re.compile(r"\S*\d\S*")


@dataclass(slots=True)
class Shape:
    """What lines of one kind have in common."""

    id: str
    program: str
    template: str
    first: float

    def mark(self, message: str) -> tuple[Part, ...]:
        """`message` in pieces, the variable ones marked."""
        parts, end = [], 0
        for found in _VARIABLE.finditer(message):
            parts += [Part(message[end : found.start()]), Part(found[0], variable=True)]
            end = found.end()
        return tuple(part for part in [*parts, Part(message[end:])] if part.text)


class Shapes:
    """The shapes learned so far."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Shape] = {}

    def learn(self, program: str, message: str, time: float) -> Shape:
        """The shape of a line, a new one where it is like no other. `time` is when the line was seen, POSIX seconds."""
        template = _VARIABLE.sub("<*>", message[:1000])
        if not (shape := self._known.get((program, template))):
            name = hashlib.sha256(f"{program}\0{template}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
            shape = self._known[program, template] = Shape(name, program, template, time)
        return shape

    def dump(self) -> Any:
        """All of it as plain data for JSON."""
        return [[shape.program, shape.template, shape.first] for shape in self._known.values()]

    @classmethod
    def load(cls, data: Any) -> Shapes:
        """What `dump` gave."""
        shapes = cls()
        for program, template, first in data:
            shapes.learn(program, template, first)
        return shapes
