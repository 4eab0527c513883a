"""Blur: (B, 3, H, W) in [0, 1] -> the same shape and range."""

import math
from typing import Literal

from pydantic import Field

from drdd.degradations import kernels
from drdd.degradations.deferred import Generator, Tensor
from drdd.degradations.draws import Range, draw
from drdd.degradations.ranges import Degrees, Lengths, Radii
from drdd.degradations.registry import Step, degradation


class GaussianBlur(Step):
    kind: Literal["gaussian_blur"]
    sigma: Radii = Field(default=[1.0, 3.0], description="pixels")


@degradation(GaussianBlur)
def gaussian_blur(x: Tensor, rng: Generator, *, sigma: Range) -> Tensor:
    """Convolution with a Gaussian; sigma in pixels."""
    return kernels.smoothed(x, draw(x, rng, sigma), largest=sigma[1]).clamp(0, 1)


class MotionBlur(Step):
    kind: Literal["motion_blur"]
    length: Lengths = Field(default=[7, 21], description="pixels")
    angle: Degrees = Field(
        default=[-90, 90], description="degrees from the horizontal, anticlockwise"
    )


@degradation(MotionBlur)
def motion_blur(x: Tensor, rng: Generator, *, length: Range, angle: Range) -> Tensor:
    """A straight, even motion of the camera: the mean over a line segment.

    length: in pixels; angle: in degrees, anticlockwise from the horizontal.
    """
    drawn = draw(x, rng, length), draw(x, rng, angle)
    return _blurred(x, kernels.segment(*drawn, reach=math.ceil((length[1] + 1) / 2)))


class DefocusBlur(Step):
    kind: Literal["defocus_blur"]
    radius: Radii = Field(default=[2.0, 5.0], description="of the disc, pixels")


@degradation(DefocusBlur)
def defocus_blur(x: Tensor, rng: Generator, *, radius: Range) -> Tensor:
    """An out-of-focus lens with a round aperture: the mean over a disc; radius in pixels."""
    return _blurred(x, kernels.disc(draw(x, rng, radius), reach=math.ceil(radius[1] + 0.5)))


def _blurred(x: Tensor, weights: Tensor) -> Tensor:
    return kernels.convolved(x, weights / weights.sum((-2, -1), keepdim=True)).clamp(0, 1)
