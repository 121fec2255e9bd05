"""A name in the place of an address: whom it bans, and how a stranger who chooses it has nobody else banned."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from small import NOW, Small

from logwarden import matcher, rules
from logwarden.daemon import Daemon
from logwarden.model import AttackRule, Event, Location, Outcome, Provenance, Severity, Verdict
from logwarden.resolver import (
    KNOWN,
    LINE,
    LINES,
    LONGEST,
    MOST,
    QUEUE,
    TIMEOUT,
    TTL,
    Answer,
    Host,
    Resolver,
    confirmed,
    look_up_whole,
)
from logwarden.rules import attack

ROOT = Path(__file__).parent.parent
HE, VICTIM, NAME = "203.0.113.9", "198.51.100.77", "host.example.org"
PATIENCE = 20.0
RULE = AttackRule(
    Location("sshd.yaml", 1), "sshd.yaml", "refused", ("sshd",), "User <USER> from <HOST> not allowed", resolve=True
)


# --- both ways ------------------------------------------------------------------------------------------------------


def asked(name: str, forward: Mapping[str, object], reverse: Mapping[str, object]) -> tuple[str, ...]:
    """What comes of it where the DNS says this; what is an error is raised."""

    def answer(found: Mapping[str, object]) -> Callable[[str], tuple[str, ...]]:
        def ask(text: str) -> tuple[str, ...]:
            said = found.get(text, socket.gaierror(socket.EAI_NONAME, "no such name"))
            if isinstance(said, Exception):
                raise said
            assert isinstance(said, tuple)
            return said

        return ask

    return confirmed(name, answer(forward), answer(reverse)).addresses


def test_an_address_that_has_the_name_in_turn_is_meant_by_it() -> None:
    assert asked(NAME, {NAME: (HE,)}, {HE: ("other.example.org", "HOST.example.org.")}) == (HE,)
    both = {HE: (NAME,), "2001:db8::9": (NAME,)}
    assert set(asked(NAME, {NAME: ("2001:DB8:0::9", HE)}, both)) == set(both)


def test_who_owns_a_name_and_adds_somebody_elses_address_to_it_has_nobody_banned() -> None:
    reverse = {HE: ("evil.example.net",), VICTIM: ("mail.victim.example",)}
    assert asked("evil.example.net", {"evil.example.net": (HE, VICTIM)}, reverse) == (HE,)
    assert asked("evil.example.net", {"evil.example.net": (VICTIM,)}, reverse) == ()


@pytest.mark.parametrize(
    ("forward", "reverse"),
    [
        ({}, {HE: (NAME,)}),
        ({NAME: OSError("timed out")}, {HE: (NAME,)}),
        ({NAME: UnicodeError("label too long")}, {HE: (NAME,)}),
        ({NAME: ("rubbish", HE)}, {HE: (NAME,)}),
        ({NAME: ()}, {HE: (NAME,)}),
        ({NAME: (HE,)}, {}),
        ({NAME: (HE,)}, {HE: (f"{NAME}.evil.example.net", "example.org", "")}),
        ({NAME: (HE,)}, {HE: socket.herror(1, "unknown host")}),
        ({NAME: (HE,)}, {HE: UnicodeError("rubbish")}),
    ],
)
def test_what_does_not_agree_or_is_no_answer_is_nobody(
    forward: Mapping[str, object], reverse: Mapping[str, object]
) -> None:
    assert asked(NAME, forward, reverse) == ()


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({NAME: Host(NAME, (HE,))}, (HE,)),  # of /etc/hosts, or the DNS: no other question is asked
        ({NAME: Host(f"{NAME}.search.example", (HE,))}, None),
        ({NAME: Host("cname.example.org", (HE,)), f"{NAME}.": Host("cname.example.org", (VICTIM, HE))}, (HE,)),
        # an alias in /etc/hosts, and somebody else's in the DNS: the daemon that logged it knew the first alone
        ({NAME: Host("inside.example.org", (HE,)), f"{NAME}.": Host(NAME, (VICTIM,))}, ()),
    ],
)
def test_a_name_is_looked_up_as_it_stands_in_etc_hosts_and_never_by_a_search_list(
    known: Mapping[str, Host], expected: tuple[str, ...] | None
) -> None:
    def known_as(name: str) -> Host:
        if name not in known:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return known[name]

    if expected is None:
        with pytest.raises(OSError, match="no such name"):
            look_up_whole(NAME, known_as)
    else:
        assert look_up_whole(NAME, known_as) == expected


def test_a_name_of_many_addresses_says_of_none_that_it_was_the_one() -> None:
    many = [f"203.0.113.{number}" for number in range(1, MOST + 2)]
    reverse = dict.fromkeys(many, (NAME,))
    assert len(asked(NAME, {NAME: tuple(many[:MOST])}, reverse)) == MOST
    assert asked(NAME, {NAME: tuple(many)}, reverse) == ()


# --- the lines that wait --------------------------------------------------------------------------------------------


def line(name: str = NAME, time: float | None = NOW, rule: AttackRule = RULE, provenance: int = 0) -> Verdict:
    message = f"User root from {name} not allowed"
    event = Event(time, "web1", "sshd", 1, message, f"sshd[1]: {message}", Provenance(provenance))
    return Verdict("auth.log", event, Outcome.ATTACK, attack_by=rule)


class Asked:
    """A resolver whose thread answers at once, or hangs until it is `free`."""

    def __init__(self, addresses: tuple[str, ...] = (HE,), known: int = KNOWN) -> None:
        self.answers: SimpleQueue[Answer] = SimpleQueue()
        self.names: list[str] = []
        self.begun, self.free = threading.Event(), threading.Event()
        self.free.set()
        self.addresses = addresses
        self.subject = Resolver(self.answers.put, self.confirm, known)

    def confirm(self, name: str) -> Answer:
        self.names.append(name)
        self.begun.set()
        assert self.free.wait(PATIENCE)
        return Answer(name, self.addresses)

    def take(self, now: float = NOW) -> list[Verdict]:
        return self.subject.take(self.answers.get(timeout=PATIENCE), now)


Make = Callable[..., Asked]


@pytest.fixture
def ask() -> Iterator[Make]:
    """Makes one, and ends it."""
    made: list[Asked] = []

    def make(*given: Any, **named: Any) -> Asked:
        made.append(Asked(*given, **named))
        return made[-1]

    yield make
    for each in made:
        each.free.set()
        each.subject.stop()


def test_lines_of_one_name_wait_for_one_answer_and_keep_their_time(ask: Make) -> None:
    asked = ask((HE, "2001:db8::9"))
    asked.free.clear()
    asked.subject.hear([line(time=NOW - 5), line("HOST.Example.org.", time=None)], NOW)
    asked.free.set()
    found = asked.take(NOW + 9)
    assert [(each.address, each.event.time) for each in found] == [
        (HE, NOW - 5),
        ("2001:db8::9", NOW - 5),
        (HE, NOW),
        ("2001:db8::9", NOW),
    ]
    assert asked.names == [NAME]


def test_an_answer_is_kept_for_a_while_and_so_is_that_there_is_none(ask: Make) -> None:
    asked = ask(())
    asked.subject.hear([line()], NOW)
    assert asked.take() == []
    asked.addresses = (HE,)
    asked.subject.hear([line()], NOW + TTL - 1)
    assert asked.take(NOW + TTL - 1) == []
    assert asked.names == [NAME]
    asked.subject.hear([line()], NOW + TTL)
    assert [each.address for each in asked.take(NOW + TTL)] == [HE]
    asked.subject.hear([line()], NOW + 2 * TTL - 1)
    assert [each.address for each in asked.take(NOW + 2 * TTL - 1)] == [HE]
    assert asked.names == [NAME, NAME]


def test_an_answer_that_takes_too_long_is_none(ask: Make) -> None:
    asked = ask()
    asked.free.clear()
    asked.subject.hear([line()], NOW)
    asked.free.set()
    assert asked.take(NOW + TIMEOUT) == []
    assert asked.subject.waiting == 0


def test_where_the_resolver_hangs_few_wait_and_who_is_late_is_not_asked_for(
    ask: Make,
) -> None:
    asked = ask()
    asked.free.clear()
    asked.subject.hear([line()] * (LINES + 9), NOW)
    for number in range(3 * QUEUE):
        asked.subject.hear([line(f"host{number}.example.org")], NOW)
    assert asked.subject.waiting == QUEUE
    for number in range(3 * QUEUE):  # all of them are late, and what the thread has still to come to is full
        asked.subject.hear([line(f"host{number}.example.net")], NOW + TIMEOUT)
    assert asked.subject.waiting <= 2
    asked.subject.shift(7200.0)
    asked.free.set()
    assert asked.take(NOW + TIMEOUT + 7200.0) == []
    asked.subject.forget()
    asked.subject.hear([line("last.example.org")] * (LINES + 9), NOW + TIMEOUT + 7200.0)
    found: list[Verdict] = []
    while not found:
        if asked.subject.waiting == 0:
            asked.subject.hear([line("last.example.org")] * (LINES + 9), NOW + TIMEOUT + 7200.0)
        found = asked.take(NOW + TIMEOUT + 7200.0)
    assert len(found) == LINES
    assert len(asked.names) < QUEUE


def test_answers_that_are_kept_are_few(ask: Make) -> None:
    asked = ask(known=2)
    for name in ("a.example.org", "b.example.org", "c.example.org", "a.example.org"):
        asked.subject.hear([line(name)], NOW)
        assert [each.address for each in asked.take()] == [HE]
    assert asked.names == ["a.example.org", "b.example.org", "c.example.org", "a.example.org"]


@pytest.mark.parametrize(
    "verdict",
    [
        line(rule=RULE._replace(resolve=False)),
        line("localhost"),
        line("127.1"),
        line("1.2.3.4.5"),
        line("0x7f.1"),
        line("-x.example.org"),
        line("x..example.org"),
        line("host:22.example.org"),
        line(f"{'a' * (LONGEST - len('.example.org'))}.example.org"),
        line(provenance=1000),
        line()._replace(event=line().event._replace(raw="x" * (LINE + 1))),
        line()._replace(address=HE),
        line()._replace(attack_by=None),
    ],
)
def test_what_is_no_whole_name_or_not_for_sure_the_daemons_is_not_asked_for(ask: Make, verdict: Verdict) -> None:
    asked = ask()
    asked.subject.hear([verdict], NOW)
    assert asked.subject.waiting == 0


def test_a_daemon_that_ends_waits_for_nobody(ask: Make) -> None:
    asked = ask()
    asked.free.clear()
    asked.subject.hear([line(), line("other.example.org")], NOW)
    assert asked.begun.wait(PATIENCE)
    asked.subject.stop()
    asked.free.set()
    assert asked.take() == []
    assert asked.names == [NAME]


# --- rules ----------------------------------------------------------------------------------------------------------

FILE = """
program: sshd
rules:
  - id: refused
    resolve: true
    match: 'User <USER> from <HOST> not allowed'
    samples: [{line: 'User root from host.example.org not allowed'}]
"""


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("<HOST>", "<ADDR>", "rules[0].resolve: the rule has no <HOST>"),
        ("resolve: true", "resolve: true\n    severity: violation", "rules[0].resolve: only an attack by itself"),
        ("resolve: true", "resolve: sometimes", "rules[0].resolve: expected true: "),
    ],
)
def test_a_rule_that_could_not_be_looked_up_is_refused(old: str, new: str, why: str) -> None:
    (rule,), refused = attack.parse(FILE.encode(), "sshd.yaml")
    assert rule.resolve
    assert not refused
    found, refused = attack.parse(FILE.replace(old, new).encode(), "sshd.yaml")
    assert found == []
    assert why in str(refused[0])


def test_only_rules_of_daemons_that_confirm_a_name_have_it_looked_up() -> None:
    shipped = rules.load(attack=[str(ROOT / "attack.d")], aggressive=True).attack
    assert {rule.file for rule in shipped if rule.resolve} == {"sshd.yaml", "mysqld.yaml"}


@pytest.mark.parametrize(
    "user", ["root", "x from mail.victim.example not allowed because a", "x from mail.victim.example via cafe"]
)
def test_a_user_name_that_holds_another_name_is_no_source(user: str) -> None:
    shipped = rules.load(attack=[str(ROOT / "attack.d")]).attack
    messages = {
        "sshd-user-not-allowed": f"User {user} from {NAME} not allowed because not listed in AllowUsers",
        "sshd-pam-failure": f"error: PAM: Authentication failure for {user} from {NAME}",
        "mysqld-access-denied": f"[Note] Access denied for user '{user}'@'mail.victim.example'@'{NAME}'",
    }
    for rule in shipped:
        if rule.id in messages:
            assert rule.severity is Severity.ATTACK
            assert matcher.host(rule, messages[rule.id]) == NAME


# --- the daemon -----------------------------------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path: Path) -> Small:
    """A host that bans at the third failure, and whose friend has an address that it never bans."""
    small = Small(tmp_path)
    settings = small.config.read_text()
    small.config.write_text(settings.replace("documentation: true", f"documentation: true, allowlist: [{VICTIM}]"))
    rule = small.place / "attack.d" / "sshd.yaml"
    rule.write_text(f"{rule.read_text()}{FILE.partition('rules:')[2].lstrip(chr(10))}")
    return small


@contextmanager
def knowing(host: Small) -> Iterator[Daemon]:
    """Its daemon, which knows two names."""
    names = {NAME: HE, "friend.example.org": VICTIM}

    def confirm(name: str) -> Answer:
        return Answer(name, (names[name],) if name in names else ())

    with host.running() as daemon:
        daemon.resolver = daemon.pipeline.resolver = Resolver(daemon.inbox.put, confirm)
        yield daemon


def refuse(host: Small, name: str, times: int) -> None:
    host.write(*[f"User root from {name} not allowed"] * times, tag="sshd[9]")


def test_a_name_bans_whom_it_leads_to_says_so_and_is_accounted_for_once(host: Small) -> None:
    with knowing(host) as daemon:
        refuse(host, NAME, 2)
        refuse(host, "nobody.example.org", 3)
        refuse(host, "friend.example.org", 3)
        host.attack(HE, 1)
        host.step_until(lambda: daemon.resolver.waiting == 0)
        (ban,) = daemon.state.bans(host.hands.wall)
        assert ban.prefix == f"{HE}/32"
        assert {str(key): lines for key, lines in daemon.state.tallies()["file:/x"].items() if lines} == {"attack": 9}
        assert [row["address"] for row in daemon.state.attacks(0)].count(HE) == 3


def test_a_ban_by_a_name_says_so_and_hits_of_one_outlive_the_daemon(host: Small) -> None:
    with knowing(host) as daemon:
        refuse(host, NAME, 2)
        host.step_until(lambda: len(list(daemon.state.attacks(0))) == 2)
        assert host.bans() == {}
    with knowing(host) as daemon:
        refuse(host, NAME, 1)
        host.step_until(host.bans)
        (ban,) = daemon.state.bans(host.hands.wall)
        assert ban.why == f"sshd.yaml#refused: score 3 within 600 s; by its confirmed name {NAME}"


def test_a_slow_answer_bans_nobody_for_what_is_over(host: Small) -> None:
    with knowing(host) as daemon:
        batch = host.batch(*[f"User root from {NAME} not allowed"] * 3, tag="sshd[9]")
        host.hands.pass_by(7200)
        daemon.inbox.put_batch(batch, lambda: False)
        daemon.step()
        host.step_until(lambda: daemon.resolver.waiting == 0)
        assert host.bans() == {}
