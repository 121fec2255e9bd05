"""No rule holds up its set: what explodes in a compiler is in force or is refused, alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from logwarden import ere, matcher, process
from logwarden.errors import CommandError, RuleError
from logwarden.matcher import Matcher, cache
from logwarden.matcher.expressions import DEEPEST
from logwarden.model import Batch, Classified, IgnoreRule, Location, RuleSet

pytestmark = pytest.mark.slow

BOTH = pytest.mark.parametrize("portable", [False, True], ids=["hyperscan", "regex"])
NEEDS_HYPERSCAN = pytest.mark.skipif(cache.hyperscan_version() is None, reason="logwarden was built without Hyperscan")
HEAD = "Nov 22 17:00:00 mail su: "


def ruleset(*regexes: str) -> RuleSet:
    return RuleSet(tuple(IgnoreRule(Location("local.rules", n), each, ("su",)) for n, each in enumerate(regexes, 1)))


def classify(made: Matcher, *lines: str) -> Classified:
    block = "".join(f"{line}\n" for line in lines).encode()
    return made.classify(Batch("test", block, len(lines), ""), 1e9, every=True)


def ignored(made: Matcher, message: str) -> bool:
    return classify(made, HEAD + message).verdicts[0].ignored_by is not None


# --- compilers ------------------------------------------------------------------------------------------------------

TOWERS = {
    "alternatives": "(a|b(" * 25 + "c" + ")*d)+" * 25,
    "repeated once": "(a" * 25 + ")+" * 25,
    "repeated twice": "(a" * 15 + "){2,}" * 15,
}
"""Repetitions within one another. `regex` made two copies or three for each: 7.9 GB for the third of them. Hyperscan
took minutes over the first."""
LOW_TOWER = "(a" * DEEPEST + ")+" * DEEPEST
"""What Hyperscan takes and `regex` does not."""

LARGE = "expressions.LARGEST = expressions.MOST_REPETITIONS = 10**6"
"""Without our limits on what Hyperscan is given."""


@pytest.mark.parametrize("name", TOWERS)
def test_what_the_regex_engine_would_write_out_for_ever_is_not_given_to_it(name: str) -> None:
    tree = ere.parse(TOWERS[name].encode())
    for engine in ("regex", "capture"):
        with pytest.raises(RuleError, match="larger than 100000 when its repetitions are written out"):
            ere.emit(tree, engine)


@pytest.mark.parametrize("regex", ["(a" * 15 + ")+" * 15, "(a{2}|b){2}" * 2_000, "a{32767}{1,3}", "((ab){150}c){150}"])
def test_what_it_takes_it_compiles_in_bounded_time_and_memory(regex: str) -> None:
    script = """
import resource, sys, regex
from logwarden import ere
emitted = ere.emit(ere.parse(sys.argv[1].encode()), "regex")
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
regex.compile(emitted, regex.MULTILINE)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used)
"""
    argv = [sys.executable, "-c", script, regex]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True)
    assert int(done.stdout) < 150_000, "kilobytes"


@BOTH
def test_a_rule_that_explodes_is_refused_by_its_place_and_the_set_is_in_force(portable: bool) -> None:
    """In the real child, as it is bounded. What only Hyperscan finds too large goes to the other engine."""
    towers = [LOW_TOWER, *TOWERS.values(), r"(x)\1" + TOWERS["repeated once"]]
    before = time.monotonic()
    made = matcher.compile(
        ruleset("good", *towers, "([ab]{5}|(ab[^x]{0,30}){2,20})", "better"), run=process.run, portable=portable
    )
    assert time.monotonic() - before < 60
    why = "larger than 100000 when its repetitions are written out"
    assert [str(each) for each in made.refused] == [f"local.rules:{line}: {why}" for line in (2, 3, 4, 5, 6)]
    assert [text for text in ("good", "aabba", "better", "goods", "aabb?") if ignored(made, text)] == [
        *("good", "aabba", "better")
    ]


@NEEDS_HYPERSCAN
def test_the_compiling_process_ends_by_itself_where_nobody_is_left_to_end_it() -> None:
    script = f"""
from logwarden.matcher import __main__ as child, expressions
{LARGE}
child.main()
"""
    request = json.dumps({"texts": [("(ab)?" * 900, ["su"], "ignore", 0)], "portable": False, "seconds": 1}).encode()
    done = subprocess.run([sys.executable, "-c", script], input=request, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGXCPU


@dataclass
class Loosened:
    """Runs the real child without one of the limits on what it is given, and with `seconds` to live."""

    limits: str
    seconds: float
    deaths: list[str] = field(default_factory=list)

    def __call__(self, argv: Sequence[str], *, stdin: bytes, timeout: float) -> bytes:
        script = f"""
from logwarden.ere import emission
from logwarden.matcher import __main__ as child, expressions
{self.limits}
child.main()
"""
        try:
            return process.run((argv[0], "-c", script), stdin=stdin, timeout=min(timeout, self.seconds))
        except CommandError as error:
            self.deaths.append(str(error))
            raise


@NEEDS_HYPERSCAN
@pytest.mark.parametrize(
    ("regex", "loosened", "death", "refused"),
    [
        (
            "(ab)?" * 900,
            Loosened(LARGE, 5),
            "no answer within 5 s",
            [],
        ),
        (
            TOWERS["repeated twice"],
            Loosened("emission.MOST_COPIES = 10**9; child.MEMORY = 300 << 20", 60),
            "MemoryError",
            ["local.rules:2: larger than 100000 when its repetitions are written out"],
        ),
    ],
    ids=["time", "memory"],
)
def test_a_rule_that_is_the_end_of_the_compiling_process_costs_itself_alone(
    regex: str, loosened: Loosened, death: str, refused: list[str]
) -> None:
    """Our limits keep out all that we know of: here they do not, and Hyperscan and `regex` really explode."""
    before = time.monotonic()
    made = matcher.compile(ruleset("good", regex, "better", "best"), run=loosened)
    assert time.monotonic() - before < 240
    assert loosened.deaths
    assert all(death in each for each in loosened.deaths)
    assert [str(each) for each in made.refused] == refused
    assert [text for text in ("good", "abab", "better", "best", "ab?") if ignored(made, text)] == [
        *("good", *(["abab"] if not refused else []), "better", "best")
    ]
