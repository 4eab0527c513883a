"""Perceptual distances that need no download, in the feature space of EfficientNet-Lite0 (features.py).

- feature distance, of two pictures: the squared difference of their feature maps, each position's
  channels scaled to length 1, averaged over positions and over five depths of the network. This is
  the form of LPIPS without learned weights (Zhang et al., CVPR 2018, eq. 1 with w = 1), but with another
  network, so its values are not comparable with LPIPS.
- Fréchet feature distance, of two sets: computed like FID, but on this network's 1280 pooled features, so
  its values are not comparable with FID.
"""

from functools import cache
from math import nan
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drdd.metrics.features import SIDE, efficientnet
from drdd.metrics.observed import Observed
from drdd.pictures.pixels import Pixels

# The last blocks at strides 2, 4, 8, 16 and 32.
BLOCKS = (0, 2, 4, 10, 15)


class Seen(NamedTuple):
    """The features of a picture.

    maps: (C, h, w) at each of BLOCKS; pooled: (1280,), the last convolution's channels, averaged.
    """

    maps: list[Tensor]
    pooled: Tensor


class Perception:
    """Computes features, of one picture at a time. The constructor loads the network."""

    def __init__(self) -> None:
        self._net = efficientnet()
        self._maps: list[Tensor] = []
        self._lock = Lock()
        blocks = self._net._blocks
        assert isinstance(blocks, nn.ModuleList)
        for number in BLOCKS:
            blocks[number].register_forward_hook(lambda _m, _i, found: self._maps.append(found))

    @torch.inference_mode()
    def __call__(self, picture: Pixels) -> Seen:
        """(H, W, 3) uint8. Raises ValueError for sides under SIDE pixels."""
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
        if min(x.shape[2:]) < SIDE:
            raise ValueError(f"sides of at least {SIDE} pixels are needed: {tuple(x.shape)}")
        with self._lock:
            self._maps = []
            top: Tensor = self._net.extract_features(  # type: ignore[operator]
                ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
            )
            maps = self._maps
        return Seen([found[0] for found in maps], top.mean(dim=(2, 3))[0])


perception = cache(Perception)


def feature_distance(picture: Observed, target: Observed) -> float:
    """Feature distance of two pictures of one size; NaN for sides under SIDE pixels."""
    if target.side < SIDE:
        return nan
    ours, theirs = (one.seen_by(perception()).maps for one in (picture, target))
    distances = [
        float((unit(a) - unit(b)).square().sum(0).mean()) for a, b in zip(ours, theirs, strict=True)
    ]
    return float(np.mean(distances))


def pooled_features(picture: Observed) -> Tensor | None:
    """(1280,); None for sides under SIDE pixels."""
    return None if picture.side < SIDE else picture.seen_by(perception()).pooled


def unit(features: Tensor) -> Tensor:
    """(C, h, w) with each position's channels scaled to length 1."""
    return F.normalize(features, dim=0, eps=1e-8)
