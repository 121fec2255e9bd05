"""`logwarden doctor`: what it finds amiss, and that each finding has its remedy. The machine is a directory."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from logwarden import config, control, diagnosis, identity, process
from logwarden.diagnosis import Finding
from logwarden.errors import CommandError, EdgeError
from logwarden.identity import Identity, allows

UID, ADM, JOURNAL = 971, 4, 973
ORDINARY = Identity(UID, frozenset({UID, ADM, JOURNAL}), 0)
BOTH = 1 << 12 | 1 << 13


class Machine:
    """A directory with a /proc, a state directory and logs; an account `logwarden`, and the groups of the unit."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place, self.socket = place, place / "run" / "control.sock"
        for name in ("run", "state", "proc/sys/fs/inotify"):
            (place / name).mkdir(parents=True)
        (place / "state").chmod(0o750)
        self.groups = {"adm": ADM, "systemd-journal": JOURNAL}
        self.accounts = {"logwarden": UID}
        self.unit = ["adm", "systemd-journal"]
        self.clock = "yes"
        monkeypatch.setattr(identity, "PROC", place / "proc")
        monkeypatch.setattr(process, "run", self._run)
        monkeypatch.setattr(pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=self.accounts[name], pw_gid=UID))
        monkeypatch.setattr(grp, "getgrnam", lambda name: SimpleNamespace(gr_gid=self.groups[name]))
        monkeypatch.setattr(os, "getgrouplist", lambda _name, gid: [gid])

    def _run(self, argv: Sequence[str]) -> bytes:
        if argv[0] == "timedatectl":
            return f"{self.clock}\n".encode()
        if argv[0] == "systemctl":
            return " ".join(self.unit).encode()
        raise CommandError(f"{argv[0]}: No such file or directory")

    def process(self, pid: int, who: Identity = ORDINARY, name: str = "logwarden") -> None:
        (self.place / "proc" / str(pid)).mkdir()
        (self.place / "proc" / str(pid) / "status").write_text(
            f"Name:\t{name}\nUid:\t{who.uid}\t{who.uid}\t{who.uid}\t{who.uid}\nGid:\t{UID}\t{UID}\t{UID}\t{UID}\n"
            f"Groups:\t{' '.join(map(str, sorted(who.groups)))} \nCapEff:\t{who.capabilities:016x}\n"
        )

    def allow(self, **limits: int) -> None:
        for name, number in limits.items():
            (self.place / "proc/sys/fs/inotify" / name).write_text(f"{number}\n")

    def log(self, name: str, mode: int = 0o640) -> Path:
        file = self.place / "log" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        file.chmod(mode)
        return file

    def found(self, what: str, extra: str = "") -> list[Finding]:
        """What each examination of this name finds. That all that is amiss has its remedy goes for every test."""
        file = self.place / "logwarden.yaml"
        mail = "" if "mail:" in extra else "mail: {host: 127.0.0.1, port: 9}\n"
        file.write_text(f"state: {self.place}/state\nsocket: {self.socket}\n{mail}{extra}")
        findings = diagnosis.examine(config.load(str(file)))
        assert [finding for finding in findings if not finding.ok and not finding.remedy.strip()] == []
        return [finding for finding in findings if finding.what == what]

    def bad(self, what: str, extra: str = "") -> list[Finding]:
        return [finding for finding in self.found(what, extra) if not finding.ok]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.fixture
def answering(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Somebody listens at the control socket: this process, which is then the daemon's."""

    def status(*_: object, **__: object) -> dict[str, object]:
        return {"version": "1", "presets": [], "problems": []}

    monkeypatch.setattr(control, "ask", status)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(machine.socket))
        listener.listen()
        yield


def files(*paths: Path | str) -> str:
    return "sources:\n  files:\n" + "".join(f'    - {{path: "{path}"}}\n' for path in paths)


# --- the daemon and its user ----------------------------------------------------------------------------------------


def test_that_no_daemon_answers_is_amiss(machine: Machine) -> None:
    (finding,) = machine.bad("daemon")
    assert "systemctl start logwarden" in finding.remedy


def test_the_command_itself_is_not_taken_for_the_daemon(machine: Machine) -> None:
    machine.process(os.getpid(), ORDINARY._replace(capabilities=BOTH))
    (finding,) = machine.bad("capabilities", "bans: {mode: enforce}\n")
    assert "no daemon runs" in finding.found


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize("name", ["logwarden", "python3"])
def test_the_capabilities_are_those_of_the_process_that_answers(machine: Machine, name: str) -> None:
    machine.process(1, ORDINARY._replace(capabilities=BOTH))
    machine.process(os.getpid(), ORDINARY._replace(capabilities=1 << 12), name)
    (finding,) = machine.bad("capabilities", "bans: {mode: enforce}\n")
    assert finding.found == "the daemon lacks CAP_NET_RAW"
    assert "AmbientCapabilities=" in finding.remedy


@pytest.mark.usefixtures("answering")
def test_a_daemon_with_both_capabilities_is_well(machine: Machine) -> None:
    machine.process(os.getpid(), ORDINARY._replace(capabilities=BOTH))
    assert machine.bad("capabilities", "bans: {mode: enforce}\n") == []


def test_that_there_is_no_user_is_amiss(machine: Machine) -> None:
    machine.accounts.clear()
    (finding,) = machine.bad("user")
    assert (finding.found, finding.remedy) == ("there is no user logwarden", "systemd-sysusers")
    assert len(machine.bad("logs", files("/var/log/shop.log"))) == 1


def test_that_there_is_no_such_group_is_amiss(machine: Machine) -> None:
    del machine.groups["adm"]
    (finding,) = machine.bad("user")
    assert (finding.found, finding.remedy) == ("no group adm", "groupadd --system adm")


def test_the_unit_gives_the_user_its_groups(machine: Machine) -> None:
    assert machine.bad("user") == []
    machine.unit = ["adm"]
    (finding,) = machine.bad("user")
    assert finding.found.endswith("is not in systemd-journal")
    assert "usermod -aG systemd-journal" in finding.remedy


@pytest.mark.usefixtures("answering")
def test_a_daemon_that_was_started_without_the_groups_is_amiss_whatever_the_unit_says(machine: Machine) -> None:
    machine.process(os.getpid(), ORDINARY._replace(groups=frozenset({UID})))
    (finding,) = machine.bad("user")
    assert finding.found.endswith("is not in adm and systemd-journal")
    assert "usermod -aG adm,systemd-journal" in finding.remedy


# --- what that user may read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "mode"), [("state", 0o755), ("run", 0o777)])
def test_a_directory_that_is_open_to_all_is_amiss(machine: Machine, name: str, mode: int) -> None:
    assert machine.bad("permissions") == []
    (machine.place / name).chmod(mode)
    (finding,) = machine.bad("permissions")
    assert finding.remedy.startswith("chmod o-")


def test_a_directory_that_is_not_there_is_amiss(machine: Machine) -> None:
    (machine.place / "state").rmdir()
    (finding,) = machine.bad("permissions")
    assert "mkdir" in finding.remedy


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has lstat say that all files are root's, of the group given, and that what lies above the test is open."""

    def own(machine: Machine, group: int) -> None:
        real = os.lstat

        def lstat(path: str) -> os.stat_result:
            info = real(path)
            inside = str(path).startswith(f"{machine.place}/")
            return os.stat_result((info.st_mode if inside else info.st_mode | 0o755, *info[1:4], 0, group, *info[6:10]))

        monkeypatch.setattr(os, "lstat", lstat)

    return own


def test_a_log_is_read_by_its_group_not_by_whoever_gives_the_command(
    machine: Machine, owned: Callable[..., None]
) -> None:
    log = machine.log("shop.log")
    owned(machine, ADM)
    assert machine.bad("logs", files(log)) == []
    owned(machine, 0)
    (finding,) = machine.bad("logs", files(log))
    assert f"{log} cannot be read by" in finding.found
    assert str(log) in finding.remedy


def test_what_a_glob_finds_is_judged_file_by_file(machine: Machine, owned: Callable[..., None]) -> None:
    machine.log("a.log")
    shut = machine.log("b.log", 0o600)
    owned(machine, ADM)
    (finding,) = machine.bad("logs", files(shut.parent / "*.log"))
    assert finding.remedy.endswith(str(shut))


@pytest.mark.parametrize(("mode", "by_name", "by_glob"), [(0o755, 0, 0), (0o711, 0, 1), (0o700, 1, 1)])
def test_a_directory_on_the_way_may_be_in_the_way(
    machine: Machine, owned: Callable[..., None], mode: int, by_name: int, by_glob: int
) -> None:
    log = machine.log("shop/a.log")
    machine.log("shop/b.log")
    log.parent.chmod(mode)
    owned(machine, 0)
    log.chmod(0o644)
    (log.parent / "b.log").chmod(0o644)
    assert len(machine.bad("logs", files(log))) == by_name
    found = machine.bad("logs", files(log.parent / "*.log"))
    assert [finding.remedy.endswith(str(log.parent)) for finding in found] == [True] * by_glob


@pytest.mark.usefixtures("answering")
def test_a_daemon_that_is_root_reads_all(machine: Machine, owned: Callable[..., None]) -> None:
    machine.process(os.getpid(), Identity(0, frozenset(), (1 << 41) - 1))
    owned(machine, 0)
    assert machine.bad("logs", files(machine.log("shop.log", 0o600))) == machine.bad("user") == []


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NAMED, THE_GROUP, GROUP, MASK = 0x02, 0x04, 0x08, 0x10


@pytest.mark.parametrize(
    ("mode", "entries", "allowed"),
    [
        (0o640, [], False),
        (0o640, [(NAMED, 4, UID), (THE_GROUP, 0, 0), (MASK, 4, 0)], True),
        (0o610, [(NAMED, 4, UID), (THE_GROUP, 0, 0), (MASK, 1, 0)], False),
        (0o640, [(NAMED, 4, UID + 1), (THE_GROUP, 0, 0), (MASK, 4, 0)], False),
        (0o640, [(THE_GROUP, 0, 0), (GROUP, 4, ADM), (MASK, 4, 0)], True),
        (0o640, [(NAMED, 0, UID), (THE_GROUP, 0, 0), (GROUP, 4, ADM), (MASK, 4, 0)], False),
        (0o604, [(NAMED, 4, UID), (THE_GROUP, 0, 0), (MASK, 0, 0)], True),  # it is one of all others
    ],
)
def test_an_acl_counts_as_the_kernel_has_it(mode: int, entries: list[tuple[int, int, int]], allowed: bool) -> None:
    info = os.stat_result((stat.S_IFREG | mode, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    assert allows(ORDINARY, info, acl(*entries) if entries else b"", os.R_OK) is allowed


# --- the machine ----------------------------------------------------------------------------------------------------


def test_a_clock_that_is_not_synchronised_is_amiss(machine: Machine) -> None:
    assert machine.bad("clock") == []
    machine.clock = "no"
    assert "systemd-timesyncd" in machine.bad("clock")[0].remedy


@pytest.mark.parametrize("low", ["max_user_watches", "max_user_instances"])
def test_each_limit_of_inotify_is_judged(machine: Machine, low: str) -> None:
    enough = {"max_user_watches": 65536, "max_user_instances": 128}
    machine.allow(**enough)
    assert machine.bad("inotify") == []
    machine.allow(**{low: 16})
    (finding,) = machine.bad("inotify")
    assert finding.found == f"{low} 16"
    assert f"fs.inotify.{low}={enough[low]}" in finding.remedy


def test_a_limit_of_inotify_that_cannot_be_read_is_amiss(machine: Machine) -> None:
    assert len(machine.bad("inotify")) == 2


def test_a_mail_server_that_does_not_answer_is_amiss(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (finding,) = machine.bad("mail", f"mail: {{host: 127.0.0.1, port: {port}}}\n")
    assert "Connection refused" in finding.found
    assert "mail.host" in finding.remedy


def test_logcheck_rules_that_may_not_be_read_have_a_remedy_though_the_daemon_knows_none(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = {"version": "1", "presets": [], "problems": ["/etc/logcheck:1: cannot be read: Permission denied"]}
    monkeypatch.setattr(control, "ask", lambda *_, **__: status)
    (finding,) = machine.bad("logcheck", "logcheck: {rules: true}\n")
    assert "/etc/logcheck" in finding.remedy


def test_whoever_may_not_ask_hears_of_no_process(tmp_path: Path) -> None:
    assert control.listener(str(tmp_path / "none")) is None
    with pytest.raises(EdgeError):
        control.ask(str(tmp_path / "none"), "status")
