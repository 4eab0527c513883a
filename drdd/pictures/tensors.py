"""Pixels to tensors and back."""

import numpy as np
import torch
from torch import Tensor

from drdd.pictures.pixels import Pixels


def to_tensor(pixels: Pixels) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1


def to_pixels(x: Tensor) -> Pixels:
    """(3, H, W), about [-1, 1] -> (H, W, 3) uint8: clamped and rounded; NaN becomes grey."""
    scaled = x.float().nan_to_num(0.0).clamp_(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(1, 2, 0).cpu().numpy())
