"""Convolution kernels, one per image of a batch, and convolutions with them.

Borders are replicated, so that pictures smaller than a kernel can be blurred.
"""

import math

from drdd.degradations.deferred import F, Tensor, torch

TRUNCATED = 4.0
"""Radius of a truncated Gaussian, in standard deviations."""


def gaussian(sigma: Tensor | float, radius: int, like: Tensor) -> Tensor:
    """(..., 2 * radius + 1) for sigma (..., 1) in pixels: exp(-i^2 / (2 sigma^2)), sum 1."""
    axis = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    kernel = torch.exp(-(axis**2) / (2 * sigma**2))
    return kernel / kernel.sum(-1, keepdim=True)


def smoothed(x: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """x, (B, C, H, W), with Gaussians of sigma (B, 1, 1, 1) pixels, none above `largest`."""
    return separably(x, gaussian(sigma.view(-1, 1), math.ceil(TRUNCATED * largest), x))


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


def convolved(x: Tensor, kernels: Tensor) -> Tensor:
    """Image b of x, (B, C, H, W), with kernel b of (B, 1, K, K), K odd; every channel alike."""
    batch, channels, height, width = x.shape
    reach_rows, reach_columns = kernels.shape[-2] // 2, kernels.shape[-1] // 2
    padded = F.pad(x, (reach_columns, reach_columns, reach_rows, reach_rows), mode="replicate")
    groups = batch * channels
    weights = kernels.expand(-1, channels, -1, -1).reshape(groups, 1, *kernels.shape[-2:])
    joined = padded.reshape(1, groups, *padded.shape[-2:])
    return F.conv2d(joined, weights, groups=groups).view(batch, channels, height, width)


def separably(x: Tensor, kernels: Tensor) -> Tensor:
    """Image b of x, (B, C, H, W), along its rows and then its columns with kernel b of (B, K)."""
    rows = convolved(x, kernels[:, None, None, :])
    return convolved(rows, kernels[:, None, :, None])


def grid(like: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Row and column of each weight, from the middle, in pixels; rows grow downwards."""
    axis = torch.arange(-reach, reach + 1, dtype=like.dtype, device=like.device)
    row, column = torch.meshgrid(axis, axis, indexing="ij")
    return row, column
