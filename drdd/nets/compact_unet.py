"""The layers of the compact UNet."""

import itertools
from collections.abc import Iterable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drdd.nets.compact import CompactConfig
from drdd.nets.context import CHANNELS
from drdd.nets.embedding import sinusoid

EMBEDDING = 128
"""Width of the vector that time and context give, by which every block is scaled and shifted (FiLM)."""
Layer = TypeVar("Layer", bound=nn.Module)
TERMS = 10
"""Of a colour map: R, G, B, their squares, their products, and 1."""


class CompactUNet(nn.Module):
    """(B, in_channels, H, W) and time (B,) in [0, T] -> (B, out_channels, H, W).

    context: (B, CHANNELS, S, S) of the degraded picture, as context.py makes it, if `config.restores`.
    The first three output channels are then I_in - (tone(I_in) + what the UNet adds): tone comes first,
    and the UNet mends what is left. H and W must be multiples of the configuration's `factor`; ValueError
    otherwise.
    """

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        widths, blocks = config.channels, config.blocks
        self.time = nn.Sequential(
            nn.Linear(widths[0], EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING)
        )
        if config.restores:
            self.look, self.tone = _Look(), _Tone()
        beside = config.restores and config.in_channels == 6
        seen = 6 if config.restores else config.in_channels
        self.stem = nn.Conv2d(4 * seen, widths[0], 3, padding=1)
        self.beside = _begin_at_zero(nn.Conv2d(12, widths[0], 3, padding=1)) if beside else None
        self.down = nn.ModuleList(_blocks(w, blocks) for w in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(4 * a, b, 1) for a, b in itertools.pairwise(widths))
        self.middle = _blocks(widths[-1], 1)
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(_blocks(w, blocks) for w in widths)
        self.head = _begin_at_zero(nn.Conv2d(widths[0], 4 * config.out_channels, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, context: Tensor | None = None) -> Tensor:
        factor = self.config.factor
        if x.shape[-2] % factor or x.shape[-1] % factor:
            raise ValueError(f"height and width must be multiples of {factor}, got {x.shape[-2:]}")
        embedding = self.time(sinusoid(time, self.config.channels[0]))
        if not self.config.restores:
            return self._unet(self.stem(F.pixel_unshuffle(x, 2)), F.silu(embedding))
        looked = self.look(context)
        degraded = x[:, -3:]
        toned = self.tone(degraded, looked)
        h = self.stem(F.pixel_unshuffle(torch.cat([degraded, toned], dim=1), 2))
        if self.beside is not None:
            h = h + self.beside(F.pixel_unshuffle(x[:, :3] - degraded, 2))
        made = self._unet(h, F.silu(embedding + looked))
        residual = degraded - toned - made[:, :3]
        return torch.cat([residual, made[:, 3:]], dim=1)

    def _unet(self, h: Tensor, embedding: Tensor) -> Tensor:
        """Features (B, channels[0], H/2, W/2) -> (B, out_channels, H, W)."""
        skips = []
        for level, blocks in enumerate(self.down):
            if level:
                h = self.shrink[level - 1](F.pixel_unshuffle(h, 2))
            h = _apply(blocks, h, embedding)
            skips.append(h)
        h = _apply(self.middle, h, embedding)
        for level in reversed(range(len(self.up))):
            if level < len(self.up) - 1:
                h = F.pixel_shuffle(self.grow[level](h), 2) + skips[level]
            h = _apply(self.up[level], h, embedding)
        return F.pixel_shuffle(self.head(h), 2)


class _Look(nn.Module):
    """What the whole picture is like: context (B, CHANNELS, S, S) -> (B, EMBEDDING)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (CHANNELS, 32, 64, 128)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)
        )
        self.out = nn.Linear(2 * widths[-1], EMBEDDING)

    def forward(self, context: Tensor) -> Tensor:
        h = context
        for n, convolution in enumerate(self.convolutions):
            h = F.relu(convolution(F.avg_pool2d(h, 2) if n else h))
        return self.out(torch.cat([h.mean(dim=(2, 3)), h.amax(dim=(2, 3))], dim=1))


class _Tone(nn.Module):
    """A colour map of the whole picture, quadratic in R, G, B. It begins as the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.map = _begin_at_zero(nn.Linear(EMBEDDING, 3 * TERMS))

    def forward(self, x: Tensor, looked: Tensor) -> Tensor:
        """x: (B, 3, H, W); looked: (B, EMBEDDING) -> (B, 3, H, W)."""
        r, g, b = x.split(1, dim=1)
        terms = torch.cat([x, x * x, r * g, r * b, g * b, torch.ones_like(r)], dim=1)
        weights = self.map(F.silu(looked)).view(-1, 3, TERMS)
        return x + torch.einsum("bij,bjhw->bihw", weights, terms.to(weights))


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside an identity; the embedding scales and shifts between (FiLM).

    It begins as the identity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.film = _begin_at_zero(nn.Linear(EMBEDDING, 2 * width))
        self.second = _begin_at_zero(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.film(embedding)[:, :, None, None].chunk(2, dim=1)
        return x + self.second(F.relu(self.first(x) * (1 + scale) + shift))


def _blocks(width: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(_Block(width) for _ in range(count))


def _apply(blocks: Iterable[nn.Module] | nn.Module, h: Tensor, embedding: Tensor) -> Tensor:
    for block in blocks:  # type: ignore[union-attr]
        h = block(h, embedding)
    return h


def _begin_at_zero(layer: Layer) -> Layer:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
