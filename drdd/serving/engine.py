"""Restore pictures with a model folder: any size in, the same size out."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drdd.checkpoints.folder import Model, load_model
from drdd.diffusion.keyed import keyed_noise
from drdd.serving.tiling import tiled

TILE, OVERLAP = 768, 128


@dataclass(frozen=True)
class Restoration:
    """(H, W, 3) uint8 each.

    estimate: the residual stage's own; deresidual: the state after it, still in fixed noise.
    """

    estimate: NDArray[np.uint8]
    deresidual: NDArray[np.uint8]
    output: NDArray[np.uint8]


class Restorer:
    """A model ready for use."""

    def __init__(self, model: Model, seed: int = 0) -> None:
        self.model = model
        self._seed = seed
        self._purposes = model.sampling.purposes()

    @classmethod
    def from_folder(cls, folder: Path, seed: int = 0) -> "Restorer":
        """Raises UserError when `folder` holds no valid model."""
        return cls(load_model(folder), seed)

    @torch.inference_mode()
    def restore(self, pixels: NDArray[np.uint8], key: str | None = None) -> Restoration:
        """Restore (H, W, 3) uint8.

        All noise is drawn for the whole picture from the streams of (seed, key), key being the
        picture's own hash by default, so a result depends on no other picture and on no tile.
        """
        height, width = pixels.shape[:2]
        degraded = _padded(pixels, self.model.factor)
        draw = keyed_noise(self._seed, [key or sha256(pixels.tobytes()).hexdigest()], degraded)
        noises = [draw(purpose) for purpose in self._purposes]
        states = tiled(self._sample, torch.cat([degraded, *noises], dim=1), TILE, OVERLAP)
        return Restoration(*map(_to_pixels, states[..., :height, :width].split(3, dim=1)))

    def _sample(self, stacked: Tensor) -> Tensor:
        """The image with its noises below -> estimate, state after the residual part, output."""
        degraded, *noises = (
            part.contiguous(memory_format=torch.channels_last) for part in stacked.split(3, dim=1)
        )
        drawn = dict(zip(self._purposes, noises, strict=True))
        result = self.model.restore(degraded, drawn.__getitem__)
        return torch.cat([result.estimate, result.deresidual, result.output], dim=1)


def _padded(pixels: NDArray[np.uint8], factor: int) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H', W') in [-1, 1], mirrored up to multiples of `factor`."""
    height, width = pixels.shape[:2]
    rows, columns = -height % factor, -width % factor
    mirrored = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="symmetric")
    return torch.from_numpy(mirrored.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def _to_pixels(x: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W) in [-1, 1] -> (H, W, 3) uint8, clamped."""
    scaled = ((x[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(1, 2, 0).numpy())
