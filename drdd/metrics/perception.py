"""Perceptual distances that need no download, in the feature space of EfficientNet-Lite0 (features.py).

- feature distance, of two pictures: the squared difference of their feature maps, each position's
  channels scaled to length 1, averaged over positions and over five depths of the network. The form is
  that of LPIPS without its learned weights (Zhang et al., CVPR 2018, eq. 1 with w = 1), in another
  network, so its numbers are not LPIPS's.
- Fréchet feature distance, of two sets: as FID compares them, in this network's 1280 pooled features,
  so its numbers are not FID's.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drdd.metrics.features import SIDE, efficientnet
from drdd.metrics.fidelity import Pixels

# The last blocks at strides 2, 4, 8, 16 and 32.
BLOCKS = (0, 2, 4, 10, 15)


class Perception:
    """Loads the network once, when it is made."""

    def __init__(self) -> None:
        self._net = efficientnet()
        self._maps: list[Tensor] = []
        blocks = self._net._blocks
        assert isinstance(blocks, nn.ModuleList)
        for number in BLOCKS:
            blocks[number].register_forward_hook(lambda _m, _i, found: self._maps.append(found))

    @torch.inference_mode()
    def look(self, *pictures: Pixels) -> tuple[list[Tensor], Tensor]:
        """Of B pictures of one size: the maps at each of BLOCKS (B, C, h, w), pooled features (B, 1280).

        Raises ValueError for sides under SIDE pixels.
        """
        # One at a time: what the network holds of a large picture is many times its size.
        looks = [self._look(picture) for picture in pictures]
        maps = [torch.cat(depth) for depth in zip(*(maps for maps, _ in looks), strict=True)]
        return maps, torch.cat([pooled for _, pooled in looks])

    def _look(self, picture: Pixels) -> tuple[list[Tensor], Tensor]:
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
        if min(x.shape[2:]) < SIDE:
            raise ValueError(f"sides of at least {SIDE} pixels are needed: {tuple(x.shape)}")
        self._maps = []
        top: Tensor = self._net.extract_features(  # type: ignore[operator]
            ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
        )
        maps, self._maps = self._maps, []
        return maps, top.mean(dim=(2, 3))


def distance(maps: list[Tensor], one: int, other: int) -> float:
    """The feature distance between pictures `one` and `other` of the batch that `maps` are of."""
    return float(
        np.mean([float((unit(m[one]) - unit(m[other])).square().sum(0).mean()) for m in maps])
    )


def unit(features: Tensor) -> Tensor:
    """(C, h, w) with each position's channels scaled to length 1."""
    return F.normalize(features, dim=0, eps=1e-8)
