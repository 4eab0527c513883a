"""Noise: (B, 3, H, W) in [0, 1] -> the same shape and range."""

import torch
from torch import Tensor

from drdd.degradations.draws import Range, draw, normal, uniform


def gaussian_noise(x: Tensor, rng: torch.Generator, *, sigma: Range) -> Tensor:
    """x + n, n ~ N(0, sigma^2); sigma in grey levels of 255."""
    level = draw(x, rng, sigma) / 255
    return (x + level * normal(x.shape, x, rng)).clamp(0, 1)


def poisson_noise(x: Tensor, rng: torch.Generator, *, peak: Range) -> Tensor:
    """Shot noise, Poisson(peak * x) / peak; peak: the photons that white is counted as."""
    photons = draw(x, rng, peak)
    counted = torch.poisson((photons * x).to(rng.device), generator=rng).to(x.device)
    return (counted / photons).clamp(0, 1)


def salt_and_pepper(x: Tensor, rng: torch.Generator, *, density: Range) -> Tensor:
    """A share `density` of the pixels turns white or black, either with the same probability."""
    batch, _, height, width = x.shape
    share = draw(x, rng, density)
    place = uniform((batch, 1, height, width), x, rng)
    salted = torch.where(place < share / 2, torch.ones_like(x), x)
    return torch.where((place >= share / 2) & (place < share), torch.zeros_like(x), salted)


def speckle(x: Tensor, rng: torch.Generator, *, sigma: Range) -> Tensor:
    """x + x * n, n ~ N(0, sigma^2): multiplicative noise, as of radar, sonar and ultrasound."""
    return (x + x * draw(x, rng, sigma) * normal(x.shape, x, rng)).clamp(0, 1)
