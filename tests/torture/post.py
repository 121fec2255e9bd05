"""A mail server that fails at random: refuses for now, for good, hangs up before or after it took the mail."""

from __future__ import annotations

import email
import email.policy
import random
import re
from collections import Counter
from typing import Any

from ..demo.stage import Mailbox

TOTAL = re.compile(r"^  total +[\d,]+ +[\d,]+ +([\d,]+) +([\d,]+) +([\d,]+)\s*$", re.MULTILINE)


class Post(Mailbox):
    """Keeps each mail that it took, by Message-ID: a second one is a repeat, which the first one's reader knows."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.healthy = False
        self.taken: dict[str, email.message.EmailMessage] = {}
        self.tricks: Counter[str] = Counter()
        self._chance = random.Random(f"{seed} post")

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        trick = "taken" if self.healthy else self._chance.choice(("taken", "taken", "451", "550", "before", "after"))
        self.tricks[trick] += 1
        if trick in ("451", "550"):
            return f"{trick} not today"
        if trick != "before":
            mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(mail, email.message.EmailMessage)
            self.tricks["repeated"] += mail["Message-ID"] in self.taken
            self.taken[mail["Message-ID"]] = mail
        if trick in ("before", "after"):
            server.transport.abort()
        return "250 taken"

    def told(self) -> tuple[int, int, int]:
        """Attack, unexplained and quarantined lines that all mails together account for."""
        sums = [0, 0, 0]
        for mail in self.taken.values():
            body = mail.get_body(("plain",))
            found = TOTAL.search(body.get_content()) if body else None
            for index, number in enumerate(found.groups() if found else ()):
                sums[index] += int(number.replace(",", ""))
        return sums[0], sums[1], sums[2]
