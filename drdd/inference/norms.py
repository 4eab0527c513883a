"""Group norms that use the statistics of the whole picture while a network processes tiles of it.

A group norm computes its statistics from its input, so a tile would be normalised differently from the same
pixels in the whole picture. Here the statistics are given to the norms.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rule = Callable[[nn.GroupNorm, Tensor], Tensor]
"""Replaces the forward of a norm: (norm, x (B, C, h, w)) -> normalised x."""


@dataclass(frozen=True)
class Statistics:
    """The statistics of one norm: mean and variance of each group, (G,) float64."""

    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, sums: Tensor, norm: nn.GroupNorm) -> "Statistics":
        """sums: (2, C), the mean of x and of x^2 in each channel."""
        mean, square = sums.view(2, norm.num_groups, -1).mean(-1)
        return cls(mean, (square - mean.square()).clamp(min=0))

    def normalised(self, norm: nn.GroupNorm, x: Tensor) -> Tensor:
        """(x - mean) / sqrt(variance + eps) * weight + bias."""
        each = norm.num_channels // norm.num_groups
        mean, variance = (
            one.repeat_interleave(each).to(x.dtype) for one in (self.mean, self.variance)
        )
        return F.batch_norm(x, mean, variance, norm.weight, norm.bias, eps=norm.eps)


Known = Mapping[nn.GroupNorm, Statistics]


class Joint:
    """A Rule: normalise x by its own statistics, taken jointly over the batch, and keep them in `found`."""

    def __init__(self) -> None:
        self.found: dict[nn.GroupNorm, Statistics] = {}

    def __call__(self, norm: nn.GroupNorm, x: Tensor) -> Tensor:
        used = self.found[norm] = self._used(norm, Statistics.of(_means(x), norm))
        return used.normalised(norm, x)

    def _used(self, norm: nn.GroupNorm, own: Statistics) -> Statistics:
        return own


class Corrected(Joint):
    """A Rule: Joint, corrected by the measured difference between the picture and the sample.

    sample: the statistics that Joint found in a part of the picture; picture: those measured in the whole
    picture while the norms used `sample`. Corrections of earlier norms change the statistics of sample and
    picture nearly equally, so each norm applies the difference in units of standard deviations:

        mean = own.mean + (picture.mean - sample.mean) * own.deviation / sample.deviation
        deviation = own.deviation * picture.deviation / sample.deviation

    (a control variate). The error of `found` is then the product of two small differences.
    """

    def __init__(self, sample: Known, picture: Known) -> None:
        super().__init__()
        self._sample, self._picture = sample, picture

    def _used(self, norm: nn.GroupNorm, own: Statistics) -> Statistics:
        sample, picture = self._sample[norm], self._picture[norm]
        change = (own.variance + norm.eps) / (sample.variance + norm.eps)
        mean = own.mean + (picture.mean - sample.mean) * change.sqrt()
        return Statistics(mean, ((picture.variance + norm.eps) * change - norm.eps).clamp(min=0))


class Measured:
    """A Rule: normalise by `known`, and accumulate the statistics of a tile's own pixels."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._sums: dict[nn.GroupNorm, Tensor] = {}
        self._pixels: dict[nn.GroupNorm, int] = {}
        self.own: Callable[[Tensor], Tensor] = lambda x: x

    @property
    def found(self) -> Known:
        return {n: Statistics.of(sums / self._pixels[n], n) for n, sums in self._sums.items()}

    def __call__(self, norm: nn.GroupNorm, x: Tensor) -> Tensor:
        own = self.own(x)
        pixels = own.numel() // own.shape[1]
        self._sums[norm] = self._sums.get(norm, 0) + _means(own) * pixels
        self._pixels[norm] = self._pixels.get(norm, 0) + pixels
        return self._known[norm].normalised(norm, x)


def fixed(known: Known) -> Rule:
    return lambda norm, x: known[norm].normalised(norm, x)


@contextmanager
def norms_of(net: nn.Module, rule: Rule) -> Iterator[None]:
    """Apply `rule` to every group norm of `net` inside the block. Not safe for several threads."""
    norms = group_norms(net)
    try:
        for norm in norms:
            norm.forward = partial(rule, norm)  # type: ignore[method-assign]
        yield
    finally:
        for norm in norms:
            norm.__dict__.pop("forward", None)


def group_norms(net: nn.Module) -> list[nn.GroupNorm]:
    return [module for module in net.modules() if isinstance(module, nn.GroupNorm)]


def _means(x: Tensor) -> Tensor:
    """The means of x and of x^2 in each channel of (B, C, h, w); (2, C) float64."""
    variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    mean, variance = mean.double(), variance.double()
    return torch.stack([mean, variance + mean.square()])
