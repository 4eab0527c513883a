"""The context of a picture: what a network that sees only a crop or a tile is told of the whole.

A crop cannot tell how dark, how hazy or how noisy its picture is. The mean and the brightest value of each
cell tell the first, its darkest value the second (He, Sun and Tang 2009), the spread of its fine detail the
third.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 32
CHANNELS = 12


def context_of(x: Tensor) -> Tensor:
    """The context of whole pictures, (B, 3, H, W) in [-1, 1] -> (B, CHANNELS, SIDE, SIDE).

    R, G and B have four channels each, of SIDE x SIDE cells: the means, the root mean squares of the
    picture less its 3 x 3 mean, the smallest and the largest values. Cells of small pictures overlap.
    """
    smooth = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    spread = F.adaptive_avg_pool2d((x - smooth).square_(), SIDE).sqrt_()
    darkest, brightest = -F.adaptive_max_pool2d(-x, SIDE), F.adaptive_max_pool2d(x, SIDE)
    return torch.cat([F.adaptive_avg_pool2d(x, SIDE), spread, darkest, brightest], dim=1)
