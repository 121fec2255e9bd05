"""Which rules may match a line: those for its program, and of these the ones whose signs it shows.

Native rules name their programs; of most of logcheck's rules it can be said as well (`tags.split`). Rules are parsed
for that when the first line comes, native ones when the first comes that they are for.

Never: leaves out a rule that matches, or names a native one that is for another program. What a line invents as a
program costs no more than the globs among the names, and no more is remembered of it than the bounds here say.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from . import globs
from .analysis import Outline, outline
from .lines import Views
from .patterns import Pattern, Scope, text_of
from .prefilter import Prefilter

_PROGRAMS = 1024
"""Programs whose rules are remembered."""


class Dispatch:
    """Patterns, each under its id."""

    def __init__(self, patterns: Mapping[int, Pattern]) -> None:
        self._patterns = patterns
        self._outlines: dict[int, Outline] = {}
        self._native = [id_ for id_, pattern in patterns.items() if pattern.scope is Scope.MESSAGE]
        self._by_program: dict[bytes, Prefilter] = {}
        self._by_ids: dict[tuple[int, ...], Prefilter] = {}

    def candidates(self, views: Views) -> dict[int, Sequence[int]]:
        """The ids of the patterns that may match a line, each with the indices of these lines, in order."""
        found: dict[int, Sequence[int]] = {}
        for id_, indices in self._candidates(views):
            found[id_] = sorted({*found[id_], *indices}) if id_ in found else indices
        return found

    def _candidates(self, views: Views) -> Iterator[tuple[int, Sequence[int]]]:
        yield from self._lines.candidates(views.raws, views.with_raw)
        yield from self._rests.candidates(views.texts, views.with_text)
        together: dict[Prefilter, list[int]] = {}
        for program, indices in views.with_message.items():
            together.setdefault(self._of_program(program), []).extend(indices)
        for prefilter, indices in together.items():
            yield from prefilter.candidates(views.messages, sorted(indices))

    @functools.cached_property
    def _lines(self) -> Prefilter:
        return self._prefilter(id_ for id_, pattern in self._patterns.items() if pattern.scope is Scope.LINE)

    @functools.cached_property
    def _rests(self) -> Prefilter:
        ids = [id_ for id_, pattern in self._patterns.items() if pattern.scope is Scope.REST]
        return self._prefilter(id_ for id_ in ids if self._outline(id_).programs is None)

    @functools.cached_property
    def _named(self) -> dict[bytes, list[int]]:
        """The rules that name a program as it is."""
        found: dict[bytes, list[int]] = {}
        for id_, pattern in self._patterns.items():
            for name in _names(pattern) if pattern.scope is Scope.MESSAGE else self._outline(id_).programs or ():
                found.setdefault(name, []).append(id_)
        return found

    @functools.cached_property
    def _globbed(self) -> list[tuple[Pattern, list[int]]]:
        """The native rules that have a glob among their names: one, and the ids of all those that have the same."""
        found: dict[tuple[str, ...], tuple[Pattern, list[int]]] = {}
        for id_ in self._native:
            programs = self._patterns[id_].rule.programs
            if any(map(globs.is_glob, programs)):
                found.setdefault(programs, (self._patterns[id_], []))[1].append(id_)
        return list(found.values())

    @functools.cached_property
    def _of_any(self) -> Prefilter:
        """The native rules for every program, and for the message of none."""
        return self._of_ids(tuple(sorted(id_ for one, those in self._globbed if one.is_for(None) for id_ in those)))

    @functools.cached_property
    def _is_globbed(self) -> re.Pattern[bytes]:
        """Matches the programs that a glob means, where it does not mean all."""
        fragments = {globs.linear(one.rule.programs) for one, _ in self._globbed if not one.is_for(None)}
        return re.compile(b"|".join(sorted(fragments)) or b"(?!)")

    def _find_of_program(self, program: bytes) -> Prefilter:
        if program == b"*":
            return self._of_ids(tuple(self._native))
        globbed = [id_ for one, those in self._globbed if one.is_for(program) for id_ in those]
        return self._of_ids(tuple(sorted({*self._named.get(program, ()), *globbed})))

    def _prefilter(self, ids: Iterable[int]) -> Prefilter:
        return Prefilter((id_, self._outline(id_).signs) for id_ in ids)

    def _outline(self, id_: int) -> Outline:
        if id_ not in self._outlines:
            self._outlines[id_] = outline(text_of(self._patterns[id_].rule))
        return self._outlines[id_]

    # Dicts and no lru_cache, which would hold on to this object, and so to all rules after a reload.

    def _of_program(self, program: bytes | None) -> Prefilter:
        if program in self._by_program:
            return self._by_program[program]
        if program is None or not (program == b"*" or program in self._named or self._is_globbed.fullmatch(program)):
            return self._of_any
        return _remembered(self._by_program, program, self._find_of_program)

    def _of_ids(self, ids: tuple[int, ...]) -> Prefilter:
        return _remembered(self._by_ids, ids, self._prefilter)


Key = TypeVar("Key")


def _remembered(known: dict[Key, Prefilter], key: Key, find: Callable[[Key], Prefilter]) -> Prefilter:
    if key not in known:
        if len(known) >= _PROGRAMS:
            known.clear()
        known[key] = find(key)
    return known[key]


def _names(pattern: Pattern) -> set[bytes]:
    names = (name for name in pattern.rule.programs if not globs.is_glob(name))
    return {name.encode("utf-8", "surrogateescape") for name in names}
