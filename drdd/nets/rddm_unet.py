"""The layers of RDDM's residual UNet.

Weight-standardised convolutions, linear attention at every level, full attention in the middle.
"""

import copy
import itertools
from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drdd.nets.embedding import sinusoid
from drdd.nets.rddm import RddmConfig

HEADS, HEAD_CHANNELS, GROUPS, EPS = 4, 32, 8, 1e-5


class RddmUNet(nn.Module):
    """(B, in_channels, H, W) and time (B,) in [0, T] -> (B, out_channels, H, W).

    H and W must be multiples of the configuration's `factor`; ValueError otherwise.
    """

    def __init__(self, config: RddmConfig) -> None:
        super().__init__()
        self.config = config
        dim, embed = config.dim, 4 * config.dim
        widths = [dim, *(dim * multiplier for multiplier in config.multipliers)]
        levels = list(itertools.pairwise(widths))
        self.stem = nn.Conv2d(config.in_channels, dim, 7, padding=3)
        self.time = nn.Sequential(nn.Linear(dim, embed), nn.GELU(), nn.Linear(embed, embed))
        self.down = nn.ModuleList(
            _Level(a, a, embed, _shrink(a, b, last=i == len(levels) - 1))
            for i, (a, b) in enumerate(levels)
        )
        self.middle1 = _Residual(widths[-1], widths[-1], embed)
        self.middle_attention = _FullAttention(widths[-1])
        self.middle2 = _Residual(widths[-1], widths[-1], embed)
        self.up = nn.ModuleList(
            _Level(a + b, b, embed, _grow(b, a, last=i == len(levels) - 1))
            for i, (a, b) in enumerate(reversed(levels))
        )
        self.final = _Residual(2 * dim, dim, embed)
        self.head = nn.Conv2d(dim, config.out_channels, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        factor = self.config.factor
        if x.shape[-2] % factor or x.shape[-1] % factor:
            raise ValueError(f"height and width must be multiples of {factor}, got {x.shape[-2:]}")
        dim = self.config.dim
        embedding = F.silu(self.time(sinusoid(time, dim, shift=1, sine_first=True)))
        h = stem = self.stem(x)
        skips = []
        for level in cast(Iterable[_Level], self.down):
            h = level.block1(h, embedding)
            skips.append(h)
            h = level.attention(level.block2(h, embedding))
            skips.append(h)
            h = level.resample(h)
        h = self.middle1(h, embedding)
        h = self.middle2(self.middle_attention(h), embedding)
        for level in cast(Iterable[_Level], self.up):
            h = level.block1(torch.cat([h, skips.pop()], dim=1), embedding)
            h = level.block2(torch.cat([h, skips.pop()], dim=1), embedding)
            h = level.resample(level.attention(h))
        return self.head(self.final(torch.cat([h, stem], dim=1), embedding))


def standardised(net: nn.Module) -> nn.Module:
    """A copy for inference whose convolutions store their standardised weights."""
    net = copy.deepcopy(net)
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, StandardisedConv):
                plain = nn.Conv2d(child.in_channels, child.out_channels, 3, padding=1)
                plain.weight = nn.Parameter(child.standardised_weight().detach())
                plain.bias = child.bias
                setattr(module, name, plain)
    return net


class StandardisedConv(nn.Conv2d):
    """A 3 x 3 convolution with weights of mean 0 and variance 1 per filter (Qiao et al. 2019)."""

    def standardised_weight(self) -> Tensor:
        # (w - mean) / sqrt(variance + eps) of each filter is a layer norm: one fused kernel.
        rows = self.weight.flatten(1)
        return F.layer_norm(rows, rows.shape[1:], eps=EPS).view_as(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.standardised_weight(), self.bias, padding=1)


class _Level(nn.Module):
    """Two residual blocks, each on in_channels, then linear attention and a change of size."""

    def __init__(self, inner: int, out: int, embed: int, resample: nn.Module) -> None:
        super().__init__()
        self.block1 = _Residual(inner, out, embed)
        self.block2 = _Residual(inner, out, embed)
        self.attention = _LinearAttention(out)
        self.resample = resample


class _Residual(nn.Module):
    def __init__(self, inner: int, out: int, embed: int) -> None:
        super().__init__()
        self.embed = nn.Linear(embed, 2 * out)
        self.conv1 = StandardisedConv(inner, out, 3, padding=1)
        self.norm1 = nn.GroupNorm(GROUPS, out)
        self.conv2 = StandardisedConv(out, out, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, out)
        self.skip = nn.Conv2d(inner, out, 1) if inner != out else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.embed(embedding)[:, :, None, None].chunk(2, dim=1)
        h = F.silu(self.norm1(self.conv1(x)) * (scale + 1) + shift)
        return F.silu(self.norm2(self.conv2(h))) + self.skip(x)


class _ChannelNorm(nn.Module):
    """Layer normalisation over channels, with a gain and no bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1)
        return F.layer_norm(rows, rows.shape[-1:], self.gain, eps=EPS).permute(0, 3, 1, 2)


class _LinearAttention(nn.Module):
    """Attention in time linear in the pixels (Shen et al. 2018): separate softmax of q and of k."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _ChannelNorm(channels)
        self.qkv = nn.Conv2d(channels, 3 * HEADS * HEAD_CHANNELS, 1, bias=False)
        self.out = nn.Conv2d(HEADS * HEAD_CHANNELS, channels, 1)
        self.out_norm = _ChannelNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = _heads(self.norm(x), self.qkv)
        context = k.softmax(dim=-2).transpose(-1, -2) @ v
        h = q.softmax(dim=-1) @ (context * (HEAD_CHANNELS**-0.5 / q.shape[-2]))
        return x + self.out_norm(_pixelwise(self.out, h, x))


class _FullAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _ChannelNorm(channels)
        self.qkv = nn.Conv2d(channels, 3 * HEADS * HEAD_CHANNELS, 1, bias=False)
        self.out = nn.Conv2d(HEADS * HEAD_CHANNELS, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = _heads(self.norm(x), self.qkv)
        return x + _pixelwise(self.out, F.scaled_dot_product_attention(q, k, v), x)


def _heads(x: Tensor, qkv: nn.Conv2d) -> tuple[Tensor, Tensor, Tensor]:
    """(B, C, H, W) -> q, k, v, (B, heads, H * W, d) each.

    The 1 x 1 convolution is computed as a linear layer, whose output splits into heads without a copy.
    """
    rows = F.linear(x.flatten(2).transpose(1, 2), qkv.weight.flatten(1))
    q, k, v = rows.unflatten(-1, (3, HEADS, HEAD_CHANNELS)).permute(2, 0, 3, 1, 4)
    return q, k, v


def _pixelwise(layer: nn.Conv2d, h: Tensor, like: Tensor) -> Tensor:
    """(B, heads, H * W, d) through a 1 x 1 convolution -> (B, C, H, W), H and W those of `like`."""
    rows = F.linear(h.transpose(1, 2).flatten(2), layer.weight.flatten(1), layer.bias)
    return rows.transpose(1, 2).unflatten(-1, like.shape[-2:])


def _shrink(inner: int, out: int, last: bool) -> nn.Module:
    return nn.Conv2d(inner, out, 3, 1, 1) if last else nn.Conv2d(inner, out, 4, 2, 1)


def _grow(inner: int, out: int, last: bool) -> nn.Module:
    return _Wider(inner, out) if not last else nn.Conv2d(inner, out, 3, padding=1)


class _Wider(nn.Conv2d):
    """Doubles height and width by repetition, then a 3 x 3 convolution."""

    def __init__(self, inner: int, out: int) -> None:
        super().__init__(inner, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))
