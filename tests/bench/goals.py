"""What a bench found, beside what it should be: green where it is so, red where it is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True)
class Found:
    """A figure, which should be at least `goal`, or less where `below`; None: there is no figure, or no goal.

    `form` is how both are written. Where what `otherwise` says is so (`anyway`), that will do too.
    """

    what: str
    figure: float | None
    goal: float | None = None
    below: bool = False
    form: str = "{:.2f}"
    otherwise: str = ""
    anyway: bool = False

    @property
    def met(self) -> bool:
        """Whether it is as it should be; so is what has no goal or no figure."""
        if self.figure is None or self.goal is None:
            return True
        return self.anyway or (self.figure < self.goal if self.below else self.figure >= self.goal)

    def row(self) -> tuple[str, str, str]:
        """Its cells."""
        if self.figure is None:
            return self.what, "not installed", ""
        text = self.form.format(self.figure)
        if self.goal is None:
            return self.what, text, self.otherwise
        wanted = ("under " if self.below else "") + self.form.format(self.goal)
        return (
            self.what,
            f"[{'green' if self.met else 'red'}]{text}[/]",
            ", or ".join(filter(None, (wanted, self.otherwise))),
        )


def table(title: str, found: Iterable[Found]) -> Table:
    """One row each."""
    compared = Table(title, "is", "should be", box=None)
    for each in found:
        compared.add_row(*each.row())
    return compared
