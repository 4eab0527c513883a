"""Noise: (B, 3, H, W) in [0, 1] -> the same shape and range."""

import math
from typing import Literal

from pydantic import Field

from drdd.degradations.deferred import Generator, Tensor, torch
from drdd.degradations.draws import Range, draw, normal, uniform
from drdd.degradations.ranges import GreyLevels, Photons, Shares
from drdd.degradations.registry import Step, degradation

FEW, MANY = 10, 33
"""Photons: below FEW on average, more than MANY have a probability below 1e-9."""


class GaussianNoise(Step):
    kind: Literal["gaussian_noise"]
    sigma: GreyLevels = Field(
        default=[15, 50], description="standard deviation, grey levels of 255"
    )


@degradation(GaussianNoise)
def gaussian_noise(x: Tensor, rng: Generator, *, sigma: Range) -> Tensor:
    """x + n, n ~ N(0, sigma^2); sigma in grey levels of 255."""
    level = draw(x, rng, sigma) / 255
    return (x + level * normal(x.shape, x, rng)).clamp(0, 1)


class PoissonNoise(Step):
    kind: Literal["poisson_noise"]
    peak: Photons = Field(default=[10, 60], description="photons that white is counted as")


@degradation(PoissonNoise)
def poisson_noise(x: Tensor, rng: Generator, *, peak: Range) -> Tensor:
    """Shot noise, Poisson(peak * x) / peak; peak: the photon count of white."""
    photons = draw(x, rng, peak)
    return (_poisson(photons * x, rng) / photons).clamp(0, 1)


def _poisson(mean: Tensor, rng: Generator) -> Tensor:
    """Counts ~ Poisson(mean), of any shape; several times faster than torch.poisson on a CPU.

    From FEW on by an expansion of the quantile function about the normal one's, which gives another
    count with a probability below 2e-4; below FEW by inversion.
    """
    means = mean.flatten()
    counts = _expanded(means.clamp(min=FEW), normal(means.shape, mean, rng))
    few = (means < FEW).nonzero()[:, 0]
    counts[few] = _inverted(means[few], uniform(few.shape, mean, rng))
    return counts.view(mean.shape)


def _expanded(mean: Tensor, w: Tensor) -> Tensor:
    """The Poisson quantile of probability Phi(w): Giles, Algorithm 955 (ACM TOMS 42, 2016), Q_N3."""
    w2, root = w * w, mean.sqrt()
    third = (w2 / 270 + 7 / 810).mul_(w2).sub_(8 / 405).div_(root)
    second = (w2 / 72 + 1 / 36).mul_(w)
    x = third.sub_(second).div_(root).add_(w2, alpha=1 / 6).add_(1 / 3)
    return x.addcmul_(root, w).add_(mean).floor_().clamp_(min=0)


def _inverted(mean: Tensor, u: Tensor) -> Tensor:
    """The Poisson quantile of probability u, for means below FEW: how many terms fit into u.

    u is used up. Buffers are made once, because making them takes longer than computing.
    """
    counts, fits, power = torch.zeros_like(u), torch.empty_like(u), torch.exp(-mean)
    for k in range(MANY):
        u.sub_(power, alpha=1 / math.factorial(k))
        counts.add_(torch.ge(u, 0, out=fits))
        power.mul_(mean)
    return counts


class SaltAndPepper(Step):
    kind: Literal["salt_and_pepper"]
    density: Shares = Field(default=[0.02, 0.1], description="share of white or black pixels")


@degradation(SaltAndPepper)
def salt_and_pepper(x: Tensor, rng: Generator, *, density: Range) -> Tensor:
    """A share `density` of the pixels turns white or black, either with the same probability."""
    batch, _, height, width = x.shape
    share = draw(x, rng, density)
    place = uniform((batch, 1, height, width), x, rng)
    salted = torch.where(place < share / 2, torch.ones_like(x), x)
    return torch.where((place >= share / 2) & (place < share), torch.zeros_like(x), salted)


class Speckle(Step):
    kind: Literal["speckle"]
    sigma: Shares = Field(default=[0.15, 0.4], description="standard deviation, parts of the value")


@degradation(Speckle)
def speckle(x: Tensor, rng: Generator, *, sigma: Range) -> Tensor:
    """x + x * n, n ~ N(0, sigma^2): multiplicative noise, as of radar, sonar and ultrasound."""
    return (x + x * draw(x, rng, sigma) * normal(x.shape, x, rng)).clamp(0, 1)
