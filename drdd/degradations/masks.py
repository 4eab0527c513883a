"""Masks for inpainting: (B, 3, H, W) in [0, 1] -> the same shape and range.

A hole is filled with one grey, `fill`, from 0 (black) to 1 (white), so that it can be seen.
"""

from typing import Literal

from pydantic import Field

from drdd.degradations.deferred import Generator, Tensor, torch
from drdd.degradations.draws import Range, draw, normal, uniform
from drdd.degradations.ranges import Shares
from drdd.degradations.registry import Step, degradation
from drdd.settings import Count

ASPECT = 2.0
"""The largest factor by which a box is higher or wider than one of the picture's aspect ratio."""

VERTICES = 12
STEP, TURN = 0.1, 0.7
"""Of a brush stroke: the mean step as a share of the shorter side; the turns' sigma in radians."""


class Mask(Step):
    """A part of the picture hidden under one grey."""

    area: Shares = Field(default=[0.1, 0.3], description="share of the picture that is hidden")
    fill: Shares = Field(default=[0.5, 0.5], description="its grey, from 0 (black) to 1 (white)")


class BoxMask(Mask):
    kind: Literal["box_mask"]


@degradation(BoxMask)
def box_mask(x: Tensor, rng: Generator, *, area: Range, fill: Range) -> Tensor:
    """One box that covers `area`, a share of the picture, anywhere in it."""
    stretch = ASPECT ** draw(x, rng, (-1, 1))
    return _filled(x, rng, _box(x, rng, draw(x, rng, area), stretch), fill)


class BorderMask(Mask):
    kind: Literal["border_mask"]
    area: Shares = Field(default=[0.3, 0.6], description="share of the picture that is hidden")


@degradation(BorderMask)
def border_mask(x: Tensor, rng: Generator, *, area: Range, fill: Range) -> Tensor:
    """Everything except one box of the picture's aspect ratio; `area`: the share that is covered."""
    kept = 1 - draw(x, rng, area)
    return _filled(x, rng, ~_box(x, rng, kept, torch.ones_like(kept)), fill)


class BrushMask(Mask):
    kind: Literal["brush_mask"]
    strokes: Count = Field(default=4, le=100, description="winding brush strokes")


@degradation(BrushMask)
def brush_mask(x: Tensor, rng: Generator, *, area: Range, strokes: int, fill: Range) -> Tensor:
    """Winding brush strokes that together cover `area`, which determines the width of the brush."""
    distances = _distance(x, _strokes(x, rng, strokes))
    pixels = distances.flatten(1)
    covered = (draw(x, rng, area).flatten() * (pixels.shape[1] - 1)).long().tolist()
    radii = [row.kthvalue(count + 1).values for row, count in zip(pixels, covered, strict=True)]
    return _filled(x, rng, distances < torch.stack(radii).view(-1, 1, 1, 1), fill)


def _filled(x: Tensor, rng: Generator, hole: Tensor, fill: Range) -> Tensor:
    return torch.where(hole, draw(x, rng, fill), x)


def _box(x: Tensor, rng: Generator, area: Tensor, stretch: Tensor) -> Tensor:
    """(B, 1, H, W): true in a box of a share `area`, `stretch` times as high for its width."""
    height, width = x.shape[-2:]
    rows = (area.sqrt() * stretch).clamp(max=1).maximum(area)
    extent = (rows * height).round(), (area / rows.clamp(min=1e-6) * width).round()
    inside = []
    for axis, (side, extent_) in enumerate(zip((height, width), extent, strict=True)):
        first = (uniform((len(x), 1, 1, 1), x, rng) * (side - extent_ + 1)).floor()
        place = torch.arange(side, device=x.device).view((-1, 1) if axis == 0 else (1, -1))
        inside.append((place >= first) & (place < first + extent_))
    return inside[0] & inside[1]


def _strokes(x: Tensor, rng: Generator, count: int) -> Tensor:
    """(B, count, VERTICES, 2): the rows and columns of polylines that wander within the picture."""
    batch, _, height, width = x.shape
    sides = torch.tensor([height - 1, width - 1], dtype=x.dtype, device=x.device)
    start = uniform((batch, count, 1, 2), x, rng) * sides
    heading = 2 * torch.pi * uniform((batch, count, 1), x, rng)
    turns = TURN * normal((batch, count, VERTICES - 1), x, rng)
    steps = 2 * STEP * min(height, width) * uniform((batch, count, VERTICES - 1), x, rng)
    angles = heading + turns.cumsum(-1)
    moves = steps[..., None] * torch.stack((angles.sin(), angles.cos()), -1)
    points = torch.cat((start, start + moves.cumsum(-2)), -2)
    folded = points.remainder(2 * sides.clamp(min=1))  # a stroke is reflected at the borders
    return torch.where(folded > sides, 2 * sides - folded, folded)


def _distance(x: Tensor, lines: Tensor) -> Tensor:
    """(B, 1, H, W): the distance in pixels from each pixel to the nearest of polylines (B, S, V, 2)."""
    height, width = x.shape[-2:]
    row = torch.arange(height, dtype=x.dtype, device=x.device).view(1, -1, 1)
    column = torch.arange(width, dtype=x.dtype, device=x.device).view(1, 1, -1)
    nearest = torch.full((len(x), height, width), torch.inf, dtype=x.dtype, device=x.device)
    along, across = torch.empty_like(nearest), torch.empty_like(nearest)  # used for all lines
    starts, ends = lines[:, :, :-1].flatten(1, 2), lines[:, :, 1:].flatten(1, 2)
    middles, moves = (starts + ends) / 2, ends - starts
    for middle, move in zip(middles.unbind(1), moves.unbind(1), strict=True):
        (row0, column0), (down, right) = (v.view(-1, 2, 1, 1).unbind(1) for v in (middle, move))
        length = torch.hypot(down, right)
        right = torch.where(length > 0, right, 1.0)  # a point may have any direction
        sine, cosine = (v / torch.hypot(down, right) for v in (down, right))
        torch.add((row - row0) * sine, (column - column0) * cosine, out=along)
        torch.sub((row - row0) * cosine, (column - column0) * sine, out=across)
        along.abs_().sub_(length / 2).clamp_(min=0)  # what is beyond either end
        torch.minimum(nearest, across.square_().addcmul_(along, along), out=nearest)
    return nearest.sqrt_()[:, None]
