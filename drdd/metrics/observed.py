"""A picture to measure, with a cache of network features."""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

from drdd.pictures.pixels import Pixels

T = TypeVar("T")


class Observed:
    """A picture to measure, and a cache of its features, so that each network runs once.

    pixels: (H, W, 3) uint8, after cropping the border. Threads may share it.
    """

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.side = min(pixels.shape[:2])
        self._seen: dict[Hashable, Any] = {}
        self._lock = Lock()

    def seen_by(self, network: Callable[[Pixels], T]) -> T:
        with self._lock:
            if network not in self._seen:
                self._seen[network] = network(self.pixels)
            found: T = self._seen[network]
        return found
