"""Random draws keyed by their purpose, independent of rank, order, batch and global state."""

from collections.abc import Callable, Sequence
from hashlib import blake2b

import torch
from torch import Tensor

Draw = Callable[[str], Tensor]
"""Standard normal noise, (B, 3, H, W), for a purpose such as "fixed noise"; pure in its argument."""


def keyed_generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose stream is a pure function of `key`, such as (seed, "noise", sample index).

    Two different keys give independent streams; the same key gives the same stream in any process.
    """
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "big") >> 1)


def keyed_noise(seed: int, ids: Sequence[str], like: Tensor) -> Draw:
    """Noise for a batch of the shape and device of `like`, (B, C, H, W), keyed by (seed, ids[i], purpose).

    The noise of an image depends neither on its batch nor on the device, because it is drawn on the CPU.
    Raises ValueError when `ids` and the batch differ in length.
    """
    if len(ids) != len(like):
        raise ValueError(f"{len(ids)} image ids for a batch of {len(like)}")

    def draw(purpose: str) -> Tensor:
        rows = [
            torch.randn(like.shape[1:], generator=keyed_generator(seed, id_, purpose))
            for id_ in ids
        ]
        return torch.stack(rows).to(like.device)

    return draw
