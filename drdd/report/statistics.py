"""Confidence intervals of means over pictures and of paired differences, by the bootstrap.

Pictures that share a target (variants of one photograph) are not independent, so targets are resampled,
each with all its pictures (the cluster bootstrap; Davison & Hinkley 1997, 3.8).

The interval is the expanded percentile interval (Hesterberg, Am. Stat. 69, 2015, 4.1): percentiles of
the resampled means, adjusted to the width of Student's interval for the number of pictures. Plain
percentiles are too narrow by sqrt((n - 1) / n) and by z / t: with four pictures they would contain the
true mean in only 80 % of cases.

Resampled means never exceed the range of the values, so with fewer than eight targets even these
intervals are too narrow: docs/evaluation.md has the measured coverage.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

LEVEL = 0.95
RESAMPLES = 10_000
Interval = tuple[float, float]


def interval(values: Sequence[float], clusters: Sequence[str], seed: int = 0) -> Interval | None:
    """The interval of the mean of `values`, a pure function. clusters: the cluster of each value.

    None for fewer than two clusters. Raises ValueError for non-finite values.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) != len(clusters) or not np.isfinite(x).all():
        raise ValueError("need a finite value for each cluster's member")
    _, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    counts = np.bincount(member).astype(np.float64)
    n = len(counts)
    if n < 2:
        return None
    means = _resampled(np.bincount(member, x).astype(np.float64), counts, seed)
    tail = norm.cdf(-sqrt(n / (n - 1)) * t.ppf((1 + LEVEL) / 2, n - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _resampled(
    sums: NDArray[np.float64], counts: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """RESAMPLES means, each over as many clusters as given, drawn with replacement."""
    drawn = _drawn(len(counts), seed, RESAMPLES)
    means: NDArray[np.float64] = (drawn @ sums) / (drawn @ counts)
    return means


@lru_cache(maxsize=1)  # all metrics of a task draw the same clusters
def _drawn(n: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """(resamples, n): how often each of n clusters is drawn."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return drawn.astype(np.float64)
