"""The photograph and crop of the n-th image of a run, as a pure function of (seed, n)."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from drdd.diffusion.keyed import keyed_generator
from drdd.pictures.pixels import Pixels
from drdd.pictures.tensors import to_tensor


def item_of(seed: int, stage: str, n: int, count: int) -> int:
    """The n-th draw from `count` items. Every epoch is a new permutation of all items."""
    epoch, position = divmod(n, count)
    return _permutation(seed, stage, epoch, count)[position]


@lru_cache(maxsize=64)
def _permutation(seed: int, stage: str, epoch: int, count: int) -> list[int]:
    generator = keyed_generator(seed, stage, "order", epoch)
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


@dataclass(frozen=True)
class Crop:
    """A square of `size` pixels at (top, left), then one of the 8 symmetries of a square."""

    top: int
    left: int
    size: int
    symmetry: int

    @classmethod
    def drawn(cls, shape: tuple[int, ...], size: int, generator: torch.Generator) -> "Crop":
        """A random crop of pictures of this height and width."""
        top, left = (
            int(torch.randint(max(side - size, 0) + 1, (), generator=generator))
            for side in shape[:2]
        )
        return cls(top, left, size, int(torch.randint(8, (), generator=generator)))

    def of(self, image: Pixels) -> Tensor:
        """(H, W, 3) uint8, a side shorter than `size` reflected -> (3, size, size) in [-1, 1]."""
        crop = image[self.top : self.top + self.size, self.left : self.left + self.size]
        if crop.shape[0] < self.size or crop.shape[1] < self.size:
            missing = [(0, self.size - side) for side in crop.shape[:2]]
            crop = np.pad(crop, [*missing, (0, 0)], mode="symmetric")
        if self.symmetry & 4:
            crop = crop[:, ::-1]
        return to_tensor(np.ascontiguousarray(np.rot90(crop, self.symmetry & 3)))

    def turned(self, x: Tensor) -> Tensor:
        """The crop's symmetry alone, of (C, S, S)."""
        if self.symmetry & 4:
            x = x.flip(-1)
        return torch.rot90(x, self.symmetry & 3, (-2, -1))


def crop_alike(images: list[Pixels], size: int, generator: torch.Generator) -> list[Tensor]:
    """The same random crop of images of one size."""
    crop = Crop.drawn(images[0].shape, size, generator)
    return [crop.of(image) for image in images]
