"""FID and KID (Heusel et al., 2017; Binkowski et al., 2018). They need Inception's weights on disk.

The file is the TorchScript port of the original TensorFlow network, with its resizing and the 2048
features that published numbers use.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from drdd.checkpoints.kinds import kind_at, no_checkpoint
from drdd.errors import UserError
from drdd.first_bytes import ZIP
from drdd.metrics.distances import frechet
from drdd.pictures.pixels import Pixels


class Inception:
    def __init__(self, weights: Path) -> None:
        """Raises UserError when the file is not TorchScript."""
        kind = kind_at(weights)
        if kind is not None and kind is not ZIP:
            raise no_checkpoint(weights, kind)
        try:
            self._net = torch.jit.load(str(weights), map_location="cpu").eval()
        except RuntimeError as error:
            raise UserError(
                f"{weights}: damaged or no TorchScript ({str(error).splitlines()[0]}); get it again"
            ) from None

    @torch.inference_mode()
    def __call__(self, picture: Pixels) -> Tensor:
        """(H, W, 3) uint8 -> (2048,) float32."""
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
        features: Tensor = self._net(x, return_features=True)
        return features.flatten().float()


inception = cache(Inception)


def fid(a: Tensor, b: Tensor) -> float:
    """FID of features (N, 2048) and (M, 2048)."""
    return frechet(a, b)


def kid(a: Tensor, b: Tensor) -> float:
    """The unbiased squared maximum mean discrepancy of all rows, kernel (x y / D + 1)^3."""
    from torchmetrics.image.kid import poly_mmd  # two seconds

    return float(poly_mmd(a.double(), b.double(), degree=3, gamma=None, coef=1.0))
