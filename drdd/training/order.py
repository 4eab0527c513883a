"""The photograph and crop of the n-th image of a run, as a pure function of (seed, n)."""

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


def crop_alike(images: list[Pixels], size: int, generator: torch.Generator) -> list[Tensor]:
    """Cut the same random square from each image (all of one size), with the same of its 8 symmetries.

    images: (H, W, 3) uint8; a side shorter than `size` is reflected. Returns (3, size, size)
    float32 in [-1, 1] each.
    """
    height, width = images[0].shape[:2]
    top, left = (
        int(torch.randint(max(side - size, 0) + 1, (), generator=generator))
        for side in (height, width)
    )
    symmetry = int(torch.randint(8, (), generator=generator))
    return [
        _transform(image[top : top + size, left : left + size], size, symmetry) for image in images
    ]


def _transform(crop: Pixels, size: int, symmetry: int) -> Tensor:
    if crop.shape[0] < size or crop.shape[1] < size:
        missing = ((0, size - crop.shape[0]), (0, size - crop.shape[1]), (0, 0))
        crop = np.pad(crop, missing, mode="symmetric")
    if symmetry & 4:
        crop = crop[:, ::-1]
    pixels = np.ascontiguousarray(np.rot90(crop, symmetry & 3))
    return to_tensor(pixels)
