"""What the daemon says in `status`, as Prometheus metrics.

Owns: the names of the metrics and their help. Never: asks the daemon; whoever scrapes does, and so the daemon itself
neither listens for it nor carries the library. Fails: never; what a status lacks is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .health import undelivered

Status = Mapping[str, Any]
Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily)


def exposition(status: Status | None, now: float) -> bytes:
    """The text that Prometheus scrapes. Where no daemon answers (None), `logwarden_up` is 0 and all else absent."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(status, now))
    return generate_latest(registry)


class _Scrape(Collector):
    """One status, to be collected once."""

    def __init__(self, status: Status | None, now: float) -> None:
        self._status, self._now = status, now

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("logwarden_up", "Whether the daemon answers", float(self._status is not None))
        if self._status is not None:
            yield from _lines(self._status)
            yield from _sources(self._status)
            yield from _plain(self._status, self._now)
            yield from _counted(self._status)


def _filled(family: Family, values: Mapping[str, float]) -> Family:
    """`family`, which has one label, with these values of it."""
    for label, value in values.items():
        family.add_metric((label,), value)
    return family


def _lines(status: Status) -> Iterator[Metric]:
    lines = CounterMetricFamily("logwarden_lines", "Lines read, by what became of them", labels=("source", "verdict"))
    for source, counts in status["sources"].items():
        for verdict in sorted(set(counts) - {"read"}):
            lines.add_metric((source, verdict), counts[verdict])
    yield lines


def _sources(status: Status) -> Iterator[Metric]:
    lag = GaugeMetricFamily("logwarden_lag_seconds", "From a line's arrival to its verdict", labels=("source",))
    yield _filled(lag, status["lag"])
    unread = GaugeMetricFamily("logwarden_unread_seconds", "For how long a source has been behind", labels=("source",))
    yield _filled(unread, {source: behind["seconds"] for source, behind in status["unread"].items()})


def _counted(status: Status) -> Iterator[Metric]:
    """What `counters` has beyond the status."""
    found = status["latency"]
    yield HistogramMetricFamily(
        "logwarden_latency_seconds",
        "From the time that a line bears to its verdict being in force; the newest line of each batch",
        buckets=found["buckets"],
        sum_value=found["sum"],
    )
    yield CounterMetricFamily("logwarden_bans_made", "Bans made by attack rules since the start", status["bans_made"])
    yield GaugeMetricFamily("logwarden_dropped_packets", "Packets that the bans in force dropped", status["dropped"])
    attacks = CounterMetricFamily("logwarden_attack_lines", "Lines by attack rule", labels=("rule",))
    yield _filled(attacks, status["attacks"])
    slow = CounterMetricFamily("logwarden_rule_seconds", "What the slowest rules have taken", labels=("rule",))
    yield _filled(slow, status["slow"])


def _plain(status: Status, now: float) -> Iterator[Metric]:
    waiting, oldest = undelivered(status, now)
    rules = GaugeMetricFamily("logwarden_rules", "Rules in force", labels=("kind",))
    yield _filled(rules, status["rules"])
    bans = GaugeMetricFamily("logwarden_bans", "Bans in force", labels=("mode", "backend"))
    bans.add_metric((status["mode"], status["backend"]), status["bans"])
    yield bans
    for name, meaning, value in (
        ("logwarden_queue_batches", "Batches that wait for the matcher", status["waiting"]),
        ("logwarden_uncommitted_batches", "Batches that the database has not taken", status["uncommitted"]["batches"]),
        ("logwarden_outbox_messages", "Digests that the mail server has not taken", waiting),
        ("logwarden_outbox_age_seconds", "Age of the oldest of them", oldest),
        ("logwarden_problems", "Problems that `logwarden status` names", len(status["problems"])),
        ("logwarden_database_bytes", "Size of the database", status["database"]["taken"]),
        ("logwarden_start_time_seconds", "When the daemon started", status["since"]),
        ("logwarden_resident_memory_bytes", "Resident memory of the daemon", status.get("rss")),
    ):
        if value is not None:
            yield GaugeMetricFamily(name, meaning, value)
