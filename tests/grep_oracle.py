"""What a rule means, asked of GNU grep and of both engines: which lines of a block match.

`grep` is the oracle. `by_regex` and `by_hyperscan` compile what `ere` emits, as the matcher does. `example` writes a
line that a rule is likely to match, and `mutate` spoils it.
"""

from __future__ import annotations

import bisect
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from random import Random

import pytest
import regex

from logwarden import ere
from logwarden.ere import nodes

pytest.importorskip("logwarden.matcher._hyperscan", reason="logwarden was built without Hyperscan")
from logwarden.matcher._hyperscan import Database
from logwarden.matcher._hyperscan_compiler import compiled

GREP = shutil.which("grep")
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.environ["PATH"]}


def why_not() -> str | None:
    """Why there is no oracle here, or None."""
    if not GREP:
        return "no grep"
    version = subprocess.run([GREP, "--version"], capture_output=True, text=True, check=False).stdout
    return None if "GNU grep" in version else "grep is not GNU grep"


PATIENCE = 2.0
"""Seconds for one rule: glibc's engine takes hours over some rules with collating elements."""


class BadPatternError(Exception):
    """grep refuses the pattern; the text is what it says."""


def grep(pattern: bytes, lines: Sequence[bytes]) -> frozenset[int]:
    """The indices of the lines that `LC_ALL=C grep -E --text` finds the pattern in.

    Raises BadPatternError, and subprocess.TimeoutExpired where grep itself does not come to an end.
    """
    block = b"".join(line + b"\n" for line in lines)
    with tempfile.TemporaryFile() as file:  # an argument holds no NUL, and a pattern may
        file.write(pattern + b"\n")
        file.seek(0)
        asked = [GREP or "grep", "-nE", "--text", "-f", f"/dev/fd/{file.fileno()}"]
        done = subprocess.run(
            asked, input=block, capture_output=True, env=ENVIRONMENT, timeout=PATIENCE, pass_fds=[file.fileno()]
        )
    if done.returncode > 1:
        raise BadPatternError(done.stderr.decode("latin-1").strip())
    return frozenset(int(line.partition(b":")[0]) - 1 for line in done.stdout.split(b"\n") if line)


def by_regex(node: ere.Node, lines: Sequence[bytes]) -> frozenset[int]:
    """The same of the `regex` engine, line by line and, which must be the same, in one block."""
    pattern = regex.compile(ere.emit(node, "regex"), regex.MULTILINE, cache_pattern=False)
    block = b"\n".join(lines)
    alone, within = set(), set()
    for index, start in enumerate(line_starts(lines)):
        line = lines[index]
        if pattern.search(line, timeout=PATIENCE):
            alone.add(index)
        match = pattern.search(block, start, start + len(line), timeout=PATIENCE)
        if match and b"\n" not in match[0]:
            within.add(index)
    assert alone == within, [lines[index] for index in alone ^ within]
    return frozenset(alone)


def line_starts(lines: Iterable[bytes]) -> list[int]:
    """The offset of each line in a block."""
    return list(itertools.accumulate((len(line) + 1 for line in lines), initial=0))[:-1]


class Combined:
    """Rules compiled into one Hyperscan database; those it cannot take are in `refused`."""

    def __init__(self, trees: Sequence[ere.Node]) -> None:
        self.refused: dict[int, str] = {}
        emitted = {}
        for index, tree in enumerate(trees):
            try:
                emitted[index] = ere.emit(tree, "hyperscan")
            except ere.UnsupportedError as error:
                self.refused[index] = str(error)
        self.rules = list(emitted)
        self.database = hyperscan_database(list(emitted.values())) if emitted else None

    def scan_alone(self, lines: Sequence[bytes]) -> dict[int, set[int]]:
        """The same as `scan`, from a scan for each line."""
        found: dict[int, set[int]] = {}
        for index, line in enumerate(lines):
            for rule in self.scan([line]):
                found.setdefault(rule, set()).add(index)
        return found

    def scan(self, lines: Sequence[bytes]) -> dict[int, set[int]]:
        """For each rule the indices of the lines that match, from one scan of one block."""
        starts = line_starts(lines)
        found: dict[int, set[int]] = {}
        block = b"".join(line + b"\n" for line in lines)
        for id_, end in hyperscan_matches(self.database, block) if self.database else ():
            if end < len(block):  # behind the last newline there is no line
                found.setdefault(self.rules[id_], set()).add(bisect.bisect_right(starts, end) - 1)
        return found


def hyperscan_database(expressions: Sequence[bytes]) -> Database:
    """What the matcher would have compiled. Raises ValueError where Hyperscan refuses one of them."""
    return Database(compiled(expressions))


def hyperscan_matches(database: Database, block: bytes) -> list[tuple[int, int]]:
    """The ids of the expressions that match, and where each match ends."""
    numbers = memoryview(database.scan(block)).cast("I").tolist()
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def by_hyperscan(node: ere.Node, lines: Sequence[bytes]) -> frozenset[int] | None:
    """The same of Hyperscan, which must be the same in one block and line by line; None where it cannot take the rule,
    which then is the other engine's."""
    try:
        one = Combined([node])
    except ValueError:
        return None
    if one.refused:
        return None
    within, alone = one.scan(lines).get(0, set()), one.scan_alone(lines).get(0, set())
    assert within == alone, [lines[index] for index in within ^ alone]
    return frozenset(within)


def example(node: ere.Node, random: Random) -> bytes:
    """A text that `node` matches, but for what its assertions and backreferences ask of the rest of the line."""
    match node:
        case nodes.Literal(text):
            return text
        case nodes.Set(bits):
            members = [byte for byte in range(256) if bits >> byte & 1]
            printable = [byte for byte in members if 0x20 <= byte < 0x7F]
            chosen = printable if printable and random.random() < 0.9 else members
            return bytes([random.choice(chosen)]) if chosen else b""
        case nodes.Cat(parts):
            return b"".join(example(part, random) for part in parts)
        case nodes.Alt(branches):
            return example(random.choice(branches), random)
        case nodes.Repeat(inner, low, high):
            times = random.randint(low, min(low + 3, low + 3 if high is None else high))
            return b"".join(example(inner, random) for _ in range(times))
        case nodes.Group(_, inner) | nodes.Capture(_, inner):
            return example(inner, random)
    return b""


def mutate(line: bytes, random: Random) -> bytes:
    """`line` with one thing changed: a near miss, if the rule is careful about it."""
    at = random.randrange(len(line) + 1)
    byte = bytes([random.choice(b" \t.:[]()-/0aZ_\x00\x7f\x80\xff")])
    match random.randrange(6):
        case 0:
            return line[:at] + byte + line[at:]
        case 1:
            return line[:at] + line[at + 1 :]
        case 2:
            return line[:at] + byte + line[at + 1 :]
        case 3:
            return line[:at]
        case 4:
            return line + byte
        case _:
            return re.sub(rb"[0-9]+", lambda number: number[0] * 2, line)
