from collections.abc import Callable
from typing import TypeVar

_Event = TypeVar("_Event", bound=tuple[object, ...])

def divide(
    block: bytes,
    ends: list[int],
    event: type[_Event],
    minutes: Callable[[str, str], float | None],
    yearless: Callable[[str, str], float | None],
    /,
) -> list[_Event | None]: ...
