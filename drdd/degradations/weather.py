"""Weather: (B, 3, H, W) in [0, 1] -> the same shape and range."""

import math
from typing import Literal

from pydantic import Field

from drdd.degradations import kernels
from drdd.degradations.deferred import F, Generator, Tensor, torch
from drdd.degradations.draws import Range, draw, uniform
from drdd.degradations.ranges import Degrees, Densities, Lengths, Shares
from drdd.degradations.registry import Step, degradation

LAYERS = (1.0, 0.6, 0.35)
"""Of snow, from near to far: the size of flakes, in parts of the nearest."""


class Haze(Step):
    kind: Literal["haze"]
    density: Densities = Field(default=[0.8, 2.0], description="optical depth of the far end")
    airlight: Shares = Field(default=[0.8, 1.0], description="grey of the haze itself")


@degradation(Haze)
def haze(x: Tensor, rng: Generator, *, density: Range, airlight: Range) -> Tensor:
    """Koschmieder's law: x * t + A * (1 - t), t = exp(-density * depth).

    The depth proxy, in [0, 1], grows from the bottom of the picture to its top, as in outdoor
    scenes, modulated by a smooth random field.
    """
    batch, _, height, width = x.shape
    rows = torch.linspace(1, 0, height, device=x.device).view(1, 1, height, 1)
    field = F.interpolate(
        uniform((batch, 1, 4, 4), x, rng), (height, width), mode="bicubic", align_corners=False
    ).clamp(0, 1)
    depth = 0.35 + 0.4 * rows + 0.25 * field
    transmission = torch.exp(-draw(x, rng, density) * depth)
    return x * transmission + draw(x, rng, airlight) * (1 - transmission)


class Rain(Step):
    kind: Literal["rain"]
    density: Shares = Field(default=[0.004, 0.008], description="drops per pixel")
    length: Lengths = Field(default=[11, 25], description="pixels")
    angle: Degrees = Field(default=[-30, 30], description="degrees from the vertical")
    strength: Shares = Field(default=[0.5, 0.9], description="brightness of a streak")


@degradation(Rain)
def rain(
    x: Tensor,
    rng: Generator,
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
    drops = _scattered(x, rng, density)
    kernel = _streak(draw(x, rng, length), draw(x, rng, angle), math.ceil(length[1]) | 1)
    streaks = kernels.convolved(drops, kernel, border="constant")
    veil = (draw(x, rng, strength) * streaks).clamp(0, 1)
    return x + veil * (1 - x)


class Snow(Step):
    kind: Literal["snow"]
    density: Shares = Field(
        default=[0.001, 0.003], description="of the nearest flakes, a pixel; far ones are more"
    )
    size: Lengths = Field(default=[5, 9], description="diameter of the nearest flakes, pixels")
    strength: Shares = Field(default=[0.7, 1.0], description="opacity of a flake")


@degradation(Snow)
def snow(x: Tensor, rng: Generator, *, density: Range, size: Range, strength: Range) -> Tensor:
    """White flakes in LAYERS of depth, the near ones large and few: x + s * (1 - x).

    density: flakes of each layer per pixel, divided by the square of the layer's size, so that each
    covers as much; size: the nearest flakes' diameter in pixels; strength: their opacity in (0, 1].
    """
    diameter = draw(x, rng, size)
    clear = torch.ones_like(x[:, :1])
    for scale in LAYERS:
        flakes = _scattered(x, rng, [bound / scale**2 for bound in density])
        kernel = kernels.disc(diameter * scale / 2, reach=math.ceil(size[1] * scale / 2 + 0.5))
        layer = kernels.convolved(flakes, kernel, border="constant")
        clear = clear * (1 - layer.clamp(0, 1))
    veil = draw(x, rng, strength) * (1 - clear)
    return x + veil * (1 - x)


def _scattered(x: Tensor, rng: Generator, density: Range) -> Tensor:
    """(B, 1, H, W): 0, but at a share `density` of the pixels a brightness in [0.5, 1)."""
    batch, _, height, width = x.shape
    place = uniform((batch, 1, height, width), x, rng) < draw(x, rng, density)
    return place.to(x.dtype) * (0.5 + 0.5 * uniform((batch, 1, height, width), x, rng))


def _streak(length: Tensor, angle: Tensor, size: int) -> Tensor:
    """(B, 1, size, size): a soft line segment of the given length and angle, peak 1."""
    row, column = kernels.grid(length, size // 2)
    radians = angle * (math.pi / 180)
    along = row * radians.cos() + column * radians.sin()
    across = column * radians.cos() - row * radians.sin()
    inside = (length / 2 - along.abs()).clamp(0, 1)
    return inside * torch.exp(-(across**2) / (2 * 0.6**2))
