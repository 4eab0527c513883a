"""The UNet with group norms that the compact family had before, to compare learning with: learning.py."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drdd.nets.embedding import sinusoid


class NormedUNet(nn.Module):
    """(B, 3, H, W) and time (B,) in [0, T] -> (B, 3, H, W); H and W multiples of 2^levels."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths, embed = widths, 4 * widths[0]
        self.time = nn.Sequential(nn.Linear(widths[0], embed), nn.SiLU(), nn.Linear(embed, embed))
        self.stem = nn.Conv2d(12, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Block(w, w, embed) for w in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(4 * a, b, 1) for a, b in itertools.pairwise(widths))
        self.middle = _Block(widths[-1], widths[-1], embed)
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(_Block(2 * w, w, embed) for w in widths)
        self.norm = nn.GroupNorm(8, widths[0])
        self.head = nn.Conv2d(widths[0], 12, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        embedding = self.time(sinusoid(time, self.widths[0]))
        h = self.stem(F.pixel_unshuffle(x, 2))
        skips = []
        for level, block in enumerate(self.down):
            if level:
                h = self.shrink[level - 1](F.pixel_unshuffle(h, 2))
            h = block(h, embedding)
            skips.append(h)
        h = self.middle(h, embedding)
        for level in reversed(range(len(self.up))):
            if level < len(self.up) - 1:
                h = F.pixel_shuffle(self.grow[level](h), 2)
            h = self.up[level](torch.cat([h, skips[level]], dim=1), embedding)
        return F.pixel_shuffle(self.head(F.silu(self.norm(h))), 2)


class _Block(nn.Module):
    """Two 3 x 3 convolutions with a residual path; the time embedding scales and shifts between."""

    def __init__(self, in_channels: int, out_channels: int, embed: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.embed = nn.Linear(embed, 2 * out_channels)
        self.norm2 = nn.GroupNorm(8, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.embed(F.silu(embedding))[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(x) + h
