"""Fill a hole smoothly: the surface through what is around it, in time linear in the pixels.

It nearly solves Laplace's equation in the hole, whose boundary are the known pixels, by a pyramid: means of
known pixels go up, level by level, until nothing is unknown; on the way down each level begins from the one
above and is relaxed by Jacobi steps. Source: pull-push, Gortler et al. 1996, "The Lumigraph", relaxed as in
multigrid.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 8
"""Jacobi steps a level: more gain less than 0.5 dB (python -m benchmarks.holes)."""


def filled_smoothly(x: Tensor, hole: Tensor) -> Tensor:
    """x: (C, H, W); hole: (H, W) bool. Known pixels come back as they are, to the bit.

    If nothing is known the hole becomes grey, 0 of [-1, 1].
    """
    known = (~hole)[None, None].to(x.dtype)
    return torch.where(hole, _filled(x[None], known)[0], x)


def _filled(x: Tensor, known: Tensor) -> Tensor:
    """x: (1, C, H, W); known: (1, 1, H, W), 0 or 1. Pixels that are not known are filled."""
    if bool(known.all()):
        return x
    if not bool(known.any()):
        return torch.zeros_like(x)
    odd = (0, x.shape[-1] % 2, 0, x.shape[-2] % 2)
    weights = F.avg_pool2d(F.pad(known, odd), 2)
    means = F.avg_pool2d(F.pad(x * known, odd), 2) / weights.clamp(min=0.25)
    above = _filled(means, (weights > 0).to(x.dtype))
    size = (above.shape[-2] * 2, above.shape[-1] * 2)
    coarse = F.interpolate(above, size, mode="bilinear")[..., : x.shape[-2], : x.shape[-1]]
    return _relaxed(torch.where(known > 0, x, coarse), known)


def _relaxed(x: Tensor, known: Tensor) -> Tensor:
    """Each unknown pixel becomes the mean of its four neighbours, STEPS times."""
    for _ in range(STEPS):
        around = F.pad(x, (1, 1, 1, 1), mode="replicate")
        vertical = around[..., :-2, 1:-1] + around[..., 2:, 1:-1]
        mean = (vertical + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]) / 4
        x = torch.where(known > 0, x, mean)
    return x
