"""Sinusoidal embeddings of time (Vaswani et al. 2017, section 3.5), as each network family has them."""

import math

import torch
from torch import Tensor


def sinusoid(time: Tensor, width: int, shift: float = 0.0, sine_first: bool = False) -> Tensor:
    """(B,) -> (B, width): cos and sin of time * 10000^(-i / (width / 2 - shift)), i < width / 2."""
    half = width // 2
    time = time if time.dtype == torch.float64 else time.float()
    index = torch.arange(half, dtype=time.dtype, device=time.device)
    angle = time[:, None] * torch.exp(-math.log(10_000) / (half - shift) * index)
    parts = [angle.sin(), angle.cos()] if sine_first else [angle.cos(), angle.sin()]
    return torch.cat(parts, dim=1)
