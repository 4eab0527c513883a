"""Distances between two sets of vectors, in absolute units and relative to their spread.

Neither of the two distances needs scipy's matrix square root:

- energy: 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely & Rizzo, J. Stat. Plan. Inference 143, 2013).
- Frechet: |mx - my|^2 + tr(Cx + Cy - 2 (Cx Cy)^(1/2)), the squared 2-Wasserstein distance of the
  Gaussians fitted to the sets (Dowson & Landau, J. Multivar. Anal. 12, 1982; Heusel et al., 2017).

Noise spreads every set, so a distance in absolute units says little across noise levels. The
`share` functions divide each distance by its value for independent draws of the two sets: 2 E|X - Y|,
and E|X - Y|^2. Both shares are 0 for equal distributions (equal Gaussians), 1 for two distinct points, and
invariant to scale, rotation and shift.
The first is the energy coefficient of inhomogeneity (Rizzo & Szekely, WIREs Comput. Stat. 8, 2016).

Both shares are estimated without the bias of a few hundred samples, which grows with noise. In exchange,
estimates for two equal distributions scatter around 0 and can be negative.
"""

import torch
from torch import Tensor

DIRECTIONS = 32


def energy(a: Tensor, b: Tensor) -> float:
    """The energy distance of a: (N, D) and b: (M, D); unbiased (a U-statistic).

    In sets of one size, a[i] is never compared with b[i], which may be a version of the same
    picture (the U-statistic of Gretton et al., JMLR 13, 2012, lemma 6).
    """
    between, within = _energy_parts(a, b)
    return 2 * (between - within)


def energy_share(a: Tensor, b: Tensor) -> float:
    """energy(a, b) / (2 E|X - Y|), at most 1."""
    between, within = _energy_parts(a, b)
    return (between - within) / between if between else 0.0


def frechet(a: Tensor, b: Tensor) -> float:
    """The squared Frechet distance of the Gaussians fitted to a: (N, D) and b: (M, D), exactly.

    tr (Cx Cy)^(1/2) is the sum of the singular values of A B^T / sqrt((N - 1) (M - 1)), A and B
    being the centred sets: Cx Cy and (A B^T)(A B^T)^T / ((N - 1) (M - 1)) have the same non-zero
    eigenvalues. So it is defined for D > N, and costs an SVD of an N x M (or D x D) matrix.
    """
    return _frechet_parts(a.double(), b.double())[0]


def frechet_share(a: Tensor, b: Tensor, directions: int = DIRECTIONS) -> float:
    """The Frechet distance / E|X - Y|^2, in the first principal directions of both sets together.

    Rows i of two sets of one size may be versions of the same picture. The distance of two samples
    is too large by about c / N for any distributions, so it is extrapolated to infinite samples from
    all rows and from both halves (Chong & Forsyth, CVPR 2020). With more than some tens of directions, c
    / N would not describe the bias at a few hundred rows.
    """
    a, b = _principal(a.double(), b.double(), directions)
    whole, squared = _frechet_parts(a, b)
    halves = [_frechet_parts(a[start::2], b[start::2])[0] for start in (0, 1)]
    return (2 * whole - sum(halves) / 2) / squared if squared else 0.0


def _energy_parts(a: Tensor, b: Tensor) -> tuple[float, float]:
    """E|X - Y|, and the mean of E|X - X'| and E|Y - Y'|."""
    a, b = _checked(a.double(), b.double())
    middle = torch.cat([a, b]).mean(0)
    a, b = a - middle, b - middle
    between = _mean_distance(a, b, all_pairs=len(a) != len(b))
    within = [_mean_distance(s, s, all_pairs=False) for s in (a, b)]
    return between, sum(within) / 2


def _mean_distance(a: Tensor, b: Tensor, all_pairs: bool) -> float:
    # In float64 and centred, the matrix product (20 times as fast) is exact enough.
    distances = torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist")
    if all_pairs:
        return float(distances.mean())
    return float((distances.sum() - distances.diagonal().sum()) / (len(a) * (len(b) - 1)))


def _frechet_parts(a: Tensor, b: Tensor) -> tuple[float, float]:
    """The squared distance, and E|X - Y|^2 of independent draws."""
    a, b = _checked(a, b)
    shift = float((a.mean(0) - b.mean(0)).square().sum())
    a, b = ((s - s.mean(0)) / (len(s) - 1) ** 0.5 for s in (a, b))
    spread = float(a.square().sum() + b.square().sum())
    return shift + max(0.0, spread - 2 * _trace_root(a, b)), shift + spread


def _trace_root(a: Tensor, b: Tensor) -> float:
    """tr (A^T A B^T B)^(1/2): the sum of the singular values of A B^T."""
    if a.shape[1] < min(len(a), len(b)):
        # A = Q R has A B^T's singular values in R_a R_b^T, which is smaller.
        a, b = (torch.linalg.qr(s, mode="r").R for s in (a, b))
    return float(torch.linalg.svdvals(a @ b.T).sum())


def _principal(a: Tensor, b: Tensor, directions: int) -> tuple[Tensor, Tensor]:
    """Both sets in the first principal directions of their union; as they are if D is no larger."""
    a, b = _checked(a, b)
    if a.shape[1] <= directions:
        return a, b
    both = torch.cat([a, b])
    both = both - both.mean(0)
    # Coordinates along the principal directions, from the Gram matrix: D may be large.
    values, vectors = torch.linalg.eigh(both @ both.T)
    scores = vectors[:, -directions:] * values[-directions:].clamp(min=0).sqrt()
    return scores[: len(a)], scores[len(a) :]


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"need (N, D) and (M, D) of at least 2 rows: {tuple(a.shape)}, {tuple(b.shape)}"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("a vector is not finite")
    return a, b
