"""How long lines take to their verdict, as a histogram."""

from __future__ import annotations

from logwarden.latency import BOUNDS, Histogram


def test_each_observation_is_in_its_bucket_and_in_all_above() -> None:
    made = Histogram()
    for seconds in (0.005, 0.006, 3.0, 1000.0):
        made.observe(seconds)
    buckets = dict(made.dump()["buckets"])
    assert (buckets["0.005"], buckets["0.01"], buckets["2.5"], buckets["5.0"], buckets["+Inf"]) == (1, 2, 2, 3, 4)
    assert made.dump()["sum"] == 0.005 + 0.006 + 3.0 + 1000.0
    assert len(buckets) == len(BOUNDS) + 1


def test_a_line_from_the_future_took_no_time() -> None:
    made = Histogram()
    made.observe(-7.0)
    assert made.dump()["sum"] == 0.0
