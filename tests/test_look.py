"""How a digest looks on a screen: in a real browser, at a phone's width and a desk's, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from rich.cells import cell_len
from test_digest import UNTIL, attack, ban, digest, entry, violation

from logwarden.digest import Digest, Shapes
from logwarden.digest.render import render
from logwarden.model import Ban, Location, Notice, NoticeKind, Outcome, Refusal, Window

WIDTHS = {"phone": 360, "desk": 800}
READABLE = 4.5
"""The contrast that WCAG 2.1 asks of text (1.4.3)."""
SMALLEST = 11.0
"""Pixels: what is smaller is no text on a phone."""

FORGERIES = [
    "<script>window.ran = 'script'</script> connection lost",
    "<img src=x onerror=\"window.ran = 'image'\"><img src=http://192.0.2.80/pixel.png> upload failed",
    "</div></body><style>body { display: none }</style><base href=http://192.0.2.80/> template broken",
    "\x1b[31mred\x1b[0m and \u202egnp.exe renamed " + "W" * 700,
]
"""Lines that would run, load, hide or overflow if they could."""


def full() -> Digest:
    """A bad hour of several hosts: something of all that a digest can show."""
    known = Shapes()
    known.learn("app", "warning: hostname mail7.example.net does not resolve to address 198.51.100.7", 0.0)
    sshd = [attack("203.0.113.9", ago=2000 - n) for n in range(41)] + [attack("2001:db8:5:1::77", ago=900)] * 6
    short = [attack(f"198.51.100.{n}", ago=60 * n) for n in range(1, 12) for _ in range(13 - n)]
    odd = [
        entry("EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls", program="kernel", host="db1"),
        *[
            entry(f"warning: hostname mail{n}.example.net does not resolve to address 198.51.100.{n}", ago=100 * n)
            for n in range(1, 20)
        ],
        *[
            entry(
                f"upstream timed out while reading from 192.0.2.{n} /api/v1/orders/{n * 7919}",
                program="nginx",
                host=host,
            )
            for n, host in enumerate(["web1", "web2", "web3", "web4", "web5", "db1"] * 9)
        ],
        *[entry(text, program="app") for text in FORGERIES],
        entry("task nightly-backup finished in 4123 seconds with 3 warnings", program="backup", host="db1", ago=3000),
        entry("Upgraded libssl3 from 3.0.15 to 3.0.17", program="apt", ago=1500),
        entry("Upgraded openssl from 3.0.15 to 3.0.17", program="apt", ago=1499),
    ]
    return digest(
        *sshd, *short, *odd, violation(), violation("mallory : 3 incorrect password attempts"),
        entry("\0\0\0\0", Outcome.QUARANTINED, program=""),
        shapes=known,
        bans=[ban("203.0.113.9/32", hits=41), ban("2001:db8:5:1::/64", hits=6),
              Ban("192.0.2.200/32", UNTIL - 900, UNTIL + 86_400, "manual", "by root: scraper")],
        before={"203.0.113.9/32": 2, "2001:db8:5:1::/64": 0},
        dropped={"203.0.113.9/32": 12_345, "2001:db8:5:1::/64": 0},
        notices=[
            Notice(NoticeKind.GAP, "/var/log/auth.log", "lines may be missing: cut while not watched", UNTIL - 2000),
            Notice(NoticeKind.SILENCE, "cron on db1", "used to speak every 10m and has not for 3h", UNTIL - 300),
            Notice(NoticeKind.FIREWALL, "nftables", "the set cannot be changed: Device or resource busy", UNTIL - 700),
        ],
        counts={
            "journal": {Outcome.IGNORED: 182_340, Outcome.ATTACK: 125, Outcome.UNEXPLAINED: 80, Outcome.QUARANTINED: 1},
            "/var/log/remote/a-very-long-name-of-a-host.example.org/nginx/access.log": {Outcome.IGNORED: 1_204_111},
            "/var/log/auth.log": {Outcome.IGNORED: 512, Outcome.ATTACK: 20},
        },
        hits={"server/systemd.rules:12": 120_000, "local.rules:3": 62_000, "server/cron.rules:4": 340},
        refused=[Refusal(Location("/etc/logwarden/ignore.d/local.rules", 7), "it matches the empty line: ^x?")],
        rhythm=[(UNTIL - 86_400 * back, 1_000_000 + 173_000 * (back % 4)) for back in range(7)],
        windows=[Window(UNTIL - 1501, UNTIL - 1400, "kernel upgrade")],
    )  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    if not chromium.PROGRAM:
        pytest.skip("the oracle chromium is not installed")
    with chromium.running(tmp_path_factory.mktemp("browser")) as running:
        yield running


def test_the_text_of_it_fits_80_columns() -> None:
    assert max(map(cell_len, render(full()).text.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_digest_is_readable_in_a_browser_and_nothing_in_it_runs_or_is_fetched(
    browser: chromium.Chromium, tmp_path: Path, width: int, dark: bool
) -> None:
    file = tmp_path / "digest.html"
    file.write_text(render(full()).html)
    page = browser.look(file, width, dark=dark)
    (tmp_path / "digest.png").write_bytes(page.picture)  # to be looked at: pytest keeps it for a while
    assert (page.title, page.ran, page.active, page.requests) == ("Security Alerts on web1", "", (), ())
    assert page.width <= width
    assert [text.said for text in page.texts if text.right > width] == []
    assert [(text.said, text.contrast) for text in page.texts if text.contrast < READABLE] == []
    assert [(text.said, text.size) for text in page.texts if text.size < SMALLEST] == []
    said = "".join(text.said for text in page.texts).replace(" ", "")
    assert all(line.split("W" * 9)[0].replace(" ", "") in said for line in FORGERIES if line.isprintable())


@pytest.mark.slow
def test_the_browser_sees_what_must_not_be(browser: chromium.Chromium, tmp_path: Path) -> None:
    """Else the test above would find nothing in any page."""
    file = tmp_path / "bad.html"
    file.write_text(f"<title>x</title><p style='color: #999'>{'W' * 300}{''.join(FORGERIES[:2])}")
    page = browser.look(file, 360)
    assert page.ran
    assert len(page.active) == 3
    assert page.requests
    assert page.width > 360
    assert min(text.contrast for text in page.texts) < READABLE
