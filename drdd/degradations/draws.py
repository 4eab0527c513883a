"""Random draws of degradations: one value per image, from a generator on any device."""

from collections.abc import Sequence

from drdd.degradations.deferred import Generator, Tensor, torch

Range = Sequence[float]
"""[low, high]: a value is drawn uniformly between them, once for each image of the batch."""


def draw(x: Tensor, rng: Generator, bounds: Range) -> Tensor:
    """(B, 1, 1, 1): a value of [low, high] for each image of x, (B, ...)."""
    low, high = bounds
    return low + (high - low) * uniform((x.shape[0], 1, 1, 1), x, rng)


def uniform(shape: tuple[int, ...], like: Tensor, rng: Generator) -> Tensor:
    """U[0, 1), of the dtype and on the device of `like`."""
    return torch.rand(shape, generator=rng, device=rng.device, dtype=like.dtype).to(like.device)


def normal(shape: tuple[int, ...], like: Tensor, rng: Generator) -> Tensor:
    """N(0, 1), of the dtype and on the device of `like`."""
    return torch.randn(shape, generator=rng, device=rng.device, dtype=like.dtype).to(like.device)
