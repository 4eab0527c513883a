"""JPEG's losses, step by step as a baseline encoder and decoder make them (ITU-T T.81, JFIF)."""

import math
from typing import Literal

from pydantic import Field

from drdd.degradations.deferred import F, Generator, Tensor, torch
from drdd.degradations.draws import Range, draw
from drdd.degradations.ranges import Qualities
from drdd.degradations.registry import Step, degradation

# Tables K.1 and K.2 of ITU-T T.81.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8),) * 4,
)
TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
TO_RGB = ((1, 0, 1.402), (1, -0.344136286, -0.714136286), (1, 1.772, 0))


class Jpeg(Step):
    kind: Literal["jpeg"]
    quality: Qualities = Field(default=[5, 30], description="the IJG's, 1 to 100")


@degradation(Jpeg)
def jpeg(x: Tensor, rng: Generator, *, quality: Range) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> the same, as an 8-bit JPEG file with 4:2:0 chroma would give it.

    quality: of the Independent JPEG Group, 1 to 100, rounded to an integer for each image.
    """
    height, width = x.shape[-2:]
    drawn = draw(x, rng, quality).round()
    luma, *chroma = _mixed((x * 255).round(), TO_YCBCR).split(1, dim=1)
    y = _coded(luma.round() - 128, table(LUMINANCE, drawn)) + 128
    halves = (_coded(_halved(plane.round()), table(CHROMINANCE, drawn)) for plane in chroma)
    cb, cr = (_doubled(plane)[..., :height, :width] for plane in halves)
    return _mixed(torch.cat((y, cb, cr), 1), TO_RGB).round().clamp(0, 255) / 255


def table(base: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """(B, 1, 8, 8): quantisation steps for quality (B, 1, 1, 1), by the IJG's rule.

    floor((base * scale + 50) / 100) in 1 to 255; scale = 5000 / quality below 50, else 200 - 2 quality.
    """
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    steps = torch.tensor(base, dtype=quality.dtype, device=quality.device)
    return ((steps * scale + 50) / 100).floor().clamp(1, 255)


def _mixed(x: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    weights = torch.tensor(matrix, dtype=x.dtype, device=x.device)
    return torch.einsum("ij,bjhw->bihw", weights, x)


def _coded(plane: Tensor, steps: Tensor) -> Tensor:
    """(B, 1, H, W) in 8-bit levels about 0, -128 to 127, through the quantised DCT and back."""
    height, width = plane.shape[-2:]
    padded = F.pad(plane, (0, -width % 8, 0, -height % 8), mode="replicate")
    rows, columns = padded.shape[-2] // 8, padded.shape[-1] // 8
    blocks = padded.view(-1, rows, 8, columns, 8).transpose(2, 3)
    cosines = _cosines(plane)
    steps = steps[:, None]
    quantised = (cosines @ blocks @ cosines.T / steps).round() * steps
    decoded = (cosines.T @ quantised @ cosines).transpose(2, 3).reshape(padded.shape)
    return decoded.round().clamp(-128, 127)[..., :height, :width]


def _cosines(like: Tensor) -> Tensor:
    """(8, 8): the orthonormal DCT-II, a frequency a row."""
    n = torch.arange(8, dtype=like.dtype, device=like.device)
    rows = torch.cos(math.pi / 8 * n[:, None] * (n + 0.5)) / 2
    rows[0] /= math.sqrt(2)
    return rows


def _halved(plane: Tensor) -> Tensor:
    """The means of 2 x 2 pixels; an odd last row or column is repeated."""
    height, width = plane.shape[-2:]
    even = F.pad(plane, (0, width % 2, 0, height % 2), mode="replicate")
    return F.avg_pool2d(even, 2).round()


def _doubled(plane: Tensor) -> Tensor:
    """A triangle filter, 3/4 and 1/4 of the two nearest samples along each axis."""
    return F.interpolate(plane, scale_factor=2, mode="bilinear", align_corners=False).round()
