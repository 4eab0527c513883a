"""Random corruptions of clean images, standing in for the residual stage's imperfect estimates.

From them the noise net learns without pairs how far to trust its condition. Estimates have errors such as
colour casts, uneven light, blur, and fine or coarse residual noise, but seldom all of them: after haze, an
estimate has a cast and every detail. A net that never saw such a copy smooths the detail of all.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from drdd.degradations import kernels

CAST, CONTRAST, BLUR, NOISE = 0.25, 0.2, 1.5, 0.1


def corrupt(target: Tensor, rng: torch.Generator) -> Tensor:
    """A corrupted copy of `target`, (3, H, W) in [-1, 1]; values may slightly exceed the range.

    Each strength is 0 with probability 1/2, else uniform up to its largest value: CAST of a smooth field
    per channel, CONTRAST of a gain or loss, BLUR the sigma in pixels of a Gaussian, NOISE the sigma of
    added noise, half of it blurred.
    """
    drawn = 2 * torch.rand(5, generator=rng) - 1
    strengths = drawn.sign() * (2 * drawn.abs() - 1).clamp(min=0)
    cast, contrast, blur, fine, coarse = strengths.tolist()
    height, width = target.shape[1:]
    field = torch.randn(1, 3, 3, 3, generator=rng)
    smooth = F.interpolate(field, (height, width), mode="bicubic", align_corners=False)[0]
    grain, clumps = torch.randn(2, *target.shape, generator=rng)
    x = target * (1 + CONTRAST * contrast) + CAST * cast * smooth
    x = _blurred(x, BLUR * abs(blur))
    return x + NOISE * (fine * grain + 2 * coarse * _blurred(clumps, 1.0))


def _blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (3, H, W), borders replicated; sigma in pixels."""
    if sigma < 0.2:
        return x
    return kernels.separably(x[None], kernels.gaussian(sigma, 4, x)[None])[0]
