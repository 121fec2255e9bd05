"""Who is never banned, as far as it has to be looked up: DNS names, files, and this host's own addresses.

Owns: reading an allowlist's entries, and threads that look everything up again every REFRESH seconds, or when told: an
address of this host that comes or goes tells it.
Never: has a ban, or what a file says, wait for a look-up: until a name is known for the first time it protects nobody;
then what it covers is lifted. What cannot be looked up any more stays as it was: a name keeps its addresses, a file
that is gone or cannot be read what it said last. One that is empty says nothing.
Fails: into `Protected.troubles`, a sentence for each name or file that cannot be used.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from . import address, host
from .address import Prefix
from .errors import CommandError
from .resolver import NAME, look_up

REFRESH = 300.0
LARGEST = 4_000_000
"""Characters of a file that are read; what comes then is said not to be."""


Entries = Mapping[str, tuple[str, ...]]
"""What each file of an allowlist says."""


class Allowlist(NamedTuple):
    """An allowlist as it is written, taken apart."""

    prefixes: tuple[Prefix, ...] = ()
    names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @classmethod
    def sorted(cls, entries: Iterable[str]) -> Allowlist:
        """Raises ValueError for what is neither address, prefix, name nor absolute path."""
        kinds: dict[str, list[str]] = {"prefix": [], "name": [], "file": []}
        for entry in entries:
            kinds[_kind(entry)].append(entry)
        return cls(tuple(map(address.prefix, kinds["prefix"])), tuple(kinds["name"]), tuple(kinds["file"]))

    @staticmethod
    def check(entry: str) -> None:
        """Raises ValueError for what no allowlist may hold."""
        if _kind(entry) == "prefix":
            address.prefix(entry)

    def read(self, before: Entries) -> tuple[Allowlist, Entries, list[str]]:
        """The list with all that its files say, that alone, and what is wrong with them. `before`: what they said."""
        said: dict[str, tuple[str, ...]] = {}
        troubles: list[str] = []
        for file in self.files:
            try:
                said[file] = _said(file, troubles)
            except OSError as error:
                said.update({file: before[file]} if file in before else {})
                kept = "what it said last is still in force" if file in before else "it protects nobody"
                troubles.append(f"allowlist: {file}: {error.strerror}; {kept}")
        found = Allowlist.sorted(entry for entries in said.values() for entry in entries)
        return Allowlist(self.prefixes + found.prefixes, self.names + found.names, self.files), said, troubles


def _said(file: str, troubles: list[str]) -> tuple[str, ...]:
    """The entries of a file that can be used; `troubles` hears of the others. Raises OSError."""
    with Path(file).open(encoding="utf-8", errors="replace") as lines:
        text = lines.read(LARGEST)
        if lines.read(1):
            text = text[: text.rfind("\n") + 1]  # half an entry is another one
            troubles.append(f"allowlist: {file}: only the first {LARGEST / 1e6:g} MB of it are in force")
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if entry := line.partition("#")[0].strip():
            try:
                Allowlist.check(entry)
            except ValueError as error:
                troubles.append(f"allowlist: {file}:{number}: {error}")
            else:
                entries += [] if entry.startswith("/") else [entry]
    return tuple(entries)


def _kind(entry: str) -> str:
    if entry.startswith("/"):
        return "file"
    numeric = ":" in entry or "/" in entry or not re.search("[A-Za-z]", entry)
    if not numeric and not NAME.fullmatch(entry):
        raise ValueError(f"{entry!r} is no address, prefix, DNS name or absolute path")
    return "prefix" if numeric else "name"


@dataclass(frozen=True, slots=True)
class Protected:
    """What was looked up: prefixes of files and names, this host's own, each name's addresses, what each file says."""

    allowed: frozenset[Prefix] = frozenset()
    own: Mapping[Prefix, str] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Entries = field(default_factory=dict)
    troubles: tuple[str, ...] = ()

    @classmethod
    def now(cls, wanted: Allowlist, before: Protected) -> Protected:
        """What can be known without asking anybody remote; `before` is what an earlier look-up found."""
        return AtHand.read(wanted, before.own, before.files).protected(before.names)


class AtHand(NamedTuple):
    """What files and this host say: the whole list, the host's own prefixes, the files' entries, what went wrong."""

    whole: Allowlist
    own: Mapping[Prefix, str]
    files: Entries
    troubles: Sequence[str]

    @classmethod
    def read(cls, wanted: Allowlist, own: Mapping[Prefix, str], before: Entries) -> AtHand:
        """Read the files, and ask the kernel. What does not answer has the entries of `before`, or its `own`."""
        whole, files, troubles = wanted.read(before)
        try:
            return cls(whole, host.protected(), files, troubles)
        except CommandError as error:
            kept = "what was the host's own before is still protected" if own else "the host's own is not protected"
            return cls(whole, own, files, [*troubles, f"{error}; {kept}"])

    def protected(self, names: Mapping[str, tuple[str, ...]], troubles: Iterable[str] = ()) -> Protected:
        """All of it, with the addresses of `names`; `troubles` are more of them."""
        known = {name: names[name] for name in self.whole.names if name in names}
        resolved = {address.prefix(text) for each in known.values() for text in each}
        allowed = frozenset({*self.whole.prefixes, *resolved})
        return Protected(allowed, self.own, known, self.files, (*self.troubles, *troubles))


class Refresher:
    """Looks up what an allowlist names, in threads, and hands each change to `changed`.

    One thread reads what is at hand, files and this host; another asks the resolver, for which no file ever waits.
    `before` is what was known before. `refresh` has both done at once; a file that was edited, say.
    """

    def __init__(
        self,
        wanted: Allowlist,
        changed: Callable[[Protected], None],
        before: Protected,
        look_up: Callable[[str], tuple[str, ...]] = look_up,
    ) -> None:
        self._wanted, self._changed, self._look_up = wanted, changed, look_up
        self._names = dict(before.names)
        self._own, self._files = before.own, before.files
        self._troubles: dict[str, str] = {}  # by name
        self._here: AtHand | None = None  # nothing is told before the first time that it was read
        self._last: Protected | None = None
        self._lock = threading.Lock()
        self._told = {self.read: threading.Event(), self.resolve: threading.Event()}
        self._listener = host.Listener(self._told[self.read].set)
        self._stopping = False

    def start(self) -> None:
        """Begin, with a look-up at once."""
        self._listener.start()
        for round_ in self._told:
            threading.Thread(target=self._run, args=(round_,), name="allowlist", daemon=True).start()

    def stop(self) -> None:
        """End; a look-up that is under way is not waited for, and not told."""
        self._stopping = True
        self._listener.stop()
        self.refresh()

    def refresh(self) -> None:
        """Look everything up again now."""
        for told in self._told.values():
            told.set()

    def _run(self, round_: Callable[[], None]) -> None:
        told = self._told[round_]
        while not self._stopping:
            told.clear()
            round_()
            told.wait(REFRESH)

    def read(self) -> None:
        """Read what is at hand. A name that is new there is looked up next."""
        known = self._here.whole.names if self._here else ()
        here = AtHand.read(self._wanted, self._own, self._files)
        with self._lock:
            self._here, self._own, self._files = here, here.own, here.files
            self._tell(here)
        if set(here.whole.names) - set(known):
            self._told[self.resolve].set()

    def resolve(self) -> None:
        """Ask for each name, and tell what came of it before the next one is asked for."""
        if (here := self._here) is None:
            return
        for name in here.whole.names:
            found, trouble = self._asked(name)
            with self._lock:
                self._names.update(found)
                self._troubles.pop(name, None)
                self._troubles.update(trouble)
                self._tell(self._here or here)
            if self._stopping:
                return

    def _asked(self, name: str) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
        """What is known of a name now, and what is wrong with it."""
        try:
            return {name: self._look_up(name)}, {}
        except (OSError, UnicodeError) as error:
            kept = "it keeps its last addresses" if self._names.get(name) else "it protects nobody"
            return {}, {name: f"allowlist: {name}: {getattr(error, 'strerror', None) or error}; {kept}"}

    def _tell(self, here: AtHand) -> None:
        troubles = [self._troubles[name] for name in here.whole.names if name in self._troubles]
        found = here.protected(self._names, troubles)
        if found != self._last and not self._stopping:
            self._last = found
            self._changed(found)
