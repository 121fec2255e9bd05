"""A daemon in this process, on a small config, with clocks that a test sets: no source but the test itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from logwarden import config
from logwarden.daemon import Daemon
from logwarden.digest import Rendered
from logwarden.model import Batch

NOW = 1_790_000_000.0

RULES = "app: normal <NUM>\n"
ATTACKS = """
program: [sshd]
policy: {threshold: 3, window: 10m, ban: 1h}
rules:
  - id: failed
    match: 'Failed password for <USER> from <ADDR>'
    samples: [{line: 'Failed password for root from 203.0.113.9', address: 203.0.113.9}]
    near_misses: ['Failed password for root']
"""


class Hands:
    """The hands of both clocks."""

    def __init__(self, wall: float = NOW, since_boot: float = 1_000.0) -> None:
        self.wall, self.since_boot = wall, since_boot

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.since_boot += seconds


class Small:
    """A host in a directory, and its daemon while `running`."""

    def __init__(self, place: Path, extra: str = "", backend: str = "dry-run", port: int = 9) -> None:
        self.place, self.hands = place, Hands()
        (place / "ignore.d").mkdir()
        (place / "attack.d").mkdir()
        (place / "ignore.d" / "app.rules").write_text(RULES)
        (place / "attack.d" / "sshd.yaml").write_text(ATTACKS)
        self.config = place / "logwarden.yaml"
        self.config.write_text(
            f"""
state: {place}/state
socket: {place}/control.sock
host: web1
sources: {{files: []}}
rules: {{ignore: [{place}/ignore.d], attack: [{place}/attack.d]}}
bans: {{backend: {backend}, permit_documentation: true}}
digest: {{schedule: daily, to: [admin@web1.example, ops@web1.example]}}
mail: {{host: 127.0.0.1, port: {port}, timeout: 2s, lifetime: 7d}}
{extra}"""
        )
        self.daemon: Daemon
        self._cursor = 0

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        """The daemon, started; stopped when the block ends. What the first of them compiles serves all others."""
        compiled, cache = self.place.parent / "compiled", self.place / "state" / "cache"
        if compiled.is_dir() and not cache.is_dir():
            shutil.copytree(compiled, cache)
        self.daemon = Daemon(config.load(str(self.config)), lambda: self.hands.wall, lambda: self.hands.since_boot)
        try:
            if not compiled.is_dir():
                shutil.copytree(cache, compiled)
            self.daemon.start()
            yield self.daemon
        finally:
            self.daemon.stop()

    def batch(self, *messages: str, tag: str = "app[1]") -> Batch:
        """Lines of now, as a source hands them over."""
        stamp = datetime.fromtimestamp(self.hands.wall, UTC).isoformat()
        self._cursor += len(messages)
        block = "".join(f"{stamp} web1 {tag}: {message}\n" for message in messages).encode()
        return Batch("file:/x", block, len(messages), str(self._cursor))

    def write(self, *messages: str, tag: str = "app[1]") -> None:
        """Let lines come in, and the daemon do what it does with them."""
        self.daemon.inbox.put_batch(self.batch(*messages, tag=tag), lambda: False)
        self.daemon.step()

    def step_until(self, done: Callable[[], object]) -> None:
        """Let the daemon work until something is so: what else it hears of meanwhile takes steps too."""
        deadline = time.monotonic() + 30
        while not done():
            assert time.monotonic() < deadline
            self.daemon.step()

    def carry_mail(self) -> None:
        """Let the daemon work until it knows what became of each message that was due."""
        self.step_until(lambda: self.daemon.courier.free)

    def attack(self, address: str, times: int) -> None:
        self.write(*[f"Failed password for root from {address}"] * times, tag="sshd[9]")

    def bans(self) -> dict[str, float]:
        """Each prefix that is banned in the kernel, and for how many seconds, which must be what state says."""
        held = dict(self.daemon.firewall.list(self.hands.wall))
        known = {ban.prefix: ban.until - self.hands.wall for ban in self.daemon.state.bans(self.hands.wall)}
        assert {prefix: round(left, -1) for prefix, left in held.items()} == {
            prefix: round(left, -1) for prefix, left in known.items()
        }
        return known

    def preview(self) -> str:
        made = self.rendered()
        return made.text if made else ""

    def rendered(self) -> Rendered | None:
        """The digest of the open period as it would be now."""
        made: list[Rendered | None] = []
        self.daemon.mailing.preview(
            self.daemon.watch.config,
            self.daemon.refused(),
            self.hands.wall,
            None,
            lambda result, _: made.append(result()),
        )
        self.step_until(lambda: made)
        return made[0]

    def close_period(self) -> None:
        """Let the daemon end the period, and make its digest."""
        self.daemon.close_period(self.hands.wall)
        self.rest()

    def rest(self) -> None:
        """Let the daemon work until no digest is being made."""
        self.step_until(lambda: not self.daemon.press.busy)
