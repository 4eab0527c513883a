"""The layers of guided diffusion's UNet.

Parameters are named as in guided diffusion, so that its checkpoints fit as they are.
"""

from collections.abc import Iterable
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drdd.nets.adm import AdmConfig
from drdd.nets.embedding import sinusoid

Layer = TypeVar("Layer", bound=nn.Module)


class AdmUNet(nn.Module):
    """(B, in_channels, H, W) and time (B,) in [0, T] -> (B, out_channels, H, W).

    H and W must be multiples of the configuration's `factor`; ValueError otherwise.
    """

    def __init__(self, config: AdmConfig) -> None:
        super().__init__()
        self.config = config
        base, last = config.channels, len(config.multipliers) - 1
        embed = 4 * base
        self.time_embed = nn.Sequential(nn.Linear(base, embed), nn.SiLU(), nn.Linear(embed, embed))

        width = base * config.multipliers[0]
        stem = nn.Conv2d(config.in_channels, width, 3, padding=1)
        self.input_blocks = nn.ModuleList([_Step(stem)])
        skips = [width]
        for level, multiplier in enumerate(config.multipliers):
            for _ in range(config.blocks):
                self.input_blocks.append(_step(config, width, base * multiplier, level))
                width = base * multiplier
                skips.append(width)
            if level < last:
                self.input_blocks.append(_Step(_resample(config, width, "down")))
                skips.append(width)

        attention = [_Attention(config, width)] if config.middle_attention else []
        self.middle_block = _Step(
            _Residual(config, width, width), *attention, _Residual(config, width, width)
        )
        self.output_blocks = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(config.multipliers))):
            for i in range(config.blocks + 1):
                step = _step(config, width + skips.pop(), base * multiplier, level)
                width = base * multiplier
                if level and i == config.blocks:
                    step.append(_resample(config, width, "up"))
                self.output_blocks.append(step)
        head = nn.Conv2d(width, config.out_channels, 3, padding=1)
        self.out = nn.Sequential(_norm(config, width), nn.SiLU(), _zeroed(head))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        config = self.config
        factor = config.factor
        if x.shape[-2] % factor or x.shape[-1] % factor:
            raise ValueError(f"height and width must be multiples of {factor}, got {x.shape[-2:]}")
        waves = sinusoid(time, config.channels, config.time_shift, config.sine_first)
        embedding = F.silu(self.time_embed(waves))
        skips, h = [], x
        for step in cast(Iterable[_Step], self.input_blocks):
            h = step(h, embedding)
            skips.append(h)
        h = self.middle_block(h, embedding)
        for step in cast(Iterable[_Step], self.output_blocks):
            h = step(torch.cat([h, skips.pop()], dim=1), embedding)
        return self.out(h)


class _Step(nn.Sequential):
    """A sequence of layers. Residual blocks also get the time embedding."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, _Residual) else layer(x)
        return x


def _step(config: AdmConfig, inner: int, out: int, level: int) -> _Step:
    attends = 2**level in config.attention
    attention = [_Attention(config, out)] if attends else []
    return _Step(_Residual(config, inner, out), *attention)


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside a skip. resize: "", "down" (mean of 2 x 2), "up" (repetition)."""

    def __init__(self, config: AdmConfig, inner: int, out: int, resize: str = "") -> None:
        super().__init__()
        self._resize, self._scale_shift = resize, config.scale_shift
        embed, told = 4 * config.channels, 2 * out if config.scale_shift else out
        conv = nn.Conv2d(inner, out, 3, padding=1)
        last = _zeroed(nn.Conv2d(out, out, 3, padding=1))
        # The indices are guided diffusion's: its third output layer is a dropout.
        self.in_layers = nn.Sequential(_norm(config, inner), nn.SiLU(), conv)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embed, told))
        self.out_layers = nn.Sequential(_norm(config, out), nn.SiLU(), nn.Identity(), last)
        self.skip_connection = nn.Conv2d(inner, out, 1) if inner != out else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        norm, _, conv = self.in_layers
        h = conv(_resized(F.silu(norm(x)), self._resize))
        told = self.emb_layers[1](embedding)[:, :, None, None]
        norm, _, _, conv = self.out_layers
        if self._scale_shift:
            scale, shift = told.chunk(2, dim=1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + told)
        return self.skip_connection(_resized(x, self._resize)) + conv(F.silu(h))


class _Attention(nn.Module):
    """Self-attention over all pixels. The rows of qkv are, head by head, q, k and v."""

    def __init__(self, config: AdmConfig, channels: int) -> None:
        super().__init__()
        self._heads = channels // (config.head_channels or channels)
        if self._heads * (config.head_channels or channels) != channels:
            raise ValueError(f"{channels} channels do not divide by {config.head_channels} a head")
        self.norm = _norm(config, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = _zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        # Linear layers on (B, pixels, channels), the memory layout of channels_last.
        rows = self.norm(x).flatten(2).transpose(1, 2)
        qkv = F.linear(rows, self.qkv.weight.squeeze(-1), self.qkv.bias)
        q, k, v = qkv.unflatten(-1, (self._heads, -1)).transpose(1, 2).chunk(3, dim=-1)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = F.linear(h, self.proj_out.weight.squeeze(-1), self.proj_out.bias)
        return x + h.transpose(1, 2).unflatten(-1, x.shape[-2:])


class _Down(nn.Module):
    def __init__(self, channels: int, asymmetric: bool) -> None:
        super().__init__()
        self._asymmetric = asymmetric
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=0 if asymmetric else 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(F.pad(x, (0, 1, 0, 1)) if self._asymmetric else x)


class _Up(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(_resized(x, "up"))


def _resample(config: AdmConfig, channels: int, resize: str) -> nn.Module:
    if config.resblock_updown:
        return _Residual(config, channels, channels, resize)
    return _Down(channels, config.asymmetric) if resize == "down" else _Up(channels)


def _resized(x: Tensor, resize: str) -> Tensor:
    if resize == "down":
        return F.avg_pool2d(x, 2)
    return F.interpolate(x, scale_factor=2, mode="nearest") if resize == "up" else x


def _norm(config: AdmConfig, channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(config.norm_groups, channels, eps=config.norm_eps)


def _zeroed(layer: Layer) -> Layer:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
