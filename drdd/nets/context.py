"""The context of a picture: what a network that sees only a crop or a tile is told of the whole.

A crop cannot tell how dark, how hazy or how noisy its picture is. The mean and the brightest value of each
cell tell the first, its darkest value the second (He, Sun and Tang 2009), the spread of its fine detail the
third. And a picture of fog, stored as JPEG, is not one to be freed of haze: the steps between JPEG's blocks
tell them apart (Wang, Sheikh and Bovik, ICIP 2002).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 32
CHANNELS = 13
BLOCK = 8  # pixels, of JPEG (ITU-T T.81)
LARGE = 0.1  # a step of this size is an edge of the scene, not one between blocks


def context_of(x: Tensor) -> Tensor:
    """The context of whole pictures, (B, 3, H, W) in [-1, 1] -> (B, CHANNELS, SIDE, SIDE).

    R, G and B have four channels each, of SIDE x SIDE cells: the means, the root mean squares of the
    picture less its 3 x 3 mean, the smallest and the largest values. Cells of small pictures overlap. The
    last channel is how much its blocks show, the same in all cells.
    """
    smooth = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    spread = F.adaptive_avg_pool2d((x - smooth).square_(), SIDE).sqrt_()
    darkest, brightest = -F.adaptive_max_pool2d(-x, SIDE), F.adaptive_max_pool2d(x, SIDE)
    blocks = _blocks(x).expand(-1, 1, SIDE, SIDE)
    return torch.cat([F.adaptive_avg_pool2d(x, SIDE), spread, darkest, brightest, blocks], dim=1)


def _blocks(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, 1, 1): logarithm of the mean step between blocks over that within them.

    Close to 0 without blocks, and 0 for a picture that has no two of them.
    """
    grey = x.mean(dim=1, keepdim=True)
    found = [_steps_between(way) for way in (grey, grey.mT) if way.shape[-1] >= 2 * BLOCK]
    return torch.stack(found).mean(dim=0) if found else grey.new_zeros(len(x), 1, 1, 1)


def _steps_between(grey: Tensor) -> Tensor:
    """(B, 1, H, W) -> (B, 1, 1, 1), of steps along W."""
    steps = grey.diff().abs().clamp(max=LARGE).mean(dim=2, keepdim=True) + LARGE / 100
    between = torch.arange(1, grey.shape[-1], device=grey.device) % BLOCK == 0
    at, within = (steps[..., where].mean(dim=3, keepdim=True) for where in (between, ~between))
    return (at / within).log()
