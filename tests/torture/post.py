"""A mail server that fails at random: refuses for now, for good, or one of the recipients; does not answer; hangs up
before or after it took the mail."""

from __future__ import annotations

import asyncio
import email
import email.policy
import random
import re
from collections import Counter
from typing import Any

from ..demo.stage import Mailbox

TOTAL = re.compile(r"^  total +[\d,]+ +[\d,]+ +([\d,]+) +([\d,]+) +([\d,]+)\s*$", re.MULTILINE)


RECIPIENTS = ("you@web1.example", "ops@web1.example")
TRICKS = ("taken", "taken", "taken", "451", "550", "hang", "before", "after")
REFUSED = 0.15
"""How often a recipient is refused, be it one or all of them."""


class Post(Mailbox):
    """Keeps each mail that it took, by Message-ID: a second one is a repeat, which the first one's reader knows."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.healthy = False
        self.taken: dict[str, email.message.EmailMessage] = {}
        self.tricks: Counter[str] = Counter()
        self._served: dict[str, set[str]] = {}
        self._chance = random.Random(f"{seed} post")

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: object, session: object, envelope: Any, address: str, options: list[str]
    ) -> str:
        if not self.healthy and self._chance.random() < REFUSED:
            self.tricks["recipient refused"] += 1
            return "450 not today"
        envelope.rcpt_tos.append(address)
        return "250 welcome"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        trick = "taken" if self.healthy else self._chance.choice(TRICKS)
        self.tricks[trick] += 1
        if trick in ("451", "550"):
            return f"{trick} not today"
        if trick == "hang":
            await asyncio.Event().wait()  # until the other one hangs up
        if trick != "before":
            mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(mail, email.message.EmailMessage)
            served = self._served.setdefault(mail["Message-ID"], set())
            self.tricks["repeated"] += not served.isdisjoint(envelope.rcpt_tos)
            served.update(envelope.rcpt_tos)
            self.taken[mail["Message-ID"]] = mail
        if trick in ("before", "after"):
            server.transport.abort()
        return "250 taken"

    def missed(self) -> list[str]:
        """Who did not get a mail that was taken."""
        return [
            f"{name} never got {identity}"
            for identity, served in self._served.items()
            for name in RECIPIENTS
            if name not in served
        ]

    def told(self) -> tuple[int, int, int]:
        """Attack, unexplained and quarantined lines that all mails together account for."""
        sums = [0, 0, 0]
        for mail in self.taken.values():
            body = mail.get_body(("plain",))
            found = TOTAL.search(body.get_content()) if body else None
            for index, number in enumerate(found.groups() if found else ()):
                sums[index] += int(number.replace(",", ""))
        return sums[0], sums[1], sums[2]
