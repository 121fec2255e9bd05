"""The bans in force, as far as they keep a prefix from being banned twice.

Never: is the truth about bans (state is). At most `capacity` are remembered; those that were banned first are forgotten
first, and may then be banned once more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from ..address import Address, Prefix, enclosing

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """Keys that hold until a time: at most `capacity`, the first put forgotten first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._until: OrderedDict[K, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def put(self, key: K, until: float) -> None:
        """Let `key` hold until `until`, or longer where it does already."""
        self._until[key] = max(until, self._until.get(key, until))
        if len(self._until) > self._capacity:
            self._until.popitem(last=False)

    def holds(self, key: K, now: float) -> bool:
        """Whether `key` has been put and its time is not over."""
        return self._until.get(key, now) > now

    def drop(self, key: K) -> None:
        """Let `key` hold no longer."""
        self._until.pop(key, None)

    def expire(self, now: float) -> None:
        """Forget what is over."""
        for key in [key for key, until in self._until.items() if until <= now]:
            del self._until[key]

    def shift(self, by: float) -> None:
        """Move every end by so many seconds."""
        for key in self._until:
            self._until[key] += by


class BansInForce:
    """Which prefixes are banned, and until when."""

    def __init__(self, capacity: int) -> None:
        self._exact: Deadlines[str] = Deadlines(capacity)
        self._wide: Deadlines[Prefix] = Deadlines(capacity)
        self._wide_lengths: dict[int, set[int]] = {4: set(), 6: set()}
        self._aggregates: Deadlines[Prefix] = Deadlines(capacity)

    def put(self, text: str, until: float) -> None:
        """One party's prefix, as it is counted, is banned until `until`."""
        self._exact.put(text, until)

    def put_wide(self, network: Prefix, until: float, *, aggregate: bool) -> None:
        """A prefix that more than one party is counted in is banned until `until`: by hand, or as an aggregate."""
        self._wide.put(network, until)
        if aggregate:
            self._aggregates.put(network, until)
        self._wide_lengths[network.version].add(network.prefixlen)

    def covers(self, address: Address, counted_as: str, now: float) -> bool:
        """Whether `counted_as`, or a wide prefix around `address`, is banned."""
        if self._exact.holds(counted_as, now):
            return True
        if not self._wide:
            return False
        lengths = self._wide_lengths[address.version]
        return any(self._wide.holds(enclosing(address, length), now) for length in lengths)

    def drop(self, network: Prefix) -> None:
        """`network` is banned no longer."""
        self._exact.drop(str(network))
        self._wide.drop(network)
        self._aggregates.drop(network)

    def expire(self, now: float) -> None:
        """Forget what is over."""
        self._exact.expire(now)
        self._wide.expire(now)
        self._aggregates.expire(now)

    def shift(self, by: float) -> None:
        """Move every end by so many seconds."""
        self._exact.shift(by)
        self._wide.shift(by)
        self._aggregates.shift(by)

    def aggregates(self, now: float) -> int:
        """How many wide prefixes are banned as aggregates."""
        self._aggregates.expire(now)
        return len(self._aggregates)
