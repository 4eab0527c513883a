"""Noise: (B, 3, H, W) in [0, 1] -> the same shape and range."""

from typing import Literal

from pydantic import Field

from drdd.degradations.deferred import Generator, Tensor, torch
from drdd.degradations.draws import Range, draw, normal, uniform
from drdd.degradations.ranges import GreyLevels, Photons, Shares
from drdd.degradations.registry import Step, degradation


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
    counted = torch.poisson((photons * x).to(rng.device), generator=rng).to(x.device)
    return (counted / photons).clamp(0, 1)


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
