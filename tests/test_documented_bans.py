"""The pages about bans are true: their examples are taken from them as they stand, and run."""

from __future__ import annotations

import re
import shutil
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import parse_qs

import pytest
import yaml
from namespaces import Namespace, namespaces, run, wire
from test_firewall import until
from test_firewall_packets import EVIL4, EVIL6, FRIEND4, FRIEND6, HERE4, HERE6

from logwarden import config
from logwarden.actions import Actions
from logwarden.firewall import BACKENDS
from logwarden.model import Ban
from logwarden.settings import BansConfig

PAGES = Path(__file__).parent.parent / "packaging" / "doc"
FIREWALLS = ("shorewall", "firewalld", "ufw")
NOW = 1_700_000_000.0
PATIENCE = 20.0
BAN4 = Ban("203.0.113.9/32", NOW, NOW + 3600, "sshd.yaml", "sshd.yaml#failed: score 5 within 600 s & 'more' $(x)", 5)
BAN6 = Ban("2001:db8:9::/64", NOW, NOW + 3600, "sshd.yaml", "sshd.yaml#failed: score 5 within 600 s", 5)


def blocks(page: str, heading: str = "") -> list[str]:
    """The indented examples of a page, or of what stands under one of its headings."""
    text = (PAGES / page).read_text()
    if heading:
        text = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE)
    return [textwrap.dedent(block).strip("\n") for block in found if block.strip()]


# --- beside another firewall ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIREWALLS)
def test_there_is_a_page_for_each_firewall_and_the_config_in_it_can_be_used(name: str, tmp_path: Path) -> None:
    assert f"(firewalls/{name}.md)" in (PAGES / "bans.md").read_text()
    page = f"firewalls/{name}.md"
    text = "\n".join(blocks(page))
    given = re.findall(r"^# /etc/logwarden/logwarden.yaml\n(.*)$", text, re.MULTILINE)
    assert len(given) == 1
    file = tmp_path / "logwarden.yaml"
    file.write_text(given[0])
    assert config.load(str(file)).bans.firewall.hook is None
    assert {"logwarden4", "logwarden6"} <= set(re.findall(r"logwarden[46]", text))


RULES = {
    "ufw": [("iptables", "filter"), ("ip6tables", "filter")],
    "firewalld": [("iptables", "raw"), ("ip6tables", "raw")],
}


def documented_rules(name: str) -> list[str]:
    """The rules that the page has the other firewall make, as iptables takes them."""
    text = "\n".join(blocks(f"firewalls/{name}.md"))
    if name == "ufw":
        return re.findall(r"^-A \S+ -m set .*$", text, re.MULTILINE)
    direct = re.findall(r"--add-rule ipv[46] raw (PREROUTING) 0 (-m set .*)$", text, re.MULTILINE)
    return [f"-A {chain} {rule}" for chain, rule in direct]


@pytest.fixture
def there() -> Iterator[Namespace]:
    with namespaces(2) as (here, far):
        wire(here, far, [HERE4, HERE6], [EVIL4, EVIL6, FRIEND4, FRIEND6])
        with here.listen(HERE4), here.listen(HERE6), here.inside():
            yield far


@pytest.mark.root
@pytest.mark.parametrize("name", ["ufw", "firewalld"])
def test_the_rules_on_the_page_drop_what_is_in_the_sets(name: str, there: Namespace) -> None:
    made = re.findall(r"^\s*(ipset .*)$", "\n".join(blocks(f"firewalls/{name}.md")), re.MULTILINE)
    assert len(made) == (2 if name == "ufw" else 0)
    firewall = BACKENDS["ipset"](config.firewall.Settings(hook=None))
    for command in made:
        run(command)
    assert bool(firewall.init()) == (not made), "the sets on the page are as ours"
    rules = documented_rules(name)
    assert len(rules) == 2
    for rule, (command, table) in zip(rules, RULES[name], strict=True):
        chain = rule.split()[1]
        if chain != "PREROUTING":  # ufw's own, which its INPUT goes through
            run(f"{command} -N {chain}")
            run(f"{command} -A INPUT -j {chain}")
        run(f"{command} -t {table} {rule}")
    assert all(reaches(there, source) for source in (EVIL4, EVIL6))
    now = time.time()
    firewall.apply([Ban(prefix, now, now + 3600, "a", "b") for prefix in (f"{EVIL4}/32", "2001:db8:9::/64")], now)
    assert [reaches(there, source) for source in (EVIL4, EVIL6, FRIEND4, FRIEND6)] == [False, False, True, True]


def reaches(there: Namespace, source: str) -> bool:
    return there.reaches(source, HERE6 if ":" in source else HERE4)


# --- actions --------------------------------------------------------------------------------------------------------


class Web:
    """What somebody else's server is asked: path, headers, form."""

    def __init__(self) -> None:
        self.asked: SimpleQueue[tuple[str, dict[str, str], dict[str, list[str]]]] = SimpleQueue()
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                asked.put((self.path, dict(self.headers), parse_qs(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def web() -> Iterator[Web]:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    running = Web()
    thread = threading.Thread(target=running.server.serve_forever)
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


def documented(heading: str, place: Path, **elsewhere: str) -> BansConfig:
    """The config that the example makes, read as any other. `elsewhere`: what stands for a place that is not here."""
    *others, example = [block for block in blocks("actions.md", heading) if block.startswith("- ban:")]
    assert not others
    for there, here in elsewhere.items():
        assert there in example
        example = example.replace(there, here)
    file = place / "logwarden.yaml"
    file.write_text(yaml.safe_dump({"bans": {"actions": yaml.safe_load(example)}}))
    return config.load(str(file)).bans


@contextmanager
def acting(bans: BansConfig) -> Iterator[Actions]:
    """The actions, as the daemon runs them; what one of them has against it fails the test."""
    troubles: SimpleQueue[str] = SimpleQueue()
    actions = Actions(bans.actions, troubles.put)
    try:
        yield actions
    finally:
        actions.stop()
    assert troubles.empty(), troubles.get()


def test_the_webhook_says_who_was_banned_and_why(web: Web, tmp_path: Path) -> None:
    bans = documented("A webhook", tmp_path, **{"https://chat.example.org": web.url})
    with acting(bans) as actions:
        actions.banned([BAN4])
        path, _, form = web.asked.get(timeout=PATIENCE)
    assert path == "/hooks/abc"
    assert form == {"text": [f"banned 203.0.113.9: {BAN4.why}"]}


def test_the_report_to_abuseipdb_has_the_key_from_its_file(web: Web, tmp_path: Path) -> None:
    text = (PAGES / "actions.md").read_text()
    (line,) = re.findall(r"`(header = \"Key: YOURKEY\")`", text)
    (tmp_path / "abuseipdb").write_text(f"{line}\n")
    elsewhere = {"https://api.abuseipdb.com": web.url, "/etc/logwarden/abuseipdb": str(tmp_path / "abuseipdb")}
    bans = documented("A report to AbuseIPDB", tmp_path, **elsewhere)
    with acting(bans) as actions:
        actions.banned([BAN4])
        path, headers, form = web.asked.get(timeout=PATIENCE)
    assert path == "/api/v2/report"
    assert headers["Key"] == "YOURKEY"
    assert form == {"ip": ["203.0.113.9"], "categories": ["22"], "comment": ["sshd.yaml"]}
    assert (bans.actions[0].at_once, bans.actions[0].retries) == (1, 1)


def test_a_firewall_on_another_machine_is_told_of_bans_and_of_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ssh is asked for is judged by ssh itself (-G); its last words are joined with spaces, as it does."""
    if (ssh := shutil.which("ssh")) is None:
        pytest.skip("needs ssh")
    settings, told = tmp_path / "settings", tmp_path / "told"
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "ssh"
    stand_in.write_text(f'#!/bin/sh\nset -e\n{ssh} -G "$@" > {settings}\necho "$*" >> {told}\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:/usr/bin:/bin")
    given = "-i /var/lib/logwarden/router -o BatchMode=yes banned@router.example.org"
    said = [f"{given} add 2001:db8:9::/64 3600\n", f"{given} del 2001:db8:9::/64\n"]
    with acting(documented("A firewall on another machine", tmp_path)) as actions:
        actions.banned([BAN6])
        until(lambda: told.exists() and told.read_text() == said[0])
        actions.unbanned([BAN6])
        until(lambda: told.read_text() == "".join(said))
    lines = settings.read_text().splitlines()
    assert {"user banned", "hostname router.example.org", "batchmode yes"} <= set(lines)
