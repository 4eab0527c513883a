"""Pictures that the tests of degradations share: (B, 3, H, W) in [0, 1]."""

import numpy as np
import torch
from skimage import data
from torch import Tensor


def noise(batch: int = 1, height: int = 64, width: int = 65) -> Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(batch, 3, height, width, generator=generator)


def flat(value: float, height: int = 64, width: int = 64, batch: int = 1) -> Tensor:
    return torch.full((batch, 3, height, width), value)


def photograph(height: int = 128, width: int = 160) -> Tensor:
    """The middle of a bundled photograph: smooth parts, edges and colours."""
    pixels = data.coffee()[100 : 100 + height, 200 : 200 + width]
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
