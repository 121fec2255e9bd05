"""A circuit breaker for the firewall's commands, so that one that hangs starves neither the lines nor the watchdog.

Owns: the seconds that all commands of one turn of the daemon may take together, and which programs hang: those that did
not answer within half of them. Such a program is not asked again before `retry`, and is then given a tenth. One that
answers, be it with an error, does not hang. Two that run at once take twice the time of one.
Never: asks a clock of its own.
Fails: with FirewallError. What was to be done is owed, as after any other failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..errors import FirewallError, HungError
from .protocol import command


class Breaker:
    """Satisfies Run. `clock` gives seconds that nobody sets; `turn` is how many of them a turn has."""

    def __init__(self, clock: Callable[[], float], turn: float) -> None:
        self._clock = clock
        self._left = self._turn = turn
        self._hung: set[str] = set()
        self._open: set[str] = set()
        self._asked: set[str] = set()  # since `retry`

    def begin(self, turn: float) -> None:
        """The daemon begins a turn, of so many seconds."""
        self._left = self._turn = turn

    def retry(self) -> None:
        """Let the programs that hang be asked again. One that was not, for nothing is owed that it was to do, is no
        longer said to hang."""
        self._hung &= self._asked
        self._open.clear()
        self._asked.clear()

    @property
    def faults(self) -> list[str]:
        """A sentence for each program that hangs."""
        return [_sentence(program) for program in sorted(self._hung)]

    def __call__(self, argv: Sequence[str], lines: Iterable[str] = ()) -> str:
        """Run a command, in what time there is for it."""
        program = argv[0]
        if program in self._open:
            raise FirewallError(_sentence(program))
        if self._left <= 0:
            raise FirewallError(f"{program} was not run: the firewall has already taken {self._turn:g} s of this turn")
        limit = self._turn / (10 if program in self._hung else 2)
        self._asked.add(program)
        begun, left = self._clock(), self._left
        try:
            answer = command(argv, lines, min(limit, left))
        except HungError as error:
            if left < limit / 2:  # too little to tell
                raise FirewallError(f"{program} was ended: the firewall took {self._turn:g} s of this turn") from error
            self._hung.add(program)
            self._open.add(program)
            raise FirewallError(_sentence(program)) from error
        except FirewallError:
            self._hung.discard(program)
            raise
        finally:
            self._left -= self._clock() - begun
        self._hung.discard(program)
        return answer


def _sentence(program: str) -> str:
    return f"{program} hangs; what it was to do is owed, and tried again each minute"
