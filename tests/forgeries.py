"""Lines in which a stranger writes the address of somebody else, made of the samples of any attack rule.

In our samples a stranger's words are one of NAMES. Each is continued with what would make the daemon's own line over
again, with another source in it: the rest of the line, the whole line, the pieces around the address, so that quotation
marks, brackets and keywords close and open where the rule expects them. What comes out is a line that the daemon may
really write; its source is still the sample's.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from logwarden.model import AttackRule, Sample

NAMES = re.compile(r"(?<![\w.-])(alice|mallory|root|admin|oracle|bob)(?![\w-])")
"""What stands in a sample where a stranger may write what he likes."""

FORGED = ("198.51.100.77", "2001:db8:bad::77", "fe80::77%eth0")
LONG = "A" * 10_000
PLAIN = (
    " from {} port 22",
    " from {} port 22 ssh2",
    "' {} '",
    '" {} "',
    "#012{} x",
    r"\n{} x",
    " rhost={} ",
    "[{}]",
)
"""What is tried on every rule, whatever its sample looks like."""
WINDOWS = 6
"""Pieces of the sample, chosen at random but always the same, that are tried at each place of a stranger's words."""

CANNOT_WRITE = {
    **dict.fromkeys(
        (
            "audiobookshelf-login-failed-json",
            "authelia-failed-json",
            "caddy-probe-secret",
            "caddy-unauthorized",
            "mongodb-failed-to-authenticate",
            "gitlab-failed-login-json",
            "gitlab-sign-in-refused",
            "grafana-login-failed-json",
            "mongodb-auth-failed",
            "keycloak-login-error-json",
            "nextcloud-login-failed",
            "nextcloud-login-failed-of-old",
            "ntfy-unauthorized",
            "traefik-unauthorized",
        ),
        '"',  # JSON escapes it
    ),
    **dict.fromkeys(("npm-probe", "npm-unauthorized"), '"'),  # nginx writes it as \x22
    **dict.fromkeys(("authelia-failed", "grafana-login-failed"), '"'),  # logfmt escapes it
    "audit-login-failed": '"',  # the kernel writes such a name in hexadecimal
    "nginx-basic-auth": ":",  # ends the user name in Basic credentials
    "nginx-pam-auth": ":",
    **dict.fromkeys(("nsd-notify-refused", "nsd-transfer-refused"), " "),  # NSD writes \032
    "postfix-name-does-not-resolve": " ",  # no host's name for Postfix, which then says so
    "zimbra-auth-failed": ";",  # name= is that of an account that exists
}
"""What a daemon never lets a stranger write in the message of a rule."""

EXIM = "() "
"""What is no part of a HELO, for Exim: it refuses such a greeting, and forgets it."""


def places(sample: Sample) -> list[re.Match[str]]:
    """Where a stranger's words stand in a sample, its address left out."""
    return [found for found in NAMES.finditer(sample.line) if found[0] != sample.address]


def forgeries(rule: AttackRule, sample: Sample) -> Iterator[str]:
    """Lines that a stranger may bring about, whose source is the sample's and nobody else."""
    if sample.address is None or sample.address not in sample.line:
        return
    forbidden = EXIM if rule.file.startswith("exim") else CANNOT_WRITE.get(rule.id, "")
    for place in places(sample):
        for payload in _payloads(rule, sample, place):
            if not any(character in payload for character in forbidden):
                yield sample.line[: place.end()] + payload + sample.line[place.end() :]


def cut(rule: AttackRule, sample: Sample, length: int) -> Iterator[str]:
    """Lines of so many bytes at least that a logger has cut where a stranger, whose words begin at one of the sample's,
    has made somebody else's line of it: what the daemon says behind them is gone."""
    if sample.address is None or sample.address not in sample.line:
        return
    forbidden = EXIM if rule.file.startswith("exim") else CANNOT_WRITE.get(rule.id, "")
    line, at, _ = _forged(sample, FORGED[0])
    for place in re.finditer(NAMES, line[:at]):
        rest = line[place.end() :]
        for words in ("A" * length + rest, f"{rest} {'A' * length}", rest + "A" * length):
            if not any(character in words for character in forbidden):
                yield line[: place.end()] + words


def _payloads(rule: AttackRule, sample: Sample, place: re.Match[str]) -> Iterator[str]:
    for forged in FORGED:
        line, at, _ = _forged(sample, forged)
        yield from (text.format(forged) for text in PLAIN)
        yield line
        yield " " + line[at:]
        if place.end() <= at:
            yield line[place.end() :]
    yield f"{LONG} from {FORGED[0]}"
    line, at, end = _forged(sample, FORGED[0])
    chance = random.Random(f"{rule.id} {place.start()}")
    edges = [0, *(found.end() for found in re.finditer(r"\w+|\W", line))]
    for _ in range(WINDOWS):
        start = chance.choice([edge for edge in edges if edge <= at])
        yield line[start : chance.choice([edge for edge in edges if edge >= end])]


def _forged(sample: Sample, forged: str) -> tuple[str, int, int]:
    """The line with another address, and where that starts and ends."""
    assert sample.address is not None
    at = sample.line.index(sample.address)
    return sample.line[:at] + forged + sample.line[at + len(sample.address) :], at, at + len(forged)
