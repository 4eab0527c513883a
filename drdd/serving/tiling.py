"""Large pictures in bounded memory: overlapping tiles, blended linearly."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def tiled(function: Callable[[Tensor], Tensor], x: Tensor, size: int, overlap: int) -> Tensor:
    """Apply `function` to (B, C, h, w) tiles of x (B, C, H, W), h, w <= size, and blend the results.

    function: (B, C, h, w) -> (B, K, h, w). A picture no larger than one tile is passed whole.
    size and overlap must be multiples of what the network needs.
    """
    height, width = x.shape[-2:]
    if height <= size and width <= size:
        return function(x)
    total: Tensor | None = None
    weight = torch.zeros(1, 1, height, width, device=x.device)
    for top in _starts(height, size, overlap):
        for left in _starts(width, size, overlap):
            window = (..., slice(top, top + size), slice(left, left + size))
            result = function(x[window])
            ramp = _ramp(result.shape[-2], overlap)[:, None] * _ramp(result.shape[-1], overlap)
            ramp = ramp.to(x.device)
            if total is None:
                total = x.new_zeros(result.shape[0], result.shape[1], height, width)
            total[window] += result * ramp
            weight[window] += ramp
    assert total is not None
    return total / weight


def _starts(length: int, size: int, overlap: int) -> Iterator[int]:
    """Tile origins that cover [0, length); the last tile is moved back to end at the border."""
    start = 0
    while start + size < length:
        yield start
        start += size - overlap
    yield max(0, length - size)


def _ramp(length: int, overlap: int) -> Tensor:
    """Rises over `overlap` pixels from the border, 1 in the middle; positive everywhere."""
    position = torch.arange(length) + 0.5
    distance = torch.minimum(position, length - position)
    return (distance / overlap).clamp(max=1)
