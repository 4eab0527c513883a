"""Blur: (B, 3, H, W) in [0, 1] -> the same shape and range."""

import math

import torch
from torch import Tensor

from drdd.degradations import kernels
from drdd.degradations.draws import Range, draw


def gaussian_blur(x: Tensor, rng: torch.Generator, *, sigma: Range) -> Tensor:
    """Convolution with a Gaussian; sigma in pixels."""
    return kernels.smoothed(x, draw(x, rng, sigma), largest=sigma[1]).clamp(0, 1)


def motion_blur(x: Tensor, rng: torch.Generator, *, length: Range, angle: Range) -> Tensor:
    """A straight, even motion of the camera: the mean over a line segment.

    length: in pixels; angle: in degrees, anticlockwise from the horizontal.
    """
    drawn = draw(x, rng, length), draw(x, rng, angle)
    return _blurred(x, kernels.segment(*drawn, reach=math.ceil((length[1] + 1) / 2)))


def defocus_blur(x: Tensor, rng: torch.Generator, *, radius: Range) -> Tensor:
    """An out-of-focus lens with a round aperture: the mean over a disc; radius in pixels."""
    return _blurred(x, kernels.disc(draw(x, rng, radius), reach=math.ceil(radius[1] + 0.5)))


def _blurred(x: Tensor, weights: Tensor) -> Tensor:
    return kernels.convolved(x, weights / weights.sum((-2, -1), keepdim=True)).clamp(0, 1)
