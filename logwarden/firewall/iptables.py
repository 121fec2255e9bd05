"""The DROP rules of iptables and ip6tables that look into the sets.

Owns: one rule a family, the first of its chain, so that nothing is accepted before it. Each change is one atomic
`iptables-restore --noflush`, so that the rule is never absent while it is moved. Waits for the xtables lock.
Never: touches a rule that is not exactly its own.
Limit: two programs that both want to be first change places at every round of theirs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import FirewallError
from .protocol import Hook, Run

LOCK_WAIT = "5"
"""Seconds to wait for another program that holds the xtables lock (iptables(8), -w)."""

_COMMANDS = {4: "iptables", 6: "ip6tables"}


class DropRules:
    """The rules of `hook` for the `sets` of each family."""

    def __init__(self, hook: Hook, sets: Mapping[int, str], run: Run) -> None:
        self._hook, self._sets, self._run = hook, sets, run

    def repair(self) -> list[str]:
        """Put each rule first in its chain, and say which were not there or stood elsewhere. Raises FirewallError, but
        not before it has tried both families: a chain may exist in one alone."""
        repaired, troubles = [], []
        for family in self._families():
            try:
                repaired += self._repair(family)
            except FirewallError as error:
                troubles.append(str(error))
        if troubles:
            raise FirewallError("; ".join(troubles))
        return repaired

    def _repair(self, family: int) -> list[str]:
        rules = self._listed(family)
        spec = self._spec(family)
        if [position for position, rule in enumerate(rules) if rule == spec] == [0]:
            return []
        self._rewrite(family, rules.count(spec), insert=True)
        return [f"{_COMMANDS[family]} rule {'moved to the top' if spec in rules else 'added'}"]

    def remove(self) -> None:
        """Take the rules out of their chains. Where somebody has removed the chain, no rule is left in it."""
        for family in self._families():
            if count := self._listed(family, everywhere=True).count(self._spec(family)):
                self._rewrite(family, count, insert=False)

    def _families(self) -> list[int]:
        """Both, but where the kernel was told to do without IPv6: there ip6tables fails."""
        return [family for family in self._sets if family == 4 or os.path.exists("/proc/net/if_inet6")]

    def _spec(self, family: int) -> str:
        return f"{self._hook.chain} -m set --match-set {self._sets[family]} src -j DROP"

    def _listed(self, family: int, *, everywhere: bool = False) -> list[str]:
        """The rules of the chain, or of all in its table, as `iptables -S` writes them but for the leading -A."""
        chains = () if everywhere else (self._hook.chain,)
        argv = (_COMMANDS[family], "-w", LOCK_WAIT, "-t", self._hook.table, "-S", *chains)
        return [line.removeprefix("-A ") for line in self._run(argv).splitlines() if line.startswith("-A ")]

    def _rewrite(self, family: int, present: int, *, insert: bool) -> None:
        spec = self._spec(family)
        changes = [f"-D {spec}"] * present
        if insert:
            changes.append(f"-I {spec.replace(' ', ' 1 ', 1)}")
        argv = (f"{_COMMANDS[family]}-restore", "-w", LOCK_WAIT, "--noflush")
        self._run(argv, (f"*{self._hook.table}", *changes, "COMMIT"))
