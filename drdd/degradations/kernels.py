"""Convolution kernels, one per image of a batch, and convolutions with them."""

import itertools
import math
from typing import Literal

from drdd.degradations.deferred import F, Tensor, torch

TRUNCATED = 4.0
"""Radius of a truncated Gaussian, in standard deviations."""

DIRECT = 25
"""Weights of a kernel up to which a direct sum is faster than Fourier transforms."""


def gaussian(sigma: Tensor | float, radius: int, like: Tensor) -> Tensor:
    """(..., 2 * radius + 1) for sigma (..., 1) in pixels: exp(-i^2 / (2 sigma^2)), sum 1."""
    axis = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    kernel = torch.exp(-(axis**2) / (2 * sigma**2))
    return kernel / kernel.sum(-1, keepdim=True)


def smoothed(x: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """x, (B, C, H, W), with Gaussians of sigma (B, 1, 1, 1) pixels, none above `largest`."""
    kernel = gaussian(sigma.view(-1, 1), math.ceil(TRUNCATED * largest), x)
    return convolved(x, kernel[:, None, :, None] * kernel[:, None, None, :])


def disc(radius: Tensor, reach: int) -> Tensor:
    """(B, 1, K, K) with K = 2 * reach + 1 for radius (B, 1, 1, 1) in pixels.

    Each weight is the share of its pixel inside the disc, approximated by a straight edge; 1 in the middle.
    """
    row, column = grid(radius, reach)
    return (radius + 0.5 - (row**2 + column**2).sqrt()).clamp(0, 1)


def segment(length: Tensor, angle: Tensor, reach: int) -> Tensor:
    """(B, 1, K, K) with K = 2 * reach + 1: a line segment of width 1, 1 in its middle.

    length (B, 1, 1, 1) in pixels; angle (B, 1, 1, 1) in degrees, anticlockwise from the horizontal.
    """
    row, column = grid(length, reach)
    radians = angle * (math.pi / 180)
    along = column * radians.cos() - row * radians.sin()
    across = column * radians.sin() + row * radians.cos()
    return (length / 2 + 0.5 - along.abs()).clamp(0, 1) * (1 - across.abs()).clamp(0, 1)


def convolved(
    x: Tensor, kernels: Tensor, border: Literal["replicate", "constant"] = "replicate"
) -> Tensor:
    """Image b of x, (B, C, H, W), with kernel b of (B, 1, K, L), K and L odd; every channel alike.

    As F.conv2d, kernels are not mirrored. Outside, pixels are those of the border, or 0 ("constant").
    """
    height, width = x.shape[-2:]
    rows, columns = kernels.shape[-2:]
    if rows * columns <= DIRECT:
        reach = (columns // 2, columns // 2, rows // 2, rows // 2)
        return _summed(F.pad(x, reach, mode=border), kernels)
    size = _fast_length(height + rows - 1), _fast_length(width + columns - 1)
    top, left = rows // 2, columns // 2
    around = (left, size[1] - width - left, top, size[0] - height - top)
    transformed = torch.fft.rfft2(F.pad(x, around, mode=border))
    transformed *= torch.fft.rfft2(kernels, s=size).conj()
    return torch.fft.irfft2(transformed, s=size)[..., :height, :width]


def _summed(padded: Tensor, kernels: Tensor) -> Tensor:
    """(B, C, H + K - 1, W + L - 1) with (B, 1, K, L) -> (B, C, H, W), by a direct sum."""
    batch, channels = padded.shape[:2]
    groups = batch * channels
    weights = kernels.expand(-1, channels, -1, -1).reshape(groups, 1, *kernels.shape[-2:])
    summed = F.conv2d(padded.reshape(1, groups, *padded.shape[-2:]), weights, groups=groups)
    return summed.view(batch, channels, *summed.shape[-2:])


def _fast_length(least: int) -> int:
    """The smallest length from `least` without a prime factor above 5: it is fast to transform."""
    return next(length for length in itertools.count(least) if 30**20 % length == 0)


def separably(x: Tensor, kernels: Tensor) -> Tensor:
    """Image b of x, (B, C, H, W), along its rows and then its columns with kernel b of (B, K)."""
    rows = convolved(x, kernels[:, None, None, :])
    return convolved(rows, kernels[:, None, :, None])


def grid(like: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Row and column of each weight, from the middle, in pixels; rows grow downwards."""
    axis = torch.arange(-reach, reach + 1, dtype=like.dtype, device=like.device)
    row, column = torch.meshgrid(axis, axis, indexing="ij")
    return row, column
