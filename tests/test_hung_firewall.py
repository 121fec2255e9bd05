"""A program of the firewall that never answers delays nothing but itself: bans are owed, and it is said."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from namespaces import namespaces, run
from small import Small

from logwarden import answers, byhand
from logwarden.errors import FirewallError, HungError
from logwarden.firewall import Breaker
from logwarden.firewall.ipset import SETS

MANY = 20
WATCHDOG = 6.0
"""Seconds after which systemd would kill the daemon."""
ROUND = 61.0


class Programs:
    """A directory that comes first on the PATH; what is made to hang in it writes down that it was started."""

    def __init__(self, place: Path) -> None:
        self._place, self._started = place / "programs", place / "started"
        self._place.mkdir()
        self._started.touch()

    @property
    def path(self) -> str:
        return str(self._place)

    def hang(self, *names: str) -> None:
        for name in names:
            file = self._place / name
            file.write_text(f"#!/bin/sh\necho {name} >> {self._started}\nexec sleep infinity\n")
            file.chmod(0o755)

    def heal(self) -> None:
        for file in self._place.iterdir():
            file.unlink()

    def started(self) -> list[str]:
        """Which of them have been started since this was asked last."""
        names = self._started.read_text().split()
        self._started.write_text("")
        return names


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    made = Programs(tmp_path)
    monkeypatch.setenv("PATH", f"{made.path}:/usr/sbin:/usr/bin:/bin")
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG * 1_000_000)))
    with namespaces(1) as (here,), here.inside():
        yield made


def burst(host: Small, net: int) -> None:
    """Attackers of a network, all at once. The watchdog sees the turn end."""
    begun = time.monotonic()
    host.write(*[f"Failed password for root from 198.51.{net}.{n}" for n in range(MANY)] * 3, tag="sshd[9]")
    assert time.monotonic() - begun < WATCHDOG


def lose_sets() -> None:
    """Without them a ban takes ipset(8), which makes them anew."""
    for rules in ("iptables", "ip6tables"):
        run(f"/usr/sbin/{rules} -t raw -F")
    for name in SETS.values():
        run(f"/usr/sbin/ipset destroy {name}")


def next_round(host: Small) -> None:
    host.hands.pass_by(ROUND)
    begun = time.monotonic()
    host.write("normal 1")
    assert time.monotonic() - begun < WATCHDOG


def problems(host: Small) -> list[str]:
    return [each for each in answers.status(host.daemon, {})["problems"] if not each.startswith("logwarden: ")]


def recovered(host: Small) -> None:
    """A minute's round or two later; on a busy machine the first answer may come too late."""
    for _ in range(5):
        next_round(host)
        if not host.daemon.breaker.faults:
            return
    pytest.fail("what answers again is still said to hang")


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize(("backend", "program"), [("ipset", "ipset"), ("nftables", "nft")])
def test_bans_are_owed_while_a_firewall_hangs_and_in_force_when_it_answers_again(
    tmp_path: Path, programs: Programs, backend: str, program: str
) -> None:
    host = Small(tmp_path, backend=f"{backend}, mode: enforce")
    with host.running() as daemon:
        if program == "ipset":
            lose_sets()
        programs.hang(program)
        burst(host, 1)
        assert set(programs.started()) == {program}
        burst(host, 2)
        assert programs.started() == [], "lines wait for it once, not once a batch"
        assert len(daemon.state.bans(host.hands.wall)) == 2 * MANY
        sentence = f"{program} hangs; what it was to do is owed, and tried again each minute"
        assert sentence in problems(host)
        assert sentence in " ".join(host.preview().split())
        next_round(host)
        assert programs.started() == [program], "it is asked again each minute, once"
        programs.heal()
        recovered(host)
        assert len(host.bans()) == 2 * MANY
        assert sentence not in problems(host)


@pytest.mark.root
@pytest.mark.slow
def test_where_ipset_hangs_and_nothing_is_amiss_bans_are_in_force_all_the_same(
    tmp_path: Path, programs: Programs
) -> None:
    host = Small(tmp_path, backend="ipset, mode: enforce")
    with host.running():
        programs.hang("ipset")
        burst(host, 1)
        assert programs.started() == []
        programs.heal()
        assert len(host.bans()) == MANY


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize(("backend", "program"), [("ipset", "ipset"), ("nftables", "nft")])
def test_a_flush_that_a_firewall_did_not_hear_of_is_owed_too(
    tmp_path: Path, programs: Programs, backend: str, program: str
) -> None:
    host = Small(tmp_path, backend=f"{backend}, mode: enforce")
    with host.running() as daemon:
        burst(host, 1)
        assert len(host.bans()) == MANY
        programs.hang(program)
        assert f"{program} hangs" in byhand.flush(daemon, {})["trouble"]
        programs.heal()
        assert len(daemon.state.bans(host.hands.wall)) == 0
        recovered(host)
        assert host.bans() == {}


@pytest.mark.root
@pytest.mark.slow
def test_where_iptables_hangs_the_sets_are_filled_all_the_same_and_the_rule_comes_back(
    tmp_path: Path, programs: Programs
) -> None:
    host = Small(tmp_path, backend="ipset, mode: enforce")
    with host.running():
        programs.hang("iptables", "ip6tables")
        next_round(host)
        assert programs.started() == ["iptables", "ip6tables"]
        burst(host, 1)
        assert len(host.bans()) == MANY
        assert [each.split()[0] for each in problems(host)[-2:]] == ["ip6tables", "iptables"]
        run("/usr/sbin/iptables -t raw -F")
        programs.heal()
        recovered(host)
        assert "logwarden4" in run("iptables -t raw -S")
        assert not [each for each in problems(host) if "hangs" in each]


@pytest.mark.root
@pytest.mark.slow
def test_a_stop_that_shall_lift_all_bans_does_not_wait_for_a_firewall_that_hangs(
    tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logwarden.daemon.STOP", 1.0)
    host = Small(tmp_path, backend="nftables, mode: enforce, on_stop: remove")
    with host.running():
        programs.hang("nft")
        begun = time.monotonic()
    assert time.monotonic() - begun < WATCHDOG


class Ticking:
    """A clock that goes on by `step` whenever it is asked."""

    def __init__(self, step: float) -> None:
        self.now, self._step = 0.0, step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


def test_many_slow_commands_of_a_turn_have_one_bound_together() -> None:
    breaker = Breaker(Ticking(4.0), 20.0)
    assert [breaker(("echo", str(n))) for n in range(5)] == [f"{n}\n" for n in range(5)]
    with pytest.raises(FirewallError, match="echo was not run: the firewall has already taken 20 s of this turn"):
        breaker(("echo", "5"))
    assert breaker.faults == []
    breaker.begin(20.0)
    assert breaker(("echo", "6")) == "6\n"


def test_a_program_that_fails_answers() -> None:
    breaker = Breaker(Ticking(0.0), 0.1)
    with pytest.raises(FirewallError, match="sleep hangs"):
        breaker(("sleep", "60"))
    breaker.retry()
    breaker.begin(600.0)
    assert breaker.faults == ["sleep hangs; what it was to do is owed, and tried again each minute"]
    with pytest.raises(FirewallError, match="sleep never: exit 1"):
        breaker(("sleep", "never"))
    assert breaker.faults == []


@pytest.fixture
def breaker(monkeypatch: pytest.MonkeyPatch) -> tuple[Breaker, dict[str, float]]:
    """One whose programs take as many seconds as the dict says, by its clock, or as many as they are given."""
    takes: dict[str, float] = {}
    clock = [0.0]

    def command(argv: Sequence[str], lines: Iterable[str], timeout: float) -> str:
        clock[0] += min(takes[argv[0]], timeout)
        if takes[argv[0]] > timeout:
            raise HungError(argv[0])
        return ""

    monkeypatch.setattr("logwarden.firewall.breaker.command", command)
    return Breaker(lambda: clock[0], 20.0), takes


def test_a_program_for_which_hardly_any_time_was_left_is_not_said_to_hang(
    breaker: tuple[Breaker, dict[str, float]],
) -> None:
    asked, takes = breaker
    takes.update(ipset=9.95, iptables=0.1)
    for _ in range(2):
        asked(["ipset"])
    takes.update(iptables=0.2)
    with pytest.raises(FirewallError, match="iptables was ended"):
        asked(["iptables"])
    assert asked.faults == []
    asked.begin(20.0)
    asked(["iptables"])


def test_a_program_that_has_nothing_left_to_do_is_no_longer_said_to_hang(
    breaker: tuple[Breaker, dict[str, float]],
) -> None:
    """What it was to do it had done, and only its answer came too late."""
    asked, takes = breaker
    takes.update({"iptables-restore": 100.0})
    with pytest.raises(FirewallError, match="hangs"):
        asked(["iptables-restore"])
    for _ in range(2):
        assert len(asked.faults) == 1
        asked.begin(20.0)
        asked.retry()
    assert asked.faults == []
