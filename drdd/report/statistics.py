"""How sure a mean over pictures is: bootstrap intervals, of means and of paired differences.

Pictures that share a target (variants of one photograph) say the same thing more than once, so targets
are drawn anew, each with all its pictures (the cluster bootstrap; Davison & Hinkley 1997, 3.8).

The interval is the expanded percentile interval (Hesterberg, Am. Stat. 69, 2015, 4.1): percentiles of
the resampled means, taken so far out that the interval is as wide as Student's for as few pictures.
Plain percentiles are too narrow by sqrt((n - 1) / n) and by z / t: at four pictures they would hold the
true mean in four cases of five.

No resampled mean lies beyond the values themselves, so for fewer than eight targets even these are too
narrow: docs/evaluation.md has the coverage measured.
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
    """Of the mean of `values`; clusters: what each belongs to. The same arguments, the same interval.

    None for fewer than two clusters: one picture says nothing of others. Raises ValueError for values
    that are no finite numbers.
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
    """RESAMPLES means, each of as many clusters as there are, drawn with replacement."""
    drawn = _drawn(len(counts), seed, RESAMPLES)
    means: NDArray[np.float64] = (drawn @ sums) / (drawn @ counts)
    return means


@lru_cache(maxsize=1)  # all metrics of a task draw the same clusters
def _drawn(n: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """(resamples, n): how often each of n clusters is drawn."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return drawn.astype(np.float64)
