"""The rules that we ship: all in force, true to their samples, and deaf to what strangers write into a line."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import jsonschema
import pytest
import yaml
from forgeries import FORGED, cut, forgeries, places

from logwarden import matcher, rules, tracker
from logwarden.matcher import Matcher
from logwarden.matcher.freetext import comes_first
from logwarden.matcher.regex_engine import RegexEngine
from logwarden.model import AttackRule, Batch, Outcome, RuleSet, Sample, Severity, Verdict
from logwarden.tracker.cut import LEAST

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
NOW = 1_795_366_800.0
DOCUMENTATION = [ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]
ATTACK_FILES = sorted((ROOT / "attack.d").glob("*.yaml"))
IGNORE_FILES = sorted((ROOT / "ignore.d").rglob("*.rules"))
IGNORE_SAMPLES = ROOT / "tests" / "ignore-samples"


@functools.cache
def shipped() -> RuleSet:
    return rules.load(
        ignore=[str(ROOT / "ignore.d")], attack=[str(ROOT / "attack.d")], level="workstation", aggressive=True
    )


@functools.cache
def portable() -> Matcher:
    """All shipped rules, on the engine that starts at once."""
    return matcher.compile(shipped(), portable=True)


def program_of(rule: AttackRule) -> str:
    """A program that a rule is for."""
    return next(
        (name for name in rule.programs if not set(name) & set("*?[")), rule.programs[0].replace("*", "x").split("[")[0]
    )


def line_of(program: str, message: str) -> str:
    """A message as syslog would write it."""
    return f"Nov 22 17:00:00 host {program}[42]: {message}"


def said(pairs: Sequence[tuple[str, str]], made: Matcher) -> tuple[Verdict, ...]:
    """What the rules make of (program, message) pairs."""
    return judged([line_of(*pair) for pair in pairs], made)


def judged(lines: Sequence[str], made: Matcher) -> tuple[Verdict, ...]:
    """What the rules make of whole lines."""
    block = "".join(f"{line}\n" for line in lines)
    return made.classify(Batch("test", block.encode(), len(lines), ""), NOW, every=True).verdicts


# --- attack.d -------------------------------------------------------------------------------------------------------


def test_no_shipped_rule_is_refused() -> None:
    assert [str(refusal) for refusal in (*shipped().refused, *portable().refused)] == []


def test_no_shipped_rule_is_refused_as_most_people_use_them() -> None:
    ruleset = rules.load(ignore=[str(ROOT / "ignore.d")], attack=[str(ROOT / "attack.d")])
    assert [str(refusal) for refusal in ruleset.refused] == []


@pytest.mark.parametrize("file", ATTACK_FILES, ids=lambda file: file.stem)
def test_each_attack_file_is_as_the_schema_has_it(file: Path) -> None:
    """Asked of jsonschema itself, of what PyYAML itself reads."""
    schema = json.loads((ROOT / "logwarden" / "rules" / "attack.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(file.read_text()))


def is_recognised(rule: AttackRule, sample: Sample, verdict: Verdict) -> bool:
    """Whether the line is an attack by its address, or else says who it was in its session."""
    if rule.severity is Severity.CONTEXT:
        return (rule, sample.address) in verdict.contexts
    return (verdict.outcome, verdict.address) == (Outcome.ATTACK, sample.address)


def samples_are_recognised(made: Matcher) -> None:
    pairs = [(rule, sample) for rule in shipped().attack for sample in rule.samples if not sample.after]
    verdicts = said([(program_of(rule), sample.line) for rule, sample in pairs], made)
    for (rule, sample), verdict in zip(pairs, verdicts, strict=True):
        assert is_recognised(rule, sample, verdict), f"{rule}: {sample.line}"


def test_each_sample_is_an_attack_by_its_address() -> None:
    samples_are_recognised(portable())


def test_each_sample_is_an_attack_by_its_address_for_hyperscan_too() -> None:
    samples_are_recognised(matcher.compile(shipped()))


@pytest.mark.parametrize(
    ("stamp", "first"),
    [
        ("2026-11-22 17:00:00", ""),
        ("2026-11-22T17:00:00.123", ""),
        ("Sun Nov 22 17:00:00 2026", ""),
        ("@400000006b03118a1dcd6500", ""),
        ("Nov 22 17:00:00", r"[^\w./:@(]"),  # what begins otherwise has a host there
    ],
)
def test_each_sample_is_an_attack_behind_a_stamp_alone_where_any_program_may_have_written_it(
    stamp: str, first: str
) -> None:
    pairs = [(rule, each) for rule in shipped().attack for each in rule.samples if not each.after]
    pairs = [(rule, sample) for rule, sample in pairs if re.match(first, sample.line)]
    block = "".join(f"{stamp} {sample.line}\n" for _, sample in pairs).encode()
    verdicts = portable().classify(Batch("test", block, len(pairs), "", "*"), NOW, every=True).verdicts
    for (rule, sample), verdict in zip(pairs, verdicts, strict=True):
        assert is_recognised(rule, sample, verdict), f"{rule}: {sample.line}"


def test_no_attack_rule_is_too_large_for_hyperscan() -> None:
    """One alone would have every line looked at by the `regex` engine too, which doubles the price of a line."""
    engines = matcher.compile(RuleSet(attack=shipped().attack))._engines
    others = [each for each in engines if isinstance(each, RegexEngine)]
    assert [pattern.name for each in others for pattern in each.patterns.values()] == []


def test_an_attempt_of_which_two_of_asterisks_logs_tell_counts_once_in_each_of_two_files() -> None:
    failed = "Request 'REGISTER' from '<sip:100@192.0.2.1>' failed for '203.0.113.9:5060' (callid: x)"
    event = (
        'SecurityEvent="ChallengeResponseFailed",EventTV="2026-11-22T17:00:00.000+0000",Severity="Error",'
        'Service="PJSIP",EventVersion="1",AccountID="100",SessionID="x",LocalAddress="IPV4/UDP/192.0.2.1/5060",'
        'RemoteAddress="IPV4/UDP/203.0.113.9/5060",Challenge="0",Response="x",ExpectedResponse=""'
    )
    lines = [
        f"NOTICE[8] res_pjsip/pjsip_distributor.c: {failed} - Failed to authenticate",
        f"SECURITY[8] res_security_log.c: {event}",
    ]
    verdicts = said([("asterisk", line) for line in lines], portable())
    files = [verdict.attack_by.file for verdict in verdicts if verdict.attack_by and verdict.address == "203.0.113.9"]
    assert sorted(files) == ["asterisk-security.yaml", "asterisk.yaml"]


def test_no_near_miss_is_taken_for_an_attack_by_its_rule() -> None:
    pairs = [(rule, line) for rule in shipped().attack for line in rule.near_misses]
    verdicts = said([(program_of(rule), line) for rule, line in pairs], portable())
    for (rule, line), verdict in zip(pairs, verdicts, strict=True):
        assert rule not in (verdict.attack_by, *(each.rule for each in verdict.contexts)), f"{rule}: {line}"


def test_each_rule_has_a_near_miss() -> None:
    assert [str(rule) for rule in shipped().attack if not rule.near_misses] == []


def test_ids_are_unique_across_files() -> None:
    assert [name for name, count in Counter(rule.id for rule in shipped().attack).items() if count > 1] == []


def test_what_strangers_write_never_names_somebody_else() -> None:
    made = [
        (rule, sample, line)
        for rule in shipped().attack
        for sample in rule.samples
        for line in dict.fromkeys(forgeries(rule, sample))
    ]
    assert len(made) > 5_000
    verdicts = said([(program_of(rule), line) for rule, _, line in made], portable())
    fooled = [
        f"{rule}: {line}"
        for (rule, sample, line), verdict in zip(made, verdicts, strict=True)
        if {verdict.address, *(each.address for each in verdict.contexts)} - {None, sample.address}
    ]
    assert fooled == []


def test_no_line_counts_that_may_have_been_cut_behind_what_a_stranger_wrote() -> None:
    made = [(rule, line) for rule in shipped().attack for sample in rule.samples for line in cut(rule, sample, LEAST)]
    verdicts = said([(program_of(rule), line) for rule, line in made], portable())
    fooled = [verdict for verdict in verdicts if verdict.outcome is Outcome.ATTACK and verdict.address in FORGED]
    assert len({verdict.attack_by for verdict in fooled}) > 50, "the rules alone cannot know"
    assert [f"{verdict.attack_by}: {verdict.event.message}" for verdict in fooled if tracker.counts(verdict)] == []
    contexts = [(each, verdict.event) for verdict in verdicts for each in verdict.contexts if each.address in FORGED]
    assert [f"{each.rule}: {event.message}" for each, event in contexts if not tracker.doubt(each.rule, event)] == []


def test_a_json_object_counts_however_long_it_is() -> None:
    made = [
        (rule, sample, re.sub(r"\} *$", f',"headers":"{"A" * LEAST}"}}', sample.line))
        for rule in shipped().attack
        if rule.fields
        for sample in rule.samples
        if sample.line.startswith("{")
    ]
    assert {rule for rule, _, _ in made} == {rule for rule in shipped().attack if rule.fields}
    verdicts = said([(program_of(rule), line) for rule, _, line in made], portable())
    for (rule, sample, line), verdict in zip(made, verdicts, strict=True):
        assert (verdict.attack_by, verdict.address) == (rule, sample.address), line
        assert tracker.counts(verdict), f"{rule}: {line}"


def test_a_json_object_that_was_cut_is_none() -> None:
    """Wherever it ends, and whatever a stranger wrote there: nobody but the daemon writes a quotation mark as it is."""
    made = [
        (program_of(rule), line)
        for rule in shipped().attack
        if rule.fields
        for sample in rule.samples
        if sample.line.startswith("{")
        for line in (
            *(sample.line[:end] for end in range(len(sample.line.rstrip(" ")))),
            *(sample.line[: place.end()] + words for place in places(sample) for words in ("}}}", r"\"}", r"\\\"}}")),
        )
    ]
    verdicts = said(made, portable())
    assert [verdict.event.message for verdict in verdicts if verdict.attack_by and verdict.attack_by.fields] == []


STRANGER_FIRST = frozenset(
    {
        "3proxy-refused",
        "exim-rejected-by-scan",
        "firefly-login-failed",
        "froxlor-login-failed",
        "gitea-login-failed",
        "guacamole-failed",
        "keycloak-login-error",
        "login-failed",
        "ocserv-login-failed",
        "pure-ftpd-failed",
        "sshd-change-of-user",
        "sshd-failed-login-of-old",
        "vsftpd-pam-failure",
    }
)
"""Rules in which something that a stranger writes may stand before the address, though not in each of their samples: a
name, a sender, X-Forwarded-For."""


def test_nobody_escapes_with_long_words_behind_his_address() -> None:
    """The rule says what the daemon writes before it so narrowly that it cannot be a stranger's."""
    made = [
        (rule, sample, sample.line[: place.end()] + "A" * LEAST + sample.line[place.end() :])
        for rule in shipped().attack
        for sample in rule.samples
        if rule.severity is Severity.ATTACK and not sample.after and sample.address and sample.address in sample.line
        if not any(place.start() < sample.line.index(sample.address) for place in places(sample))
        for place in places(sample)
    ]
    verdicts = said([(program_of(rule), line) for rule, _, line in made], portable())
    found = [
        verdict
        for (rule, sample, _), verdict in zip(made, verdicts, strict=True)
        if (verdict.attack_by, verdict.address) == (rule, sample.address)
    ]
    assert len({verdict.attack_by for verdict in found}) > 100
    escaped = {verdict.attack_by.id for verdict in found if verdict.attack_by and not tracker.counts(verdict)}
    assert sorted(escaped) == sorted(STRANGER_FIRST)


NAMED_BEFORE_THE_CLIENT = frozenset(
    {"lighttpd-auth-failed", "nginx-basic-auth", "nginx-no-index", "nginx-no-such-script", "nginx-pam-auth"}
)
"""Rules of web servers that write the user or the file, which may be a stranger's words, before his address."""


def test_what_a_web_server_says_counts_however_long_it_is_but_for_what_it_names_before_the_client() -> None:
    servers = re.compile(r"(apache|nginx|lighttpd|caddy|traefik|haproxy|web)(-\w+)?\.yaml")
    first = [rule.id for rule in shipped().attack if servers.fullmatch(rule.file) and comes_first(rule)]
    assert sorted(first) == sorted(NAMED_BEFORE_THE_CLIENT)


def test_a_long_line_counts_by_a_rule_that_has_the_address_first() -> None:
    line = (
        f'203.0.113.9 - - [22/Nov/2026:17:00:00 +0000] "GET /{"A" * 2_000}/../../etc/passwd HTTP/1.1" 404 153 "-" "-"'
    )
    (verdict,) = said([("nginx", line)], portable())
    assert verdict.address == "203.0.113.9"
    assert tracker.counts(verdict)


OURS_ALONE = frozenset(
    {
        "apache-shellshock",
        "cowrie-connect",
        "dovecot-no-handshake",
        "dropbear-left",
        "fail2ban-ban",
        "freeswitch-acl",
        "haproxy-tls-failed",
        "ids-alert",
        "mysqld-aborted-before-login",
        "mysqld-host-blocked",
        "netfilter-refused",
        "nginx-tls-failed",
        "nrpe-no-handshake",
        "nsd-notify-refused",
        "openvpn-bad-packet",
        "openvpn-tls-error",
        "pf-blocked",
        "postfix-name-does-not-resolve",
        "postfix-tls-failed",
        "postscreen-gave-up",
        "proftpd-pass-failed",
        "qmail-bad-ip",
        "qmail-rblsmtpd-blocked",
        "scanlogd-scan",
        "slapd-bind-refused",
        "stunnel-peer-refused",
        "unbound-refused",
        "wu-ftpd-login-failed",
    }
)
"""Rules whose free text is the daemon's own, or a number."""


def test_a_rule_with_free_text_has_a_sample_that_shows_where_it_stands() -> None:
    """So that the test above means something."""
    free = re.compile(r"<USER>|<TEXT>|\.\*")
    bare = {
        rule.id
        for rule in shipped().attack
        if free.search(rule.regex) and not any(places(sample) for sample in rule.samples)
    }
    assert bare - OURS_ALONE == set()


# --- ignore.d -------------------------------------------------------------------------------------------------------


def ignore_samples(mark: str) -> list[tuple[str, str]]:
    """The (program, message) pairs that stand behind `mark` in tests/ignore-samples: '=' hidden, '!' reported."""
    lines = [line for file in sorted(IGNORE_SAMPLES.iterdir()) for line in file.read_text().splitlines()]
    marked = [line[2:] for line in lines if line.startswith(f"{mark} ")]
    return [(program, message) for program, message in (line.split(": ", 1) for line in marked)]


DAEMONS = """
systemd systemd-logind systemd-networkd systemd-resolved systemd-timesyncd systemd-tmpfiles systemd-udevd systemd-oomd
systemd-journald systemd-coredump kernel CRON anacron atd sshd sshd-session sudo su login newgrp passwd useradd pkexec
polkitd dbus-daemon rsyslogd logrotate apt.systemd.daily unattended-upgrade dpkg chronyd ntpd postfix/smtpd exim4
dovecot opendkim rspamd spamd amavis clamd freshclam named unbound dnsmasq dnsmasq-dhcp nginx apache2 php-fpm8.2
haproxy squid mariadbd postgres redis-server mongod dockerd containerd podman libvirtd NetworkManager ddclient
dhclient wpa_supplicant ModemManager snapd fwupd smartd mdadm zed lvm smbd rpc.mountd cupsd avahi-daemon ovpn-local
wg-quick charon munin-node nrpe prometheus prometheus-node-exporter zabbix_agentd snmpd fail2ban-server logwarden
netifd odhcpd procd dropbear hostapd pppd
"""
"""Who speaks on servers, desktops and the routers that forward their log."""


def test_each_daemon_has_samples_of_what_is_normal_or_of_what_is_not() -> None:
    known = {program for mark in "=!" for program, _ in ignore_samples(mark)}
    assert [name for name in DAEMONS.split() if name not in known] == []


PROGRAMS = """
systemd, systemd-logind, systemd-networkd, systemd-resolved, systemd-timesyncd, systemd-tmpfiles, systemd-udevd,
systemd-oomd, systemd-journald, systemd-coredump, kernel, cron, anacron, atd, sshd, sudo, su, login, passwd, PAM,
polkit, D-Bus, rsyslog, logrotate, apt, unattended-upgrades, dpkg, needrestart, chrony, ntpsec, postfix, exim, dovecot,
opendkim, rspamd, spamassassin, amavis, clamav, bind, unbound, dnsmasq, nginx, apache, php-fpm, haproxy, squid, mariadb,
postgresql, redis, mongodb, docker, containerd, podman, libvirt, NetworkManager, ddclient, dhclient, wpa_supplicant,
ModemManager, snapd, fwupd, smartd, mdadm, zfs, lvm, samba, nfs, cups, avahi, openvpn, wireguard, strongswan, munin,
nagios-nrpe, prometheus exporters, zabbix-agent, snmpd, fail2ban, logwarden, OpenWrt, dropbear, hostapd
"""
"""What we promise to know, as people call it."""


def catalogue() -> dict[str, str]:
    """The table in ignore.d/README.md: program -> its files, or why it has none."""
    rows = re.findall(r"^\| (.+) \| (.+) \|$", (ROOT / "ignore.d" / "README.md").read_text(), re.MULTILINE)[1:]
    return {
        name if name[0] != "-" else f"systemd{name}": where for names, where in rows for name in re.split(", ", names)
    }


def test_each_program_has_a_file_or_a_reason_why_not() -> None:
    known = catalogue()
    assert [name for name in re.split(r",\s", PROGRAMS.strip()) if name.strip() not in known] == []
    bare = {name: where for name, where in known.items() if not re.search(r"\w/[\w.-]+\.rules", where)}
    assert sorted(bare) == ["apt", "logrotate", "needrestart", "systemd-coredump"]
    assert all(re.fullmatch("none: .{20,}", why) for why in bare.values())


def test_the_catalogue_names_each_file_and_no_other() -> None:
    named = {file for where in catalogue().values() for file in re.findall(r"\w+/[\w.-]+\.rules", where)}
    assert named == {str(file.relative_to(ROOT / "ignore.d")) for file in IGNORE_FILES}


def test_each_file_has_samples_of_what_is_reported_too() -> None:
    trouble = {file.name for file in IGNORE_SAMPLES.iterdir() if re.search("^! ", file.read_text(), re.MULTILINE)}
    assert [str(file) for file in IGNORE_FILES if file.stem not in trouble] == []


def test_no_ignore_rule_is_too_large_for_hyperscan() -> None:
    engines = matcher.compile(RuleSet(ignore=shipped().ignore))._engines
    others = [each for each in engines if isinstance(each, RegexEngine)]
    assert [pattern.name for each in others for pattern in each.patterns.values()] == []


def test_what_is_normal_is_hidden() -> None:
    pairs = ignore_samples("=")
    seen = {pair: verdict.outcome for pair, verdict in zip(pairs, said(pairs, portable()), strict=True)}
    assert [pair for pair, outcome in seen.items() if outcome is not Outcome.IGNORED] == []


def test_what_is_not_normal_is_reported() -> None:
    pairs = ignore_samples("!")
    seen = {pair: verdict.outcome for pair, verdict in zip(pairs, said(pairs, portable()), strict=True)}
    assert [pair for pair, outcome in seen.items() if outcome is Outcome.IGNORED] == []


def test_each_ignore_rule_hides_a_sample() -> None:
    verdicts = said(ignore_samples("="), portable())
    used = {verdict.ignored_by for verdict in verdicts}
    assert [f"{rule.where}: {rule.regex}" for rule in shipped().ignore if rule not in used] == []


# --- the files ------------------------------------------------------------------------------------------------------


def test_each_file_says_first_whose_messages_it_knows() -> None:
    assert [str(file) for file in (*ATTACK_FILES, *IGNORE_FILES) if not file.read_text().startswith("# ")] == []


def test_samples_hold_nobodys_addresses() -> None:
    texts = [text for rule in shipped().attack for text in (*(s.line for s in rule.samples), *rule.near_misses)]
    found = {each for text in texts for each in re.findall(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])", text)}
    assert [each for each in sorted(found) if not _is_for_documentation(each)] == []


def _is_for_documentation(text: str) -> bool:
    address = ip_address(text)
    return (
        address.is_unspecified
        or address.is_loopback
        or any(address in net for net in DOCUMENTATION if net.version == address.version)
    )


def test_forged_addresses_are_in_no_sample() -> None:
    lines = [sample.line for rule in shipped().attack for sample in rule.samples]
    assert [line for line in lines if any(forged in line for forged in FORGED)] == []


def test_a_waiver_says_why_and_names_its_lines_by_hash_alone() -> None:
    groups = yaml.safe_load((ROOT / "tests" / "corpus-waivers.yaml").read_text())
    lines = [each for group in groups for each in group["lines"]]
    assert all(len(group["why"]) > 20 for group in groups)
    assert all(isinstance(each, str) and re.fullmatch("[0-9a-f]{16}", each) for each in lines)
    assert len(lines) == len(set(lines))
