"""Pixels as numbers from 0 to 1, and back."""

from typing import TYPE_CHECKING

from drdd.references.deferred import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drdd.pictures.pixels import Pixels

    Levels = NDArray[np.float32]
    """(H, W, 3) in [0, 1]."""


def to_levels(pixels: "Pixels") -> "Levels":
    return np.divide(pixels, 255, dtype=np.float32)


def to_pixels(levels: "Levels") -> "Pixels":
    """Clipped to [0, 1] and rounded to 8 bits."""
    return (levels.clip(0, 1) * 255).round().astype(np.uint8)
