"""The layers of the compact UNet."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drdd.nets.compact import CompactConfig
from drdd.nets.embedding import sinusoid


class CompactUNet(nn.Module):
    """(B, in_channels, H, W) and time (B,) in [0, T] -> (B, out_channels, H, W).

    H and W must be multiples of the configuration's `factor`; ValueError otherwise.
    """

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        widths, blocks = config.channels, config.blocks
        embed = 4 * widths[0]
        self.time = nn.Sequential(nn.Linear(widths[0], embed), nn.SiLU(), nn.Linear(embed, embed))
        seen = config.in_channels // 2 if config.difference else config.in_channels
        self.stem = nn.Conv2d(4 * seen, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_blocks(w, w, embed, blocks) for w in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(4 * a, b, 1) for a, b in itertools.pairwise(widths))
        self.middle = _blocks(widths[-1], widths[-1], embed, 1)
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(_blocks(2 * w, w, embed, blocks) for w in widths)
        self.head = nn.Sequential(
            nn.GroupNorm(8, widths[0]),
            nn.SiLU(),
            nn.Conv2d(widths[0], 4 * config.out_channels, 3, padding=1),
        )
        last = self.head[-1]
        assert isinstance(last, nn.Conv2d)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        if config.difference:  # made last, so that the other weights are drawn as without it
            self.difference = nn.Conv2d(4 * seen, widths[0], 3, padding=1, bias=False)
            nn.init.zeros_(self.difference.weight)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        factor = self.config.factor
        if x.shape[-2] % factor or x.shape[-1] % factor:
            raise ValueError(f"height and width must be multiples of {factor}, got {x.shape[-2:]}")
        embedding = self.time(sinusoid(time, self.config.channels[0]))
        if self.config.difference:
            image, condition = F.pixel_unshuffle(x, 2).chunk(2, dim=1)
            h = self.stem(condition) + self.difference(image - condition)
        else:
            h = self.stem(F.pixel_unshuffle(x, 2))
        skips = []
        for level, level_blocks in enumerate(self.down):
            if level:
                h = self.shrink[level - 1](F.pixel_unshuffle(h, 2))
            h = _apply(level_blocks, h, embedding)
            skips.append(h)
        h = _apply(self.middle, h, embedding)
        for level in reversed(range(len(self.up))):
            if level < len(self.up) - 1:
                h = F.pixel_shuffle(self.grow[level](h), 2)
            h = _apply(self.up[level], torch.cat([h, skips[level]], dim=1), embedding)
        return F.pixel_shuffle(self.head(h), 2)


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


def _blocks(in_channels: int, out_channels: int, embed: int, count: int) -> nn.ModuleList:
    widths = [in_channels] + [out_channels] * count
    return nn.ModuleList(_Block(a, b, embed) for a, b in itertools.pairwise(widths))


def _apply(blocks: Sequence[nn.Module] | nn.Module, h: Tensor, embedding: Tensor) -> Tensor:
    for block in blocks:  # type: ignore[union-attr]
        h = block(h, embedding)
    return h
