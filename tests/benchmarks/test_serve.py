"""What the service's benchmark makes of replies."""

import math
from itertools import pairwise

import pytest

from benchmarks.loads import Reply, arrivals, summary, throughput


def test_arrivals_come_at_the_rate_that_is_asked_for_and_again_the_same() -> None:
    moments = arrivals(50.0, 200.0, seed=1)
    assert moments == arrivals(50.0, 200.0, seed=1) != arrivals(50.0, 200.0, seed=2)
    assert moments == sorted(moments)
    assert 0 <= moments[0] < moments[-1] < 200
    # A Poisson count of mean 10,000 has a standard deviation of 100.
    assert abs(len(moments) - 10_000) < 500
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert math.sqrt(variance) / mean == pytest.approx(1, abs=0.1)


def test_latency_is_of_the_answers_with_a_picture_and_shares_are_of_all() -> None:
    good = [Reply(200, 0.0, float(seconds)) for seconds in range(101)]
    found = summary(
        [*good, *[Reply(503, 0.0, 0.01)] * 97, Reply(0, 0.0, 9e9), Reply(500, 0.0, 9e9)]
    )
    assert (found.p50, found.p95, found.p99) == (50, 95, 99)
    assert (found.answered, found.refused, found.failed) == (101 / 200, 97 / 200, 2 / 200)
    assert math.isnan(summary([Reply(503, 0.0, 0.1)]).p50)


def test_throughput_leaves_out_the_start_and_what_was_refused() -> None:
    slow = [Reply(200, 0.0, 10.0)] * 4
    steady = [Reply(200, 10.0 + n / 8, 1 / 8) for n in range(80)]
    assert throughput(
        [*slow, *steady, *[Reply(503, 5.0, 0.0)] * 99], warm=4, batch=1
    ) == pytest.approx(8)


@pytest.mark.parametrize("first", range(1, 9))
def test_throughput_is_that_of_whole_batches(first: int) -> None:
    """However many the first batch held, after which the others are full: 8 in 4 s."""
    sizes = [first, *[8] * 6]
    ends = [4.0 * turn + n / 100 for turn, size in enumerate(sizes) for n in range(size)]
    rate = throughput([Reply(200, 0.0, end) for end in ends], warm=24, batch=8)
    assert rate == pytest.approx(2, rel=0.02)


def test_answers_without_batches_have_no_such_throughput() -> None:
    with pytest.raises(ValueError, match="batches of up to 8"):
        throughput([Reply(200, 0.0, float(n)) for n in range(50)], warm=24, batch=8)
