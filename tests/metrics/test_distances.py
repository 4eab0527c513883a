"""Distances whose answers are known in closed form; shares that no scale, shift or turn changes."""

from collections.abc import Callable
from math import erf, exp, pi, sqrt

import pytest
import torch
from torch import Tensor

from drdd.metrics.distances import energy, energy_share, frechet, frechet_share

Distance = Callable[[Tensor, Tensor], float]
SHARES: list[Distance] = [energy_share, frechet_share]


def _normal(seed: int, count: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=generator, dtype=torch.float64)


def _quantiles(count: int) -> Tensor:
    """Of the standard normal distribution, as (count, 1)."""
    shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.special.ndtri(shares)[:, None]


def _mean_absolute(mean: float, deviation: float) -> float:
    """E|Z| of Z ~ N(mean, deviation^2), the folded normal distribution."""
    z = mean / deviation
    return deviation * sqrt(2 / pi) * exp(-(z**2) / 2) + mean * erf(z / sqrt(2))


def _with_moments(x: Tensor, mean: Tensor, root: Tensor) -> Tensor:
    """x, moved to have exactly this mean and the covariance root root^T."""
    x = x - x.mean(0)
    whitened = torch.linalg.solve_triangular(
        torch.linalg.cholesky(x.T @ x / (len(x) - 1)), x.T, upper=False
    ).T
    return whitened @ root.T + mean


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def test_frechet_is_the_formula_of_two_gaussians() -> None:
    means, roots = _normal(0, 2, 4), [_normal(seed, 4, 4) for seed in (1, 2)]
    a, b = (
        _with_moments(_normal(3 + i, count, 4), means[i], roots[i])
        for i, count in enumerate((60, 90))
    )
    first, second = (root @ root.T for root in roots)
    middle = _root(_root(first) @ second @ _root(first))
    expected = (means[0] - means[1]).square().sum() + (first + second - 2 * middle).trace()
    assert frechet(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_frechet_of_more_dimensions_than_rows_is_a_turn_of_fewer() -> None:
    a, b = _normal(0, 12, 5), 2 * _normal(1, 9, 5) + 1
    turn, _ = torch.linalg.qr(_normal(2, 400, 5))
    assert frechet(a @ turn.T, b @ turn.T) == pytest.approx(frechet(a, b), rel=1e-9)


def test_frechet_of_a_shift_is_its_square() -> None:
    a = _normal(0, 30, 100)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet(a, a + 0.3) == pytest.approx(100 * 0.09, rel=1e-9)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.0, 1.0), (0.5, 2.0)])
def test_energy_of_two_gaussians_in_one_dimension(shift: float, scale: float) -> None:
    a, b = _quantiles(2000), scale * _quantiles(1999) + shift
    expected = (
        2 * _mean_absolute(shift, sqrt(1 + scale**2))
        - _mean_absolute(0, sqrt(2))
        - _mean_absolute(0, sqrt(2) * scale)
    )
    assert energy(a, b) == pytest.approx(expected, abs=0.003)


def test_energy_by_hand() -> None:
    a, b = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [4.0], [4.0]])
    assert energy(a, b) == pytest.approx(2 * (1 + 4 + 4 + 1 + 2 + 2) / 6 - 2 - (3 + 3 + 0) / 3)


@pytest.mark.parametrize("distance", [energy, frechet, *SHARES])
def test_symmetric_and_zero_of_itself(distance: Distance) -> None:
    a, b = _normal(0, 40, 50), _normal(1, 30, 50) + 0.2
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-9)
    assert distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("share", SHARES)
def test_a_share_ignores_scale_shift_and_turn(share: Distance) -> None:
    a, b = _normal(0, 60, 50), 1.5 * _normal(1, 60, 50) + 0.3
    turn, _ = torch.linalg.qr(_normal(2, 50, 50))
    moved = share(7 * a @ turn + 100, 7 * b @ turn + 100)
    assert moved == pytest.approx(share(a, b), rel=1e-6)


@pytest.mark.parametrize("share", SHARES)
def test_a_share_is_one_of_two_points_and_grows_with_distance(share: Distance) -> None:
    a = 1e-6 * _normal(0, 20, 3)
    assert share(a, a.flip(0) + 1) == pytest.approx(1, abs=1e-3)
    assert share(torch.zeros(9, 3), torch.zeros(9, 3)) == 0
    x, y = _normal(1, 100, 8), _normal(2, 100, 8)
    shares = [share(x, y + shift) for shift in (0.1, 0.3, 1.0, 3.0)]
    assert shares == sorted(shares)
    assert shares[-1] < 1


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("width", [8, 1280])
def test_equal_distributions_scatter_around_zero(share: Distance, width: int) -> None:
    drawn = [share(_normal(2 * i, 128, width), _normal(2 * i + 1, 128, width)) for i in range(10)]
    assert abs(sum(drawn) / 10) < 0.006
    assert min(drawn) < 0 < max(drawn)


@pytest.mark.parametrize("share", SHARES)
def test_versions_of_the_same_rows_are_not_called_closer_than_they_are(share: Distance) -> None:
    content = 3 * _normal(0, 256, 20)
    a, b = content + _normal(1, 256, 20), content + _normal(2, 256, 20)
    assert share(a, b) == pytest.approx(0, abs=0.003)


def test_what_cannot_be_compared_is_refused() -> None:
    for a, b in (((4, 3), (4, 2)), ((1, 3), (4, 3)), ((4,), (4,))):
        with pytest.raises(ValueError, match="at least 2 rows"):
            energy(torch.zeros(a), torch.zeros(b))
    with pytest.raises(ValueError, match="not finite"):
        frechet(torch.zeros(4, 3), torch.full((4, 3), float("nan")))
