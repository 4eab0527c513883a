"""The context of a picture: what a network that sees only a crop or a tile is told of the whole.

A crop cannot tell how dark, how hazy or how noisy its picture is. The mean of each cell tells the first
two, the spread of its fine detail the third.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 32
CHANNELS = 6


def context_of(x: Tensor) -> Tensor:
    """The context of whole pictures, (B, 3, H, W) in [-1, 1] -> (B, CHANNELS, SIDE, SIDE).

    The first three channels are the means of SIDE x SIDE cells, the others the root mean square, in each
    cell, of the picture less its 3 x 3 mean. Cells of small pictures overlap.
    """
    smooth = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    spread = F.adaptive_avg_pool2d((x - smooth).square_(), SIDE).sqrt_()
    return torch.cat([F.adaptive_avg_pool2d(x, SIDE), spread], dim=1)
