"""An `emit` for tests of sources: keeps what it is given, and lets a test wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from logwarden.model import Ahead, Batch, Notice

DEADLINE = 10.0


class Sink:
    """An `emit` that keeps what it is given, and lets a test wait for it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.items: list[Batch | Ahead | Notice] = []
        self.cursors: dict[str, str] = {}

    def __call__(self, item: Batch | Ahead | Notice) -> None:
        with self.changed:
            self.items.append(item)
            if isinstance(item, Batch):
                self.cursors[item.source] = item.cursor
            self.changed.notify_all()

    def lines(self, path: Path | None = None) -> list[str]:
        batches = [item for item in self.items if isinstance(item, Batch)]
        blocks = [batch.block for batch in batches if path is None or batch.source == f"file:{path}"]
        return b"".join(blocks).decode().splitlines()

    @property
    def notices(self) -> list[Notice]:
        """Those that came by themselves, and those that came with batches."""
        told: list[Notice] = []
        for item in self.items:
            told += [item] if isinstance(item, Notice) else item.notices if isinstance(item, Batch) else []
        return told

    def wait(self, done: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(done, DEADLINE), f"got only {self.items[-5:]}"

    def wait_for_lines(self, *lines: str) -> None:
        self.wait(lambda: self.has(len(lines)))
        assert self.lines() == list(lines)

    def has(self, count: int) -> bool:
        return len(self.lines()) >= count

    def wait_until_begun(self) -> None:
        self.wait(lambda: "files" in self.cursors)
