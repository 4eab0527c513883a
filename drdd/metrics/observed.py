"""A picture that is measured."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from drdd.pictures.pixels import Pixels

T = TypeVar("T")


class Observed:
    """A picture that is measured, and what networks saw in it: each looks at it once.

    pixels: (H, W, 3) uint8, without the border that is left out.
    """

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.side = min(pixels.shape[:2])
        self._seen: dict[Hashable, Any] = {}

    def seen_by(self, network: Callable[[Pixels], T]) -> T:
        if network not in self._seen:
            self._seen[network] = network(self.pixels)
        found: T = self._seen[network]
        return found
