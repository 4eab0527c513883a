"""LPIPS 0.1 with AlexNet (Zhang et al., CVPR 2018). It needs AlexNet's weights on disk.

These are the file that torchvision downloads. The linear weights of the distance come with torchmetrics,
whose LPIPS cannot be used: it accepts no network or file, and downloads AlexNet by torchvision, which is
not a dependency.
"""

from importlib.resources import as_file, files
from math import nan
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from drdd.checkpoints.reading import check_weights, read_checkpoint, under
from drdd.errors import UserError
from drdd.metrics.perception import unit
from drdd.pictures.pixels import Pixels

SIDE = 64  # the smallest side for AlexNet
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_TAPS = (1, 4, 7, 9, 11)  # indices of its five ReLU layers


class Lpips:
    """The LPIPS distance: lower is more similar, 0 for identical pictures."""

    def __init__(self, weights: Path) -> None:
        """weights: AlexNet's. Raises UserError when the file is damaged or of another network."""
        self._net = alexnet()
        found = read_checkpoint(weights)
        if not isinstance(found, dict):
            raise UserError(f"{weights}: holds a {type(found).__name__}, not AlexNet's weights")
        features = under("features.", found)
        check_weights(self._net, features, str(weights))
        self._net.load_state_dict(features)
        self._net.eval().requires_grad_(False)
        self._heads = _heads()

    @torch.inference_mode()
    def __call__(self, image: Pixels, target: Pixels) -> float:
        """LPIPS of two (H, W, 3) uint8 pictures of one size; NaN when a side has under SIDE pixels."""
        if min(target.shape[:2]) < SIDE:
            return nan
        x = torch.from_numpy(np.stack([image, target])).permute(0, 3, 1, 2).float() / 127.5 - 1
        x = (x - torch.tensor(_SHIFT)[:, None, None]) / torch.tensor(_SCALE)[:, None, None]
        total = 0.0
        for number, layer in enumerate(self._net):
            x = layer(x)
            if number in _TAPS:
                difference = (unit(x[0]) - unit(x[1])).square()
                weights = self._heads[_TAPS.index(number)]
                total += float((difference * weights[:, None, None]).sum(0).mean())
        return total


def alexnet() -> nn.Sequential:
    """AlexNet's convolutions (Krizhevsky, arXiv 1404.5997), with torchvision's layout of weights."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )


def _heads() -> list[Tensor]:
    """The weight of each channel of the five layers."""
    found = files("torchmetrics") / "functional/image/lpips_models/alex.pth"
    with as_file(found) as path:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    return [tensors[f"lin{layer}.model.1.weight"].flatten() for layer in range(len(_TAPS))]
