"""Apply the chain of degradations that params describe to photographs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drdd.degradations.catalogue import FUNCTIONS
from drdd.degradations.draws import uniform
from drdd.diffusion.keyed import keyed_generator

Chain = Sequence[Mapping[str, Any]]
"""Steps [{"kind": "haze", "density": [0.5, 1.3], ..., "probability": 1.0}, ...], as of params."""
Order = Literal["given", "random"]


def degrade(
    pixels: NDArray[np.uint8], chain: Chain, *key: int | str, order: Order = "given"
) -> NDArray[np.uint8]:
    """Apply a chain of degradations, drawn from the stream of `key`, to (H, W, 3) uint8.

    The result is rounded to 8 bits, as a degraded photograph on disk would be. It is computed in one
    thread: the last bits of a Fourier transform depend on how many there are.
    """
    image = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()
    with _one_thread():
        degraded = degrade_batch(image, chain, keyed_generator(*key), order)
    return (degraded[0].permute(1, 2, 0) * 255).round_().clamp_(0, 255).to(torch.uint8).numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def degrade_batch(x: Tensor, chain: Chain, rng: torch.Generator, order: Order = "given") -> Tensor:
    """Apply a chain to (B, 3, H, W) in [0, 1], on any device; each image has its own draws.

    A step with a `probability` below 1 is applied only to the images for which it is drawn.
    order: "random" gives each image its own order; images are then degraded one by one.
    """
    if order == "given":
        return _in_turn(x, chain, rng)
    return torch.cat([_in_turn(image[None], _shuffled(chain, rng), rng) for image in x])


def _in_turn(x: Tensor, chain: Chain, rng: torch.Generator) -> Tensor:
    for step in chain:
        x = _applied(x, step, rng)
    return x


def _applied(x: Tensor, step: Mapping[str, Any], rng: torch.Generator) -> Tensor:
    arguments = {name: value for name, value in step.items() if name not in ("kind", "probability")}
    probability = step.get("probability", 1.0)
    if probability == 1:  # draw nothing more: the stream is that of the step alone
        return FUNCTIONS[step["kind"]](x, rng, **arguments)
    drawn = uniform((len(x), 1, 1, 1), x, rng) < probability
    return torch.where(drawn, FUNCTIONS[step["kind"]](x, rng, **arguments), x)


def _shuffled(chain: Chain, rng: torch.Generator) -> Chain:
    order = torch.randperm(len(chain), generator=rng, device=rng.device).tolist()
    return [chain[position] for position in order]
