"""Light and colour: (B, 3, H, W) in [0, 1] -> the same shape and range."""

from typing import Literal

from pydantic import Field

from drdd.degradations import kernels
from drdd.degradations.deferred import F, Generator, Tensor, torch
from drdd.degradations.draws import Range, draw, normal
from drdd.degradations.ranges import Exponents, Gradients, GreyLevels, Radii, Shares
from drdd.degradations.registry import Step, degradation

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B in the luma of ITU-R BT.601."""

VEIL = 0.8
"""The lightness to which a print fades."""

THINNESS = 4
"""Of drawn lines: the power of each gradient's ratio to the largest around it."""


class LowLight(Step):
    kind: Literal["low_light"]
    gain: Shares = Field(default=[0.15, 0.4], description="brightness that is left")
    gamma: Exponents = Field(default=[1.0, 1.4], description="above 1 darkens the shadows more")
    sigma: GreyLevels = Field(default=[1, 5], description="sensor noise, grey levels of 255")


@degradation(LowLight)
def low_light(x: Tensor, rng: Generator, *, gain: Range, gamma: Range, sigma: Range) -> Tensor:
    """gain * x^gamma + n: an under-exposed picture with sensor noise sigma (grey levels of 255)."""
    dark = draw(x, rng, gain) * x ** draw(x, rng, gamma)
    level = draw(x, rng, sigma) / 255
    return (dark + level * normal(x.shape, x, rng)).clamp(0, 1)


class Fading(Step):
    kind: Literal["fading"]
    saturation: Shares = Field(default=[0.2, 0.5], description="share of the colour that is left")
    contrast: Shares = Field(default=[0.4, 0.7], description="share of the contrast that is left")
    yellowing: Shares = Field(default=[0.1, 0.3], description="blue that the veil lacks")


@degradation(Fading)
def fading(
    x: Tensor, rng: Generator, *, saturation: Range, contrast: Range, yellowing: Range
) -> Tensor:
    """An old print: c * (y + s * (x - y)) + (1 - c) * veil, with luma y.

    saturation s and contrast c: the shares that are left; yellowing: how much darker than red the
    veil is in blue, and half as much in green.
    """
    left = draw(x, rng, saturation)
    y = luma(x)
    faded = y + left * (x - y)
    kept = draw(x, rng, contrast)
    loss = torch.tensor([0.0, 0.5, 1.0], dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    veil = VEIL - draw(x, rng, yellowing) * loss
    return (kept * faded + (1 - kept) * veil).clamp(0, 1)


class Grey(Step):
    kind: Literal["grey"]


@degradation(Grey)
def grey(x: Tensor, rng: Generator) -> Tensor:
    """The luma in all three channels, for colourisation; nothing is drawn."""
    return luma(x).expand_as(x).clamp(0, 1)


class Edges(Step):
    kind: Literal["edges"]
    sigma: Radii = Field(
        default=[0.8, 1.2], description="smoothing before edges are sought, pixels"
    )
    threshold: Gradients = Field(
        default=[0.02, 0.04], description="gradient at which a line begins, of white, a pixel"
    )


@degradation(Edges)
def edges(x: Tensor, rng: Generator, *, sigma: Range, threshold: Range) -> Tensor:
    """A line drawing, dark on white: ridges of the luma's gradient, as by Canny but soft.

    sigma: of the Gaussian that precedes Sobel's filter, pixels; threshold: the gradient, in grey
    levels from 0 to 1 a pixel, at which a line begins; at twice of it the line is black.
    """
    smooth = kernels.smoothed(luma(x), draw(x, rng, sigma), largest=sigma[1])
    gradient = _gradient(smooth)
    darkness = (gradient / draw(x, rng, threshold) - 1).clamp(0, 1)
    ridge = (gradient / F.max_pool2d(gradient, 3, stride=1, padding=1).clamp(min=1e-6)) ** THINNESS
    return (1 - darkness * ridge).expand_as(x).contiguous()


def luma(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W), in the range of x."""
    weights = torch.tensor(LUMA, dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def _gradient(y: Tensor) -> Tensor:
    """The length of the gradient of y, (B, 1, H, W), a pixel, by Sobel's filter."""
    sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], dtype=y.dtype, device=y.device) / 8
    across, down = (
        kernels.convolved(y, kernel.expand(len(y), 1, 3, 3)) for kernel in (sobel, sobel.T)
    )
    return (across**2 + down**2).sqrt()
