"""`make demo`: logwarden for real, on a log that grows, against attackers who are really dropped; half a minute.

As root it moves into a network namespace of its own first, so that the sets, the firewall rules and the packets are the
kernel's own and the machine's network stays as it is. Otherwise, or where the kernel refuses, bans are a dry run.
Never: leaves anything behind. Its files are in a temporary directory, and the namespaces end with their processes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.rule import Rule
from rich.syntax import Syntax
from rich.text import Text

from . import generator, network
from .stage import (
    PATIENCE,
    Log,
    Mailbox,
    command,
    daemon,
    in_kernel,
    kernel_set,
    sample_until,
    until,
)

ROOT = Path(__file__).resolve().parents[2]
INSIDE = "--in-namespace"
EVERYONE = (*generator.ATTACKERS, generator.FRIEND)

CONFIG = """\
state: {place}/state
socket: {place}/control.sock
host: {host}
sources:
  files: [{{path: {place}/auth.log, from_start: true}}]
  presets: false
rules:
  ignore: ["{root}/ignore.d"]
  attack: ["{root}/attack.d"]
bans:
  backend: {backend}
  policies: {{sshd.yaml: {{threshold: 5, window: 10m, ban: 10m}}}}
  allowlist: [{friend}]
  permit_documentation: true    # the attackers' addresses are documentation addresses
digest: {{schedule: daily, to: [you@web1.example]}}
mail: {{host: 127.0.0.1, port: {port}}}
"""

console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 100)


def say(text: str) -> None:
    console.print(f"[bold cyan]•[/] {text}")


def chapter(title: str) -> None:
    console.print()
    console.rule(f"[bold]{title}[/]", align="left")


def show(config: Path, *argv: str) -> None:
    """Run a command as a user would type it, and show both."""
    console.print(f"\n[bold]$ logwarden {' '.join(argv)}[/]")
    colour = {"FORCE_COLOR": "1"} if console.is_terminal else {}
    console.print(Text.from_ansi(command(config, *argv, COLUMNS=str(console.width), **colour).rstrip()))


def attack(log: Log, chance: random.Random, enforced: bool) -> None:
    """Write the break-in attempts; where there is a kernel to ask, say how soon each ban was in force."""
    tries = dict.fromkeys(generator.ATTACKERS, 0)
    for address, line in generator.attack(chance):
        log.write(line)
        written = time.monotonic()
        tries[address] += 1
        if enforced and tries[address] == 5:
            until(functools.partial(in_kernel, address), f"ban of {address}")
            took = (time.monotonic() - written) * 1e3
            console.print(
                f"    [red]{address:<16}[/] fifth failure written, [bold]{took:.0f} ms[/] later in the kernel's set"
            )
    if not enforced:
        say("six passwords tried from each of " + ", ".join(tries))


def probe(far: network.FarEnd | None) -> None:
    for address in EVERYONE if far else ():
        answer = "[green]connects[/]" if far and far.reaches_us(address) else "[red]dropped[/]"
        console.print(f"    TCP from {address:<16} {answer}")


def written(config: Path) -> int:
    return (config.parent / "auth.log").read_text().count("\n")


def accounted(config: Path) -> int:
    """The lines that `logwarden status` knows of, as soon as these are all that were written."""

    def lines() -> int:
        counts: dict[str, int] = json.loads(command(config, "status", "--json"))["lines"]
        return sum(counts.values())

    until(lambda: lines() >= written(config), "every line read")
    return lines()


def story(place: Path, backend: str, far: network.FarEnd | None) -> None:
    chance, mailbox = random.Random(generator.SEED), Mailbox()
    with mailbox.served() as port:
        config = written_config(place, backend, port)
        begun = time.monotonic()
        with daemon(config) as process:
            took = time.monotonic() - begun
            say(f"logwarden run: ready after {took:.1f} s, rules compiled, backend {backend}")
            probe(far)
            log = Log(place / "auth.log")
            day(log, chance, config)
            chapter("2. Three addresses try passwords, one of them IPv6")
            say(f"one user name they try holds the text 'from {generator.FRIEND}': a friend, who must stay free")
            attack(log, chance, enforced=far is not None)
            probe(far)
            aftermath(config, mailbox, enforced=far is not None)
            stop(process)


def written_config(place: Path, backend: str, port: int) -> Path:
    """Write the config and the log as it stands when the daemon starts."""
    config = place / "logwarden.yaml"
    settings = {"host": generator.HOST, "root": ROOT, "friend": generator.FRIEND}
    config.write_text(CONFIG.format(place=place, backend=backend, port=port, **settings))
    (place / "auth.log").write_text("".join(sample_until(datetime.now(UTC))))
    chapter("1. A config, a log, a daemon")
    console.print(Syntax(config.read_text().rstrip(), "yaml", background_color="default"))
    return config


def day(log: Log, chance: random.Random, config: Path) -> None:
    lines = [line for _, line in zip(range(300), generator.ordinary(chance, odd=0.02), strict=False)]
    for line in track(lines, "  the log grows", console=console, transient=True):
        log.write(line)
        time.sleep(0.01)
    say(f"{written(config)} lines written, {accounted(config)} accounted for")


def aftermath(config: Path, mailbox: Mailbox, enforced: bool) -> None:
    chapter("3. The digest, as it was mailed")
    accounted(config)
    show(config, "digest", "--now")
    mail = mailbox.next()
    text = mail.get_body(("plain",))
    assert text is not None
    headers = "".join(f"{name}: {mail[name]}\n" for name in ("From", "To", "Date", "Subject"))
    console.print(Rule(style="cyan"), Text(f"{headers}\n{text.get_content().rstrip()}"), Rule(style="cyan"), sep="\n")
    chapter("4. What stays")
    if enforced:
        for name in ("logwarden4", "logwarden6"):
            console.print(f"\n[bold]$ ipset list {name}[/]\n{kernel_set(name).rstrip()}")
    show(config, "bans")
    show(config, "status")


def stop(process: subprocess.Popen[bytes]) -> None:
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status = process.wait(PATIENCE)
    console.print()
    took = time.monotonic() - begun
    say(f"SIGTERM: stopped after {took:.2f} s, exit {status}; each ban ends by itself in the kernel")


# --- where it runs ------------------------------------------------------------------------------------------

TRIAL = "ipset create trial hash:net timeout 0 && iptables -t raw -L -n && ip6tables -t raw -L -n"


def why_dry_run() -> str | None:
    """Why bans cannot be real here; None where they can."""
    if os.geteuid() != 0:
        return "not root"
    tried = subprocess.run(["unshare", "--net", "sh", "-c", TRIAL], capture_output=True, text=True, check=False)
    return tried.stderr.strip().splitlines()[-1].rstrip(".") if tried.returncode else None


def main() -> None:
    reason = None if INSIDE in sys.argv else why_dry_run()
    if reason is None and INSIDE not in sys.argv:
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-m", "tests.demo", INSIDE])
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="logwarden-demo-")))
        if reason:
            say(f"{reason}: bans are a dry run (for root they are the kernel's, in a network namespace of its own)")
            story(place, "dry-run", None)
        else:
            say("root: a network namespace of our own, another for the attackers, a wire between them")
            story(place, "ipset", stack.enter_context(network.wire(EVERYONE)))


if __name__ == "__main__":
    main()
