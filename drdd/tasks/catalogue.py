"""From the degradations that params describe to one function that degrades a photograph."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drdd.diffusion.keyed import keyed_generator
from drdd.tasks import degradations

DEGRADATIONS: dict[str, Callable[..., torch.Tensor]] = {
    "gaussian_noise": degradations.gaussian_noise,
    "low_light": degradations.low_light,
    "haze": degradations.haze,
    "rain": degradations.rain,
}


def degrade(
    pixels: NDArray[np.uint8], chain: Sequence[Mapping[str, Any]], *key: int | str
) -> NDArray[np.uint8]:
    """Apply a chain of degradations, drawn from the stream of `key`, to (H, W, 3) uint8.

    chain: [{"kind": "haze", "density": (0.5, 1.3), ...}, ...]. The result is rounded to 8 bits, as
    a degraded photograph on disk would be.
    """
    image = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    generator = keyed_generator(*key)
    for step in chain:
        arguments = {name: tuple(value) for name, value in step.items() if name != "kind"}
        image = DEGRADATIONS[step["kind"]](image, generator, **arguments)
    return (image[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
