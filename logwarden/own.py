"""What we have said in our own log, known again where a source reads it: accounted for, and no news.

The digest and `status` have said it already, and a line about mail that fails would be the reason for the next mail.

Owns: the latest messages that this host's daemon has logged, SAID of them; the last KEPT of them over a restart, for
what a process says at its end is read by the next.
Never: hides what another host's logwarden said, or what a bug or Python itself printed; nor a line that merely looks
like ours: whoever forges one can only repeat what we have said.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace

from .model import Classified, Outcome, Verdict

SAID, KEPT = 1_000, 100
MEMORY = "own"
"""Where state remembers them."""
OWN = "said by logwarden itself"
"""What stands in the place of a rule's name where hits are counted."""
_LEVEL = re.compile(r"(?:INFO|WARNING|ERROR): ")
"""What stands before a message on standard error."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Own(logging.Handler):
    """Hears what is logged, and knows it again. `hosts` are the names that lines of this host may bear, with their
    domain or without."""

    def __init__(self, *hosts: str) -> None:
        super().__init__()
        self._hosts = {None, *map(_label, hosts)}
        self._said: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a message: as one line, and each line of it, for a source may show it either way."""
        text = spelt(record.getMessage())
        self._add(dict.fromkeys((_on_one_line(text), *map(_on_one_line, text.splitlines()))))

    def _add(self, lines: Iterable[str]) -> None:
        for each in lines:
            self._said.pop(each, None)
            self._said[each] = None
        for oldest in list(self._said)[:-SAID]:
            del self._said[oldest]

    def dump(self) -> list[str]:
        """What `load` takes."""
        with self.lock or nullcontext():  # threads log too
            return list(self._said)[-KEPT:]

    def load(self, said: list[str] | None) -> None:
        """Know again what another process of this host's said."""
        self._add(said or ())

    def hush(self, classified: Classified) -> Classified:
        """`classified` without our own lines, which are ignored."""
        kept = tuple(each for each in classified.verdicts if not self._is_ours(each))
        ours = len(classified.verdicts) - len(kept)
        if not ours:
            return classified
        counts = Counter(classified.counts)
        counts[Outcome.UNEXPLAINED] -= ours
        counts[Outcome.IGNORED] += ours
        return replace(classified, counts=counts, hits={**classified.hits, OWN: ours}, verdicts=kept)

    def _is_ours(self, verdict: Verdict) -> bool:
        event = verdict.event
        return (
            verdict.outcome is Outcome.UNEXPLAINED
            and event.program == "logwarden"
            and (None if event.host is None else _label(event.host)) in self._hosts
            and _LEVEL.sub("", event.message, count=1) in self._said
        )


def spelt(text: str) -> str:
    """As a log can hold it, and standard error has it: a file's name may be no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _label(host: str) -> str:
    """The name without its domain."""
    return host.partition(".")[0].lower()


def _on_one_line(text: str) -> str:
    """As rsyslog writes it, and we of the journal's."""
    return _CONTROL.sub(lambda found: f"#{ord(found[0]):03o}", text.rstrip("\n"))
