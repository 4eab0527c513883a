"""Degradations: (B, 3, H, W) in [0, 1] -> the same shape and range.

Every random quantity is drawn from the given generator, once per image of the batch; a `Range` is
drawn uniformly from [low, high]. The forms are the usual ones of the restoration literature.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Range = tuple[float, float]


def gaussian_noise(x: Tensor, rng: torch.Generator, *, sigma: Range) -> Tensor:
    """x + n, n ~ N(0, sigma^2); sigma in grey levels of 255."""
    level = _draw(x, rng, sigma) / 255
    return (x + level * _normal(x.shape, x, rng)).clamp(0, 1)


def low_light(
    x: Tensor, rng: torch.Generator, *, gain: Range, gamma: Range, sigma: Range
) -> Tensor:
    """gain * x^gamma + n: an under-exposed picture with sensor noise sigma (grey levels of 255)."""
    dark = _draw(x, rng, gain) * x ** _draw(x, rng, gamma)
    level = _draw(x, rng, sigma) / 255
    return (dark + level * _normal(x.shape, x, rng)).clamp(0, 1)


def haze(x: Tensor, rng: torch.Generator, *, density: Range, airlight: Range) -> Tensor:
    """Koschmieder's law: x * t + A * (1 - t), t = exp(-density * depth).

    The depth proxy, in [0, 1], grows from the bottom of the picture to its top, as in outdoor
    scenes, modulated by a smooth random field.
    """
    batch, _, height, width = x.shape
    rows = torch.linspace(1, 0, height, device=x.device).view(1, 1, height, 1)
    field = F.interpolate(
        _uniform((batch, 1, 4, 4), x, rng), (height, width), mode="bicubic", align_corners=False
    ).clamp(0, 1)
    depth = 0.35 + 0.4 * rows + 0.25 * field
    transmission = torch.exp(-_draw(x, rng, density) * depth)
    return x * transmission + _draw(x, rng, airlight) * (1 - transmission)


def rain(
    x: Tensor,
    rng: torch.Generator,
    *,
    density: Range,
    length: Range,
    angle: Range,
    strength: Range,
) -> Tensor:
    """Bright streaks, blended as a screen: x + r * (1 - x).

    density: drops per pixel; length: of a streak in pixels; angle: from the vertical, in degrees;
    strength: the brightness of a streak in (0, 1].
    """
    batch, _, height, width = x.shape
    drops = _uniform((batch, 1, height, width), x, rng)
    drops = (drops < _draw(x, rng, density)).to(x.dtype) * (
        0.5 + 0.5 * _uniform((batch, 1, height, width), x, rng)
    )
    kernel = _streak(_draw(x, rng, length), _draw(x, rng, angle), math.ceil(length[1]) | 1)
    streaks = F.conv2d(
        drops.transpose(0, 1), kernel, padding=kernel.shape[-1] // 2, groups=batch
    ).transpose(0, 1)
    veil = (_draw(x, rng, strength) * streaks).clamp(0, 1)
    return x + veil * (1 - x)


def _streak(length: Tensor, angle: Tensor, size: int) -> Tensor:
    """(B, 1, size, size): a soft line segment of the given length and angle, peak 1."""
    half = size // 2
    axis = torch.arange(-half, half + 1, device=length.device, dtype=length.dtype)
    row, column = torch.meshgrid(axis, axis, indexing="ij")
    radians = angle * (math.pi / 180)
    along = row * radians.cos() + column * radians.sin()
    across = column * radians.cos() - row * radians.sin()
    inside = (length / 2 - along.abs()).clamp(0, 1)
    return inside * torch.exp(-(across**2) / (2 * 0.6**2))


def _draw(x: Tensor, rng: torch.Generator, bounds: Range) -> Tensor:
    low, high = bounds
    return low + (high - low) * _uniform((x.shape[0], 1, 1, 1), x, rng)


def _uniform(shape: tuple[int, ...], like: Tensor, rng: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=rng, device=rng.device, dtype=like.dtype).to(like.device)


def _normal(shape: torch.Size, like: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=rng, device=rng.device, dtype=like.dtype).to(like.device)
