"""A picture: its pixels, the file that encodes them, and its statistics."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drdd.pictures.opening import open_picture

Pixels = NDArray[np.uint8]
"""(H, W, 3) uint8, RGB, upright."""

Hole = NDArray[np.bool_]
"""(H, W), True in the pixels that are to be filled."""

THUMBNAIL = 16
VALUES = np.arange(256.0)
SAMPLED = 128  # rows or columns sampled for thumbnail and channel statistics


@dataclass(frozen=True)
class Picture:
    """A verified picture and its statistics.

    id: SHA-256 of `content`; content: a file that encodes the upright RGB picture within the
    limits: the bytes of the source if they do so already, else a PNG.
    original: (width, height) before scaling; thumbnail: (16, 16, 3) uint8;
    mean, mean_square: of each channel, of values in [0, 255].
    """

    id: str
    name: str
    width: int
    height: int
    original: tuple[int, int]
    content: bytes
    thumbnail: Pixels
    mean: tuple[float, ...]
    mean_square: tuple[float, ...]


def described(
    name: str, content: bytes, image: Image.Image, original: tuple[int, int] | None = None
) -> Picture:
    """Make a Picture. image: the pixels that `content` encodes, RGB."""
    sample = _sampled(image)
    counts = np.array(sample.histogram(), np.float64).reshape(3, 256) / sample.width / sample.height
    return Picture(
        sha256(content).hexdigest(),
        name,
        image.width,
        image.height,
        original or image.size,
        content,
        thumbnail(sample),
        tuple(map(float, counts @ VALUES)),
        tuple(map(float, counts @ VALUES**2)),
    )


def thumbnail(sample: Image.Image) -> Pixels:
    """(16, 16, 3) uint8: near_duplicates compares these; it hardly depends on the size of the picture."""
    side = (THUMBNAIL, THUMBNAIL)
    return np.asarray(sample.resize(side, Image.Resampling.BILINEAR))


def _sampled(image: Image.Image) -> Image.Image:
    """Every n-th row and column, about SAMPLED of the shorter side: the same cost at any size."""
    step = max(1, round(min(image.size) / SAMPLED))
    size = (max(1, image.width // step), max(1, image.height // step))
    return image.resize(size, Image.Resampling.NEAREST)


def pixels_of(content: bytes) -> Pixels:
    """(H, W, 3) uint8 of a picture's `content`."""
    return np.asarray(open_picture(content).convert("RGB"))
