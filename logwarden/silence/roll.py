"""The roll of all that speak: sources, hosts, programs.

Owns: who is on it. A newcomer is kept apart until it is heard again: a flood of invented names pushes out other
newcomers, never one that is known. Both are bounded; one that is silent for FORGOTTEN is struck off.
Time in which nobody listened (we were down) does not count as silence.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from .. import duration
from ..model import Notice, NoticeKind
from .rhythm import KNOWN, RESOLUTION, Rhythm

KNOWN_MOST, NEW_MOST = 2_000, 2_000
"""Known ones may be twice as many where the config expects them: hosts can be invented."""
NAMED_MOST = 50
"""Notices at a time: a log that ends silences all who wrote there."""
FORGOTTEN = 35 * 86_400.0
SPEAKS = 20
"""Silences after which a program is one that speaks."""
FORMAT = 1


class Subject(NamedTuple):
    """A source, or else a host, or (with `program`) a program on a host."""

    source: str = ""
    host: str = ""
    program: str = ""

    def __str__(self) -> str:
        if self.source:
            return self.source
        return f"{self.program} on {self.host or 'this host'}" if self.program else f"host {self.host}"


class Expected(NamedTuple):
    """What the config wants to hear of every so many seconds: a source (a glob) or a program."""

    every: float
    source: str = ""
    program: str = ""

    def covers(self, subject: Subject) -> bool:
        """Whether it is about this one."""
        if self.source:
            return fnmatchcase(subject.source, self.source)
        return subject.program == self.program


class Roll:
    """Everybody's rhythm. `now` is when listening begins."""

    def __init__(self, now: float) -> None:
        self.expected: Sequence[Expected] = ()
        self.wanted: list[tuple[str, str]] = []
        """Who is late and must be heard if it speaks at all: (host, program), without a host where none is known."""
        self._since = now
        self._known: dict[Subject, Rhythm] = {}
        self._new: OrderedDict[Subject, Rhythm] = OrderedDict()
        self._named: set[str] = set()

    def hear(self, source: str, speakers: Iterable[tuple[str, str]], now: float) -> None:
        """These spoke: each is (host, program), either of them maybe ''."""
        self._hear(Subject(source), now)
        for host, program in set(speakers):
            if host:
                self._hear(Subject(host=host), now)
            if program:
                self._hear(Subject(host=host, program=program), now)

    def _hear(self, subject: Subject, now: float) -> None:
        rhythm = self._known.get(subject)
        if rhythm is not None:
            rhythm.hear(now)
            return
        rhythm = self._new.get(subject)
        if rhythm is None:
            self._new[subject] = rhythm = Rhythm(now)
            if len(self._new) > NEW_MOST:
                self._new.popitem(last=False)
        rhythm.hear(now)
        known = len(self._known)
        expected = known < 2 * KNOWN_MOST and any(each.covers(subject) for each in self.expected)
        if expected or (rhythm.silences and known < KNOWN_MOST):
            self._known[subject] = self._new.pop(subject)

    # --- who is missed --------------------------------------------------------------------------------------

    def call(self, now: float) -> list[Notice]:
        """Whoever is silent for too long, each silence once. Due each minute, while nothing waits to be read."""
        for subject in [each for each, rhythm in self._known.items() if now - rhythm.last > FORGOTTEN]:
            del self._known[subject]
        late = [subject for subject, rhythm in self._known.items() if self._is_late(subject, rhythm, now)]
        late.sort(key=lambda subject: self._every(subject) is None)  # only the first few are searched for
        self.wanted = [("", each.program) for each in self._unheard() if each.program]
        self.wanted += [(subject.host, subject.program) for subject in late if not subject.source]
        notices = [*self._missed(late, now), *self._never_heard(now)]
        if len(notices) > NAMED_MOST:
            text = f"and {len(notices) - NAMED_MOST} others have fallen silent at the same time"
            notices[NAMED_MOST:] = [Notice(NoticeKind.SILENCE, "others", text, now)]
        return notices

    def _is_late(self, subject: Subject, rhythm: Rhythm, now: float) -> bool:
        every = self._every(subject)
        return rhythm.is_late(now) if every is None else now - rhythm.last > every / 2

    def _every(self, subject: Subject) -> float | None:
        return min((each.every for each in self.expected if each.covers(subject)), default=None)

    def _missed(self, late: Iterable[Subject], now: float) -> Iterator[Notice]:
        hosts: set[str] = set()
        for subject in sorted(late, key=lambda each: (each.program, each)):  # a host before its programs
            rhythm, every = self._known[subject], self._every(subject)
            limit = every + RESOLUTION if every is not None else rhythm.limit()
            if limit is None or now - rhythm.last <= limit:
                continue
            if subject.host and not subject.program:
                hosts.add(subject.host)
            known = subject.host in hosts and subject.program and every is None  # the host's silence says it all
            if not rhythm.named and not known:
                yield _notice(str(subject), now - rhythm.last, every, max(rhythm.longest), now)
            rhythm.named = True

    def _unheard(self) -> list[Expected]:
        return [each for each in self.expected if not any(map(each.covers, self._known))]

    def _never_heard(self, now: float) -> Iterator[Notice]:
        unheard = self._unheard()
        self._named -= {each.program or each.source for each in self.expected if each not in unheard}
        for each in unheard:
            name = each.program or each.source
            if now - self._since > each.every and name not in self._named:
                self._named.add(name)
                text = f"was expected every {_length(each.every)} and has not been heard of yet"
                yield Notice(NoticeKind.SILENCE, name, text, now)

    def deaf(self, files: Mapping[str, Iterable[str]], matched: Iterable[str], now: float) -> list[Notice]:
        """Attack files (with their programs, names or globs) that never matched though a program of theirs speaks.

        `matched` names the files that did. Each is said once.
        """
        found = []
        for file in sorted(set(files) - set(matched) - self._named):
            heard = sorted({program for program in self._speaking() if _is_one_of(program, files[file])})
            if heard:
                self._named.add(file)
                text = (
                    f"has never matched a line, though {', '.join(heard[:4])} has been speaking for days; that is well"
                    " where nobody attacks, and a reason to look where its lines have changed"
                )
                found.append(Notice(NoticeKind.SILENCE, file, text, now))
        return found

    def _speaking(self) -> Iterator[str]:
        for subject, rhythm in self._known.items():
            if subject.program and rhythm.total >= KNOWN and rhythm.silences >= SPEAKS:
                yield subject.program

    # --- the clock and the disk -----------------------------------------------------------------------------

    def shift(self, by: float) -> None:
        """Move every time by so many seconds."""
        self._since += by
        for rhythm in (*self._known.values(), *self._new.values()):
            rhythm.shift(by)

    def dump(self, now: float) -> dict[str, Any]:
        """What `load` takes, as plain data for JSON."""
        known = [[*subject, *rhythm.dump()] for subject, rhythm in self._known.items()]
        return {"format": FORMAT, "time": now, "known": known, "named": sorted(self._named)}

    @classmethod
    def load(cls, data: Any, now: float) -> Roll:
        """The roll that `dump` gave; an empty one for anything else. The time between is no silence."""
        roll = cls(now)
        if isinstance(data, dict) and data.get("format") == FORMAT:
            for source, host, program, *rhythm in data["known"]:
                roll._known[Subject(source, host, program)] = known = Rhythm.load(rhythm)
                known.shift(now - data["time"])
            roll._named = set(data["named"])
        return roll


def _notice(name: str, silence: float, every: float | None, longest: float, now: float) -> Notice:
    wont = f"it is expected every {_length(every)}" if every else f"it used to be for {_length(longest)} at most"
    return Notice(NoticeKind.SILENCE, name, f"has been silent for {_length(silence)}; {wont}", now)


def _length(seconds: float) -> str:
    """Rounded to what matters: minutes, hours, or days."""
    unit = 60 if seconds < 2 * 3_600 else 3_600 if seconds < 2 * 86_400 else 86_400
    return duration.format(max(unit, round(seconds / unit) * unit)) if seconds >= 60 else duration.format(seconds)


def _is_one_of(program: str, names: Iterable[str]) -> bool:
    return any(name != "*" and fnmatchcase(program, name) for name in names)
