"""What of ours may be in the kernel, by backend and hook, so that a config that changes leaves nothing of the old one.

Owns: one small file of JSON in the state directory. A trace is written into it before anything is put into the kernel,
and struck out once it was taken out: it may name what is not there, and never misses what is. It outlives the database.
Never: looks for rules in chains that no config of ours has named: a rule of somebody else's may look like ours.
Fails: with FirewallError for what could not be taken out, which stays in the file, or where the file cannot be written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from . import atomic
from .errors import FirewallError
from .firewall import BACKENDS, Firewall, Hook, Run, Settings, command

FILE = "firewall.json"


class Trace(NamedTuple):
    """A backend that may have sets in the kernel, and the hook of its rule as a config spells it."""

    backend: str
    hook: str

    @classmethod
    def of(cls, backend: str, settings: Settings) -> Trace | None:
        """What a config puts there; None: nothing."""
        return None if backend == "dry-run" else cls(backend, str(settings.hook or "none"))

    def firewall(self, run: Run = command) -> Firewall:
        """What reads it, and takes it out."""
        return BACKENDS[self.backend](Settings(hook=Hook.parse(self.hook)), run)


class Traces:
    """All traces that may be there. `run` runs what takes them out."""

    def __init__(self, directory: str, run: Run = command) -> None:
        self._run = run
        self._file = Path(directory, FILE)
        self._known = frozenset(_load(self._file))

    def settle(self, present: Trace | None) -> None:
        """Before `present` comes into force: take out what others have left. Sets that it goes on to use stay."""
        wanted = frozenset([present] if present else [])
        if self._known != wanted:
            self._save(self._known | wanted)
            self._remove(self._known - wanted, stays=present)

    def clear(self, present: Trace | None) -> None:
        """Take everything out, and what `present` may have put there as well."""
        self._remove(self._known | frozenset([present] if present else []))

    def held(self, now: float) -> Mapping[str, float]:
        """What each of them has banned, as far as it can be read, and for how many seconds more."""
        found: dict[str, float] = {}
        for each in self._known:
            with suppress(FirewallError):
                found.update(each.firewall(self._run).list(now))
        return found

    def _remove(self, gone: Iterable[Trace], stays: Trace | None = None) -> None:
        """First all rules, for a set goes only when no rule looks into it."""
        troubles: dict[Trace, FirewallError] = {}
        for verb in ("unhook", "fini"):
            for each in sorted(gone):
                if verb == "unhook" or stays is None or stays.backend != each.backend:
                    try:
                        getattr(each.firewall(self._run), verb)()
                    except FirewallError as error:
                        troubles[each] = error
        left = self._known.difference(gone).union(troubles)
        if left != self._known:
            self._save(left)
        if troubles:
            said = (f"{each.backend} with hook {each.hook}: {error}" for each, error in troubles.items())
            raise FirewallError(f"not taken out of the kernel yet: {'; '.join(said)}")

    def _save(self, known: frozenset[Trace]) -> None:
        try:
            # The daemon reads it where root has written it.
            atomic.write(self._file, json.dumps(sorted(known)).encode(), 0o644)
        except OSError as error:
            raise FirewallError(f"{self._file}: {error.strerror}") from error
        self._known = known


def _load(file: Path) -> Iterable[Trace]:
    """What a former process wrote; a file that cannot be read names nothing."""
    try:
        for backend, hook in json.loads(file.read_text("utf-8")):
            if backend in BACKENDS:
                Hook.parse(hook)
                yield Trace(backend, hook)
    except (OSError, ValueError, TypeError):
        return
