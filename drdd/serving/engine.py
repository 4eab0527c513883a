"""Restore pictures with a model folder: any size in, the same size out."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drdd.diffusion.keyed import keyed_generator
from drdd.diffusion.sampler import sample
from drdd.nets.model import Model, load_model
from drdd.serving.tiling import tiled

TILE, OVERLAP = 768, 128


@dataclass(frozen=True)
class Restoration:
    """(H, W, 3) uint8 each. deresidual: the state after the residual part, still in fixed noise."""

    deresidual: NDArray[np.uint8]
    output: NDArray[np.uint8]


class Restorer:
    """A model ready for use."""

    def __init__(self, model: Model, seed: int = 0) -> None:
        self.model = model
        self._seed = seed

    @classmethod
    def from_folder(cls, folder: Path, seed: int = 0) -> "Restorer":
        """Raises UserError when `folder` holds no valid model."""
        return cls(load_model(folder), seed)

    @torch.inference_mode()
    def restore(self, pixels: NDArray[np.uint8], key: str | None = None) -> Restoration:
        """Restore (H, W, 3) uint8.

        The noise is drawn from the stream of (seed, key), key being the picture's own hash by
        default, so a result depends on no other picture.
        """
        height, width = pixels.shape[:2]
        degraded = _padded(pixels, self.model.factor)
        generator = keyed_generator(self._seed, key or sha256(pixels.tobytes()).hexdigest())
        noise = torch.randn(degraded.shape, generator=generator)
        states = tiled(self._sample, torch.cat([degraded, noise], dim=1), TILE, OVERLAP)
        deresidual, output = states[..., :height, :width].split(3, dim=1)
        return Restoration(_to_pixels(deresidual), _to_pixels(output))

    def _sample(self, degraded_and_noise: Tensor) -> Tensor:
        """(1, 6, H, W) -> (1, 6, H, W): the state after the residual part, and the output."""
        degraded, noise = degraded_and_noise.split(3, dim=1)
        sampling = self.model.sampling
        result = sample(
            self.model.residual,
            self.model.noise,
            self.model.schedule,
            degraded.contiguous(memory_format=torch.channels_last),
            noise.contiguous(memory_format=torch.channels_last),
            sampling.residual_steps,
            sampling.noise_steps,
            sampling.eta,
            keyed_generator(self._seed, "eta") if sampling.eta > 0 else None,
        )
        return torch.cat([result.deresidual, result.output], dim=1)


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
