"""A config that changes leaves nothing of the old one in the kernel: not over a restart, a reload, or for `flush`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from namespaces import namespaces, run
from small import Small
from test_firewall import NOW, ban, traces

from logwarden import byhand
from logwarden.cli.bans import flush
from logwarden.cli.withdraw import withdraw
from logwarden.errors import FirewallError
from logwarden.firewall import BACKENDS, Hook, Settings
from logwarden.state import FILE as DATABASE
from logwarden.traces import FILE, Trace, Traces

EVIL = "203.0.113.9"
ENFORCED = {
    "ipset": "backend: ipset, mode: enforce",
    "ipset INPUT": "backend: ipset, mode: enforce, hook: INPUT",
    "ipset OURS": "backend: ipset, mode: enforce, hook: OURS",
    "ipset none": "backend: ipset, mode: enforce, hook: none",
    "nftables": "backend: nftables, mode: enforce",
    "nftables INPUT": "backend: nftables, mode: enforce, hook: INPUT",
}
OBSERVED = "backend: ipset, mode: observe"
RULE = "-m set --match-set logwarden4 src -j DROP"


@pytest.fixture
def network() -> Iterator[None]:
    with namespaces(1) as (here,), here.inside():
        run("iptables -N OURS")
        run("ip6tables -N OURS")
        yield


@pytest.fixture
def host(tmp_path: Path, network: None) -> Small:
    return Small(tmp_path, backend=ENFORCED["ipset"].removeprefix("backend: "))


def put(host: Small, old: str, new: str) -> None:
    text = host.config.read_text()
    assert old in text
    host.config.write_text(text.replace(old, new))


def reloaded(host: Small) -> None:
    before = host.daemon.watch.config
    host.daemon.reload()
    host.step_until(lambda: host.daemon.watch.config != before)


def rules() -> list[str]:
    """All rules of ours in this namespace's kernel, in every chain."""
    saved = "".join(run(f"{command} -t {table}") for command in SAVE for table in ("raw", "filter", "mangle"))
    return [line for line in saved.splitlines() if "logwarden4" in line]


SAVE = ("iptables-save", "ip6tables-save")


def everything() -> str:
    return traces() + "".join(rules())


CHANGES = [
    ("ipset", "nftables"),
    ("nftables", "ipset"),
    ("ipset", "ipset INPUT"),
    ("ipset OURS", "ipset"),
    ("ipset", "ipset none"),
    ("nftables", "nftables INPUT"),
]


@pytest.mark.root
@pytest.mark.parametrize("over", ["restart", "reload"])
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_another_backend_or_hook_leaves_nothing_of_the_one_before(
    host: Small, before: str, after: str, over: str
) -> None:
    put(host, ENFORCED["ipset"], ENFORCED[before])
    with host.running() as daemon:
        host.attack(EVIL, 3)
        if over == "reload":
            put(host, ENFORCED[before], ENFORCED[after])
            reloaded(host)
            assert_only(after)
            assert not daemon.notices.latest
    if over == "restart":
        put(host, ENFORCED[before], ENFORCED[after])
        with host.running() as daemon:
            assert_only(after)
            assert not daemon.notices.latest
            host.bans()
            byhand.flush(daemon, {})
            assert everything() == ""


def assert_only(name: str) -> None:
    backend, _, hook = name.partition(" ")
    assert ("table inet logwarden" in traces()) == (backend == "nftables")
    assert ("logwarden4" in run("ipset list -name")) == (backend == "ipset")
    expected = [] if backend == "nftables" or hook == "none" else [f"-A {hook or 'PREROUTING'} {RULE}"]
    assert rules() == expected
    held = BACKENDS[backend](Settings(hook=Hook.parse(hook or "PREROUTING"))).list(NOW)
    assert list(held) == [f"{EVIL}/32"]


@pytest.mark.root
@pytest.mark.parametrize("name", ["ipset", "nftables", "ipset OURS"])
def test_a_config_that_only_observes_after_a_restart_bans_nobody_in_the_kernel(host: Small, name: str) -> None:
    put(host, ENFORCED["ipset"], ENFORCED[name])
    with host.running():
        host.attack(EVIL, 3)
    put(host, ENFORCED[name], OBSERVED)
    with host.running():
        assert everything() == ""


@pytest.mark.root
@pytest.mark.parametrize("command", [flush, withdraw])
@pytest.mark.parametrize("name", ["ipset OURS", "nftables"])
def test_flush_and_withdraw_without_a_daemon_remove_what_a_former_config_has_put_there(
    host: Small, name: str, command: object
) -> None:
    put(host, ENFORCED["ipset"], ENFORCED[name])
    with host.running():
        host.attack(EVIL, 3)
    put(host, ENFORCED[name], ENFORCED["ipset"])
    options = ["--yes"] if command is flush else []
    done = CliRunner().invoke(command, ["--config", str(host.config), *options])  # type: ignore[arg-type]
    assert done.exit_code == 0, done.output
    assert everything() == ""


@pytest.mark.root
def test_bans_of_a_damaged_database_are_recovered_from_the_backend_that_holds_them(host: Small) -> None:
    """One start after another: the config says nftables by now, and the kernel's truth is in ipset's sets."""
    with host.running() as daemon:
        host.attack(EVIL, 3)
        daemon.state.copy_cursors()
    (host.place / "state" / DATABASE).write_bytes(b"no database" * 1000)
    put(host, ENFORCED["ipset"], ENFORCED["nftables"])
    with host.running() as daemon:
        assert [made.attack for made in daemon.state.bans(host.hands.wall)] == ["recovered"]
        assert_only("nftables")


@pytest.mark.root
def test_a_set_that_another_firewall_looks_into_by_now_stays_in_force_when_our_rule_goes(host: Small) -> None:
    with host.running():
        host.attack(EVIL, 3)
    run(f"iptables -A OURS {RULE}")
    put(host, ENFORCED["ipset"], ENFORCED["ipset none"])
    with host.running() as daemon:
        assert rules() == [f"-A OURS {RULE}"]
        assert list(host.bans()) == [f"{EVIL}/32"]
        assert not daemon.notices.latest


@pytest.mark.root
def test_what_cannot_be_taken_out_is_said_and_tried_again(network: None, tmp_path: Path) -> None:
    ours = Trace("ipset", "raw/PREROUTING")
    subject = Traces(str(tmp_path))
    subject.settle(ours)
    BACKENDS["ipset"]().apply([ban(f"{EVIL}/32")], NOW)
    run(f"iptables -A OURS {RULE}")
    subject = Traces(str(tmp_path))
    with pytest.raises(FirewallError, match=r"ipset with hook raw/PREROUTING: .*in use"):
        subject.settle(Trace("nftables", "raw/PREROUTING"))
    run("iptables -F OURS")
    subject.settle(Trace("nftables", "raw/PREROUTING"))
    assert everything() == ""


@pytest.mark.root
def test_a_chain_that_is_gone_holds_no_rule_of_ours(network: None, tmp_path: Path) -> None:
    subject = Traces(str(tmp_path))
    subject.settle(ours := Trace("ipset", "filter/OURS"))
    ours.firewall().init()
    for command in ("iptables", "ip6tables"):
        run(f"{command} -F OURS")
        run(f"{command} -X OURS")
    subject.settle(None)
    assert everything() == ""


def test_nothing_is_written_down_where_nothing_is_put_into_the_kernel(tmp_path: Path) -> None:
    Traces(str(tmp_path)).settle(Trace.of("dry-run", Settings()))
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[["ipset", "-F"]]', '[["iptables", "INPUT"]]', "[[]]", "\0"])
def test_a_file_that_cannot_be_read_names_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    Traces(str(tmp_path)).clear(None)
