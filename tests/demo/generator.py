"""Lines as a small Debian server writes them, from a seed: a server's ordinary day, a few oddities, an attack.

Owns: what the demo's host logs. Names are invented and addresses are documentation addresses (RFC 5737, RFC 3849).
Never: reads a clock; the caller gives each line its time.

    python tests/demo/generator.py 400 > tests/demo/sample.log
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

HOST = "web1"
FRIEND = "192.0.2.50"
ATTACKERS = ("203.0.113.77", "198.51.100.23", "2001:db8:bad::5")
SEED = 2

NORMAL = (
    (9, "sshd", "Accepted publickey for {user} from 192.0.2.50 port {port} ssh2: ED25519 SHA256:{print}"),
    (9, "sshd", "pam_unix(sshd:session): session opened for user {user}(uid={uid}) by (uid=0)"),
    (9, "sshd", "pam_unix(sshd:session): session closed for user {user}"),
    (6, "sshd", "Received disconnect from 192.0.2.50 port {port}:11: disconnected by user"),
    (6, "sshd", "Disconnected from user {user} 192.0.2.50 port {port}"),
    (12, "CRON", "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"),
    (12, "CRON", "(root) CMD (   cd / && run-parts --report /etc/cron.hourly)"),
    (12, "CRON", "pam_unix(cron:session): session closed for user root"),
    (4, "systemd", "Starting logrotate.service - Rotate log files..."),
    (4, "systemd", "logrotate.service: Deactivated successfully."),
    (4, "systemd", "Finished logrotate.service - Rotate log files."),
    (4, "systemd-logind", "New session {number} of user {user}."),
    (4, "systemd-logind", "Session {number} logged out. Waiting for processes to exit."),
    (4, "systemd-logind", "Removed session {number}."),
    (3, "sudo", "pam_unix(sudo:session): session opened for user root(uid=0) by {user}(uid={uid})"),
    (3, "sudo", "pam_unix(sudo:session): session closed for user root"),
)
ODD = (
    (3, "backup", "archive web1-{number} is {percent}% smaller than the one before"),
    (
        2,
        "kernel",
        "[{uptime}] EXT4-fs error (device sda1): ext4_lookup:1855: inode {number}: deleted inode referenced",
    ),
    (1, "certbot", "Failed to renew certificate web1.example with error: Some challenges have failed."),
)
BREAK_IN = (
    "Failed password for root from {address} port {port} ssh2",
    "Failed password for invalid user admin from {address} port {port} ssh2",
    # The user name is the attacker's own text: it names a friend, whom it must not get banned.
    "Failed password for invalid user x from 192.0.2.50 port 22 ssh2 from {address} port {port} ssh2",
)

Line = tuple[str, int, str]
"""Program, pid, message."""


def fill(template: str, chance: random.Random, address: str = "") -> str:
    user, uid = chance.choice((("ada", 1000), ("grace", 1001), ("linus", 1002)))
    return template.format(
        user=user,
        uid=uid,
        address=address,
        port=chance.randrange(32768, 60999),
        number=chance.randrange(100, 9999),
        percent=chance.randrange(30, 90),
        uptime=f"{chance.uniform(1e4, 9e5):12.6f}",
        print="".join(chance.choices("abcdefghkmnpqrstuvwxyzABCDEFGHKLMNPQRSTUVWXYZ23456789+/", k=43)),
    )


def ordinary(chance: random.Random, odd: float = 0.01) -> Iterator[Line]:
    """Endless lines of an ordinary day, of which a share `odd` is nothing that a rule should call normal."""
    while True:
        kinds = ODD if chance.random() < odd else NORMAL
        _, program, template = chance.choices(kinds, [weight for weight, *_ in kinds])[0]
        yield program, chance.randrange(300, 32768), fill(template, chance)


def attack(chance: random.Random, tries: int = 6) -> Iterator[tuple[str, Line]]:
    """(address, line): `tries` passwords from each attacker, all at the same time."""
    for _ in range(tries):
        for address in ATTACKERS:
            yield address, ("sshd", chance.randrange(300, 32768), fill(chance.choice(BREAK_IN), chance, address))


def written(line: Line, when: datetime) -> str:
    """The line as rsyslog writes it on Debian 12. The kernel has no pid."""
    program, pid, message = line
    tag = program if program == "kernel" else f"{program}[{pid}]"
    return f"{when.isoformat(timespec='microseconds')} {HOST} {tag}: {message}\n"


def main() -> None:
    chance, when = random.Random(SEED), datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
    for _, line in zip(range(int(sys.argv[1])), ordinary(chance), strict=False):
        when += timedelta(seconds=chance.expovariate(1 / 7))
        sys.stdout.write(written(line, when))


if __name__ == "__main__":
    main()
