"""The arithmetic under every figure of a report."""

import math

import pytest

from bench.figures import Histogram, Latency, Spread, percentile

PAGE = """\
# HELP holdfast_commit_batch_size Commands in one commit.
# TYPE holdfast_commit_batch_size histogram
holdfast_commit_batch_size_bucket{le="1.0"} 4.0
holdfast_commit_batch_size_bucket{le="8.0"} 6.0
holdfast_commit_batch_size_bucket{le="+Inf"} 10.0
holdfast_commit_batch_size_count 10.0
holdfast_commit_batch_size_sum 250.0
holdfast_commit_seconds_bucket{store="sqlite",le="0.001"} 3
holdfast_commit_seconds_bucket{store="sqlite",le="+Inf"} 3
holdfast_commit_seconds_bucket{store="other",le="0.001"} 1
holdfast_commit_seconds_bucket{store="other",le="+Inf"} 2
holdfast_commit_seconds_sum{store="sqlite"} 0.003
holdfast_commit_seconds_sum{store="other"} 1.5e-3
holdfast_commit_seconds_count{store="sqlite"} 3
holdfast_commit_seconds_count{store="other"} 2
"""


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.01, 1), (0.001, 1)])
def test_a_percentile_is_a_sample_that_occurred(share, expected):
    assert percentile(range(1, 101), share) == expected


def test_the_percentile_of_one_sample_is_that_sample():
    assert percentile([7.0], 0.5) == percentile([7.0], 0.999) == 7.0


def test_there_is_no_percentile_of_nothing():
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)
    assert Latency.of([]) is None


def test_latency_takes_seconds_in_any_order_and_gives_milliseconds():
    latency = Latency.of(n / 1000 for n in range(1000, 0, -1))
    assert latency == Latency(p50_ms=500.0, p99_ms=990.0, p999_ms=999.0, max_ms=1000.0)


def test_a_spread_leaves_out_runs_that_have_no_value():
    assert Spread.of([3.0, None, 1.0, 2.0]) == Spread(median=2.0, low=1.0, high=3.0)
    assert Spread.of([None]) is None


def test_a_histogram_is_read_from_the_metrics_page():
    batch = Histogram.read(PAGE, "holdfast_commit_batch_size")
    assert batch == Histogram({1.0: 4.0, 8.0: 6.0, math.inf: 10.0}, 250.0, 10.0)
    assert batch.mean == 25.0
    assert batch.bound_of(0.5) == 8.0
    assert batch.bound_of(0.99) == math.inf


def test_a_histogram_with_labels_is_added_up_over_them():
    seconds = Histogram.read(PAGE, "holdfast_commit_seconds")
    assert seconds.count == 5
    assert seconds.total == pytest.approx(0.0045)
    assert seconds.buckets == {0.001: 4, math.inf: 5}


def test_a_missing_histogram_is_not_an_empty_one():
    assert Histogram.read(PAGE, "holdfast_commit") is None
    assert Histogram.read("", "holdfast_commit_seconds") is None


def test_what_was_observed_meanwhile_is_the_difference_of_two_readings():
    earlier = Histogram({1.0: 1.0, math.inf: 2.0}, 10.0, 2.0)
    later = Histogram({1.0: 4.0, math.inf: 6.0}, 50.0, 6.0)
    assert later.since(earlier) == Histogram({1.0: 3.0, math.inf: 4.0}, 40.0, 4.0)
    assert later.since(None) == later
    assert later.since(later).mean is None
    assert later.since(later).bound_of(0.5) is None
