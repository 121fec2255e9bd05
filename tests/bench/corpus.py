"""Log lines to measure with, from a seed: what the rules of the installed logcheck-database hide, and what none hides.

With them come the samples of attack.d, and what daemons on a real Debian logged in an hour (tests/captured).

Owns: reading those rules from /etc/logcheck, and writing a line that a syntax tree matches.
Never: holds a line or a rule of that package: both are made from what is installed.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from logwarden.ere import Node, parse
from logwarden.ere.nodes import ANY, CLASSES, Alt, Assertion, Backref, Capture, Cat, Group, Literal, Repeat, Set
from logwarden.errors import RuleError
from logwarden.model import IgnoreRule, Location
from logwarden.rules import load

ROOT = Path(__file__).resolve().parents[2]
LOGCHECK = Path("/etc/logcheck")
CAPTURED_HOUR = ROOT / "tests" / "captured" / "hour"
LEVELS = ("ignore.d.paranoid", "ignore.d.server")
HEADER = re.compile(r"\^\([^|]+\|\[0-9T:\.\+-\]\{32\}\) \[[^ ]+\]\+ ")
"""How the database writes "any stamp, any host": a line made from it would have a stamp that is no time."""
STAMP = b"2026-01-05T06:%02d:%02d.%06d+00:00 web1 "
REPEATS = 12
"""How often `+` and `*` repeat at most: log lines are short."""

TAG = re.compile(rb"[^][ :]+(\[[0-9]+\])?: ")
CAPTURED, UNEXPLAINED, ATTACKS = 0.05, 0.06, 0.01
"""Of all lines."""

PLAIN = CLASSES[b"alnum"]


def rule_files() -> list[Path]:
    """The rule files of level server, in the order in which logcheck reads them."""
    return [path for level in LEVELS for path in sorted((LOGCHECK / level).glob("*")) if path.is_file()]


def rules() -> list[IgnoreRule]:
    """logcheck's rules of level server, as logcheck's package writes them."""
    found = []
    for path in rule_files():
        for number, line in enumerate(path.read_text("latin-1").splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                found.append(IgnoreRule(Location(str(path), number), line))
    return found


def line_makers(given: Sequence[IgnoreRule]) -> Iterator[functools.partial[bytes]]:
    """For each rule that begins with a standard header and that we can read: what makes lines of it."""
    for rule in given:
        header = HEADER.match(rule.regex)
        if header is None:
            continue
        try:
            node = parse(rule.regex[header.end() :].encode("latin-1"))
        except RuleError:
            continue
        yield functools.partial(write, node)


def write(node: Node, chance: random.Random) -> bytes:
    """A text that `node` matches, where no assertion in its middle forbids it."""
    groups: dict[int, bytes] = {}

    def text(node: Node) -> bytes:
        match node:
            case Literal(literal):
                return literal
            case Set(bits):
                return bytes([chance.choice(members(bits))])
            case Cat(parts):
                return b"".join(map(text, parts))
            case Alt(branches):
                return text(chance.choice(branches))
            case Repeat(inner, low, high):
                most = low + REPEATS if high is None else min(high, low + REPEATS)
                return b"".join(text(inner) for _ in range(chance.randint(low, most)))
            case Group(number, inner):
                groups[number] = text(inner)
                return groups[number]
            case Capture(_, inner):
                return text(inner)
            case Backref(number):
                return groups.get(number, b"")
            case Assertion():
                return b""

    return text(node)


@functools.cache
def members(bits: int) -> bytes:
    """The bytes of a set; letters and digits alone where it has any, as most of a log's variable text is."""
    likely = bits & PLAIN if bits & PLAIN and bits != ANY else bits & (CLASSES[b"print"])
    return bytes(byte for byte in range(256) if (likely or bits) >> byte & 1)


def lines(count: int, seed: int = 3) -> list[bytes]:
    """`count` lines with their newlines, as a server writes them: most of them of few kinds (Zipf's law over the rules,
    in an order that the seed decides), a share UNEXPLAINED with words that no rule knows, a share ATTACKS; and a share
    CAPTURED that was logged for the most part by daemons of which the rules say nothing."""
    chance = random.Random(seed)
    makers = [maker for maker in line_makers(rules()) if TAG.match(maker(chance))]
    chance.shuffle(makers)
    likely = chance.choices(makers, zipf(len(makers)), k=count)
    attacks, captured = attack_samples(), CAPTURED_HOUR.read_bytes().splitlines(keepends=True)
    chance.shuffle(attacks)
    weights = list(itertools.accumulate(zipf(len(attacks))))
    made = []
    for number, maker in enumerate(likely):
        message, die = maker(chance), chance.random()
        if die < ATTACKS:
            (message,) = chance.choices(attacks, cum_weights=weights)
        elif die < ATTACKS + UNEXPLAINED and (tag := TAG.match(message)):
            message = tag[0] + b"unheard-of " + message[tag.end() :]
        if ATTACKS + UNEXPLAINED <= die < ATTACKS + UNEXPLAINED + CAPTURED:
            made.append(chance.choice(captured))
        else:
            made.append(STAMP % (number // 6000 % 60, number // 100 % 60, number % 1_000_000) + message + b"\n")
    return made


def zipf(count: int) -> list[float]:
    """The weights of `count` kinds, the commonest first."""
    return [1 / rank for rank in range(1, count + 1)]


def attack_samples() -> list[bytes]:
    """What attack.d's samples say, with the tag of their program."""
    found = []
    for rule in load(attack=[str(ROOT / "attack.d")]).attack:
        program = next((name for name in rule.programs if not set(name) & set("*?[")), None)
        if program is not None:
            found += [f"{program}[4242]: {sample.line}".encode() for sample in rule.samples if "\n" not in sample.line]
    return found


def sshd_lines(count: int, attacks: float, seed: int = 4) -> list[bytes]:
    """`count` lines of an sshd log, of which a share `attacks` are failed passwords."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        address = f"203.0.113.{chance.randrange(1, 255)}"
        port, pid = chance.randrange(1024, 65536), chance.randrange(300, 32768)
        failed = chance.random() < attacks
        message = chance.choice(
            (
                f"Failed password for root from {address} port {port} ssh2",
                f"Failed password for invalid user admin from {address} port {port} ssh2",
            )
            if failed
            else (
                "pam_unix(sshd:session): session closed for user ada",
                "pam_unix(sshd:session): session opened for user ada(uid=1000) by (uid=0)",
                f"Accepted publickey for ada from 192.0.2.50 port {port} ssh2: ED25519 SHA256:" + "x" * 43,
            )
        )
        stamp = STAMP % (number // 6000 % 60, number // 100 % 60, number % 1_000_000)
        made.append(stamp + f"sshd[{pid}]: {message}\n".encode())
    return made
