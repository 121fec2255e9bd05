"""What we have said in our own log, known again where a source reads it: accounted for, and no news.

The digest and `status` have said it already, and a line about mail that fails would be the reason for the next mail.

Owns: the latest messages that this process has logged, SAID of them.
Never: hides what another logwarden said, or what a bug or Python itself printed; nor a line that merely looks like
ours: whoever forges one can only repeat what we have said.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import replace

from .model import Classified, Outcome, Verdict

SAID = 1_000
OWN = "said by logwarden itself"
"""What stands in the place of a rule's name where hits are counted."""
_LEVEL = re.compile(r"(?:INFO|WARNING|ERROR): ")
"""What stands before a message on standard error."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Own(logging.Handler):
    """Hears what is logged, and knows it again."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a message: as one line, and each line of it, for a source may show it either way."""
        text = record.getMessage()
        for each in dict.fromkeys((_on_one_line(text), *map(_on_one_line, text.splitlines()))):
            self._said.pop(each, None)
            self._said[each] = None
        for oldest in list(self._said)[:-SAID]:
            del self._said[oldest]

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
            and _LEVEL.sub("", event.message, count=1) in self._said
        )


def _on_one_line(text: str) -> str:
    """As rsyslog writes it, and we of the journal's."""
    return _CONTROL.sub(lambda found: f"#{ord(found[0]):03o}", text.rstrip("\n"))
