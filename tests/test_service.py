"""The Debian package, installed in a real booted systemd: what the service does there, and what it leaves behind."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from booted import Machine
from installed import (
    CONFIG,
    ROOT,
    SERVICE,
    active,
    attack,
    banned,
    build,
    building,
    enforce,
    install,
    killed,
    read,
    shows,
    status,
)

pytestmark = [pytest.mark.root, pytest.mark.slow]

METRICS = ("logwarden-metrics.service", "logwarden-textfile.service", "logwarden-textfile.timer")
"""The units of the page on metrics, in its order."""


def test_the_package_built_again_is_the_same_to_the_byte(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = deb.read_bytes()
    with building(tmp_path_factory.getbasetemp()) as place:
        (place / "again").mkdir()
        assert build(place / "again").read_bytes() == first


def test_installed_it_observes_bans_when_told_to_and_leaves_nothing(machine: Machine) -> None:
    install(machine)
    machine.until(lambda: active(machine), "the start")
    assert status(machine)["mode"] == "observe"
    attack(machine, "203.0.113.7")
    machine.run("logger", "-t", "oddity", "a line that no rule knows")
    machine.until(lambda: "no rule knows" in machine.out("logwarden", "digest", "--preview"), "the line in the digest")
    assert firewall_rules(machine) == []
    machine.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", SERVICE)  # man would keep a page
    machine.run("systemd-analyze", "security", "--threshold=20", SERVICE)
    for test in ("observes", "service"):  # as autopkgtest runs them
        shutil.copy(ROOT / "packaging/debian/tests" / test, machine.root / "root")
        machine.run("env", "AUTOPKGTEST_TMP=/tmp", f"/root/{test}")

    enforce(machine)
    attack(machine, "203.0.113.9")
    machine.until(lambda: banned(machine, "203.0.113.9"), "the ban")
    assert firewall_rules(machine) != []
    before = read(machine)
    machine.run(
        "systemd-run",
        "--unit=chatter",
        "sh",
        "-c",
        "for n in $(seq 1 200); do logger -t chatter line $n of it; sleep 0.02; done",
    )
    local = machine.root / "etc/logwarden/ignore.d/local.rules"
    local.write_text("# mine\n")
    install(machine)  # once more: an upgrade
    assert local.read_text() == "# mine\n"
    machine.until(lambda: active(machine), "the restart")
    assert banned(machine, "203.0.113.9")
    assert status(machine)["mode"] == "enforce"  # what was edited stays
    machine.until(
        lambda: "chatter" in str(machine.out("logwarden", "digest", "--preview")) and read(machine) >= before + 200,
        "every line of the chatter",
    )

    machine.run("dpkg", "-r", "logwarden", timeout=120)
    assert machine.out("ipset", "list", "-name") == ""
    assert firewall_rules(machine) == []
    machine.run("dpkg", "-P", "logwarden", timeout=120)
    left = machine.out(
        "find",
        "/etc",
        "/var/lib",
        "/var/cache",
        "/usr/lib",
        "/usr/bin",
        "/usr/share",
        "/run",
        "/lib/systemd",
        "-name",
        "*logwarden*",
        "-not",
        "-path",
        "/run/log/*",
    )
    assert left == ""
    assert machine.run("getent", "passwd", "logwarden", check=False).returncode == 2


def test_the_service_lives_in_its_sandbox_and_comes_back_from_whatever_kills_it(machine: Machine) -> None:
    drop_in = machine.root / "etc/systemd/system/logwarden.service.d"
    drop_in.mkdir(parents=True)
    (drop_in / "quick.conf").write_text("[Service]\nWatchdogSec=5s\nRestartSec=200ms\n")
    nginx = machine.root / "var/log/nginx"
    machine.run("install", "-d", "-m", "750", "-g", "adm", "/var/log/nginx")
    (nginx / "access.log").touch()
    machine.run("chown", "www-data:adm", "/var/log/nginx/access.log")
    machine.run("chmod", "640", "/var/log/nginx/access.log")
    answer = "echo logwarden logwarden/enforce boolean true | debconf-set-selections"
    machine.run("sh", "-c", answer)
    install(machine)
    machine.until(lambda: active(machine), "the start")
    assert status(machine)["mode"] == "enforce"
    enforce(machine)
    attack(machine, "203.0.113.9")
    machine.until(lambda: banned(machine, "203.0.113.9"), "the ban")
    assert any("/var/log/nginx/access.log" in each["read"] for each in status(machine)["presets"])  # type: ignore[attr-defined]

    process = dict(
        line.split(":\t", 1)
        for line in machine.out("cat", f"/proc/{shows(machine, 'MainPID')}/status").splitlines()
        if ":\t" in line
    )
    groups = {machine.out("getent", "group", name).split(":")[2] for name in ("adm", "systemd-journal")}
    assert int(process["CapEff"], 16) == int(process["CapBnd"], 16) == 1 << 12 | 1 << 13
    assert (process["NoNewPrivs"], process["Seccomp"]) == ("1", "2")
    assert groups <= set(process["Groups"].split())
    assert process["Uid"].split()[0] != "0"
    assert machine.out("stat", "-c", "%a %G", "/run/logwarden/control.sock") == "660 logwarden\n"

    machine.run("useradd", "--groups", "logwarden", "member")
    machine.run("useradd", "stranger")
    asked = machine.out("runuser", "-u", "member", "--", "logwarden", "status", "--json")
    assert json.loads(asked)["mode"] == "enforce"
    assert refused(machine, "member", "ban", "203.0.113.11") == "ban is for root"
    assert refused(machine, "member", "unban", "203.0.113.9") == "unban is for root"
    assert "Permission denied" in refused(machine, "stranger", "status")
    assert not banned(machine, "203.0.113.11")
    assert banned(machine, "203.0.113.9")

    (machine.root / "etc/logwarden/ignore.d/local.rules").write_text("cups: broken(\n")
    machine.until(lambda: own_log(machine), "our word on the broken rule, in the journal")
    said = own_log(machine)[0]
    assert (said["PRIORITY"], said["SYSLOG_IDENTIFIER"], said["LOGWARDEN_KIND"]) == ("4", "logwarden", "refused")
    machine.run("logger", "-t", "oddity", "a line after it")
    machine.until(lambda: "a line after it" in machine.out("logwarden", "events", "--json"), "the line after it")
    assert machine.out("logwarden", "events", "--program", "logwarden", "--json") == ""

    for name, unit in zip(METRICS, units("metrics.md"), strict=True):
        (machine.root / "etc/systemd/system" / name).write_text(unit)
    textfile = "/var/lib/prometheus/node-exporter/logwarden.prom"
    machine.run("install", "-d", "-o", "member", str(Path(textfile).parent))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", *METRICS)
    assert "logwarden_up 1.0\n" in machine.out("cat", textfile)
    scrape = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9735/metrics').read().decode())"
    machine.until(
        lambda: "logwarden_up 1.0\n" in machine.run("python3", "-c", scrape, check=False).stdout, "the metrics"
    )
    machine.run("systemctl", "stop", *METRICS)

    killed(machine, "SEGV")
    assert banned(machine, "203.0.113.9")
    killed(machine, "STOP")  # the watchdog's
    assert "watchdog" in machine.journal("-u", SERVICE).lower()
    machine.run("systemctl", "restart", SERVICE)
    assert banned(machine, "203.0.113.9")

    if (machine.root / "usr/sbin/exim4").exists():
        machine.run("systemctl", "start", "exim4.service", timeout=120)
        machine.run("logger", "-t", "oddity", "a line that no rule knows")
        machine.until(
            lambda: "no rule knows" in machine.out("logwarden", "digest", "--preview"), "the line in the digest"
        )
        machine.run("logwarden", "digest", "--now")
        machine.until(
            lambda: "no rule knows" in machine.run("sh", "-c", "cat /var/mail/*", check=False).stdout, "the mail"
        )

    machine.run("systemctl", "stop", SERVICE)
    assert (shows(machine, "ActiveState"), shows(machine, "Result")) == ("inactive", "success")
    assert banned(machine, "203.0.113.9")


def firewall_rules(machine: Machine) -> list[str]:
    """Our rules in the kernel: in the raw table, of which `iptables -S` alone says nothing."""
    listed = machine.out("iptables", "-t", "raw", "-S") + machine.out("ip6tables", "-t", "raw", "-S")
    return [line for line in listed.splitlines() if "logwarden" in line]


def own_log(machine: Machine) -> list[dict[str, str]]:
    """What the daemon said of a broken rule, with its fields."""
    entries = map(json.loads, machine.journal("-u", SERVICE, "-o", "json").splitlines())
    return [entry for entry in entries if entry.get("LOGWARDEN_ABOUT") == "rules"]


def refused(machine: Machine, user: str, *command: str) -> str:
    """What `user` is told, who may not give this command."""
    done = machine.run("runuser", "-u", user, "--", "logwarden", *command, check=False)
    assert done.returncode == 1, done.stdout
    return done.stderr.strip()


def groups(machine: Machine) -> set[str]:
    """The groups that the daemon's process has."""
    numbers = machine.out("grep", "^Groups:", f"/proc/{shows(machine, 'MainPID')}/status").split()[1:]
    return {machine.out("getent", "group", number).partition(":")[0] for number in numbers}


def units(page: str) -> list[str]:
    """The units that a page gives to be copied."""
    return re.findall(r"^```ini\n(.*?)^```$", (ROOT / "packaging/doc" / page).read_text(), re.M | re.S)


def of_logcheck(machine: Machine) -> tuple[list[str], int]:
    """What the daemon says of logcheck's rules, and how many ignore rules there are; none yet, where it starts."""
    done = machine.run("logwarden", "status", "--json", check=False)
    answer = json.loads(done.stdout) if done.returncode == 0 else {"problems": [], "rules": {"ignore": 0}}
    problems = [each for each in answer["problems"] if each.startswith("/etc/logcheck")]
    return problems, answer["rules"]["ignore"]


def test_rules_of_an_installed_logcheck_are_read_and_where_they_cannot_be_it_is_said(
    machine: Machine, tmp_path: Path
) -> None:
    """Debian's logcheck leaves /etc/logcheck to its group alone, and may be installed before us or after us."""
    fetched = subprocess.run(["apt-get", "download", "-qq", "logcheck"], cwd=tmp_path, capture_output=True, check=False)
    if fetched.returncode or not Path("/etc/logcheck/ignore.d.server").is_dir() or shutil.which("logcheck"):
        pytest.skip("needs logcheck's package from apt, and logcheck-database installed without it")
    shutil.copy(next(tmp_path.glob("logcheck_*.deb")), machine.root / "root/logcheck.deb")
    install(machine)
    config = machine.root / CONFIG
    config.write_text(config.read_text() + "\nlogcheck: {rules: true}\n")
    machine.run("systemctl", "restart", SERVICE, timeout=300)
    assert of_logcheck(machine)[0] == [], "logcheck-database alone lets everybody read its rules"
    assert "logcheck" not in groups(machine)

    machine.run("dpkg", "--force-depends", "-i", "/root/logcheck.deb", timeout=300)
    assert machine.out("stat", "-c", "%a %G", "/etc/logcheck") == "750 logcheck\n"
    machine.until(lambda: of_logcheck(machine)[1] > 1_000, "logcheck's rules in force after the restart")
    assert of_logcheck(machine)[0] == []
    assert groups(machine) >= {"adm", "systemd-journal", "logcheck"}

    (machine.root / "etc/logcheck/ignore.d.server/local.conf").write_text("^x\n")
    machine.until(lambda: of_logcheck(machine)[0], "the misnamed file")
    assert "local.conf:1: skipped: its name is not of letters" in of_logcheck(machine)[0][0]

    machine.run("gpasswd", "-d", "logwarden", "logcheck")
    machine.run("systemctl", "restart", SERVICE, timeout=300)
    said = (
        "/etc/logcheck:1: cannot be read: Permission denied: /etc/logcheck is for the group logcheck: "
        "usermod -aG logcheck logwarden, then start logwarden anew"
    )
    assert of_logcheck(machine)[0] == [said]
    assert "".join(said.split()) in "".join(machine.out("logwarden", "digest", "--preview").split())
    doctor = " ".join(machine.run("logwarden", "doctor", check=False).stdout.split())
    assert "usermod -aG logcheck logwarden" in doctor

    install(machine)
    machine.until(lambda: of_logcheck(machine)[1] > 1_000, "logcheck's rules in force after an upgrade")
