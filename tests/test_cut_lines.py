"""A line that its logger has cut says who attacks only where that stands before whatever a stranger wrote."""

from __future__ import annotations

import pytest

from logwarden.matcher.freetext import comes_first
from logwarden.model import AttackRule, Event, Location, Outcome, Provenance, Verdict
from logwarden.tracker import counts, doubt
from logwarden.tracker.cut import LEAST, LEAST_OF_BUSYBOX

NOW = 1_700_000_000.0


def rule(text: str, **fields: str) -> AttackRule:
    return AttackRule(Location("sshd.yaml", 1), "sshd.yaml", "failed", ("sshd",), text, fields=tuple(fields.items()))


INVALID = rule("Invalid user <USER> from <ADDR>( port <PORT>)?")


def event(message: str, header: str = "Nov 22 17:00:00 web1 ") -> Event:
    return Event(NOW, "web1", "sshd", 9, message, f"{header}sshd[9]: {message}")


def of_length(length: int, name: str = "x") -> str:
    """A name so long that a logger cuts the message behind the address that it ends with."""
    begin, end = "Invalid user ", " from 198.51.100.77"
    return begin + name * ((length - len(begin) - len(end)) // len(name.encode())) + end


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Invalid user <USER> from <ADDR>", True),
        ("x .*(a<ADDR>|b<ADDR>)", True),
        ("(from <ADDR>|user <USER> from <ADDR>)", True),
        ('user="[^"]*", rip=<ADDR>', True),
        ("([^ ]+ )*<HOST>", True),
        ("user [[:print:]]+ from <ADDR>", True),
        ("user [ -~]+ from <ADDR>", True),
        ("user ([[:alnum:]]|[[:punct:]]| )* from <ADDR>", True),
        ("user .{0,2000} from <ADDR>", True),
        ("user (.{0,8}-){0,9} from <ADDR>", True),
        ("Connection from <ADDR>.*", False),
        ("[[:alnum:]]+: client <ADDR> <USER>", False),
        (r"\[[[:alnum:]_:., /+-]+\] [[:xdigit:]]{24} \[client <ADDR>\] .*", False),
        ("(<ADDR>|x) .*", False),
        ("[^ ]{1,8} <ADDR>", False),
        (r'\{"user":"[^"]*","ip":"<ADDR>".*', False),
        (r'\{"msg":"failed for [^"]* from <ADDR>",.*', False),
        (r'\{"msg":"failed for [^"]* from <ADDR> .*', True),
        (r'\{"msg":"\\"[^"]*\\" from \\"<ADDR>\\".*', True),
        ("no address .*", False),
        ("(", False),
    ],
)
def test_free_text_comes_first_or_the_address_does(text: str, first: bool) -> None:
    assert comes_first(rule(text)) == first


def test_the_fields_of_an_object_are_those_of_a_whole_one() -> None:
    assert comes_first(rule(r'(@cee: ?)?\{"user":"[^"]*","ip":"<ADDR>"\}'))
    assert not comes_first(rule(r'(@cee: ?)?\{"user":"[^"]*","ip":"<ADDR>"\}', ip="<ADDR>"))


def test_a_line_as_long_as_a_cut_one_counts_for_nobody() -> None:
    assert doubt(INVALID, event(of_length(LEAST - 1))) is None
    why = doubt(INVALID, event(of_length(LEAST)))
    assert why == "the line is so long that it may have been cut, and this address written by a stranger"
    verdict = Verdict("auth.log", event(of_length(LEAST)), Outcome.ATTACK, attack_by=INVALID, address="198.51.100.77")
    assert not counts(verdict)
    assert doubt(rule("Invalid user .*"), event(of_length(LEAST))) is None


def test_it_is_bytes_that_loggers_count() -> None:
    message = of_length(LEAST + 1, "é")
    assert len(message) < LEAST
    assert doubt(INVALID, event(message)) is not None


def test_the_syslogd_of_busybox_cuts_at_less() -> None:
    long, longer = of_length(LEAST_OF_BUSYBOX - 1), of_length(LEAST_OF_BUSYBOX)
    busybox = "Nov 22 17:00:00 web1 auth.info "
    assert [doubt(INVALID, event(message, busybox)) is None for message in (long, longer)] == [True, False]
    assert doubt(INVALID, event(longer)) is None


def test_a_doubt_about_the_writer_comes_first() -> None:
    forged = event(of_length(LEAST))._replace(provenance=Provenance(65534, "x.scope", "logger", "syslog"))
    assert (doubt(INVALID, forged) or "").startswith("it names sshd but came")
