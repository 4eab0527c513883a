"""The reference for JPEG: the picture compressed again at each shift of the grid of blocks, and the mean.

Nosratinia 2001, "Enhancement of JPEG-compressed images by re-application of JPEG". The quality is found as
by Farid 2009, "Exposing digital forgeries from JPEG ghosts": compressed again, a picture changes least at
its own.
"""

import io
from typing import TYPE_CHECKING

from drdd.references.deferred import Image, np
from drdd.references.registry import reference

if TYPE_CHECKING:
    from drdd.pictures.pixels import Pixels

BLOCK = 8
QUALITIES = range(2, 96, 2)


@reference("jpeg", source="Nosratinia 2001, quality by Farid 2009; Pillow")
def shifted_jpeg(pixels: "Pixels") -> "Pixels":
    height, width = pixels.shape[:2]
    quality = _quality(pixels)
    padded = np.pad(pixels, ((BLOCK, 0), (BLOCK, 0), (0, 0)), mode="symmetric")
    total = np.zeros(pixels.shape, np.float32)
    for row in range(BLOCK):
        for column in range(BLOCK):
            total += _coded(padded[row:, column:], quality)[-height:, -width:]
    return (total / BLOCK**2).round().astype(np.uint8)


def _quality(pixels: "Pixels") -> int:
    """The quality of the Independent JPEG Group with which the picture seems to be compressed."""
    changes = [
        np.square(_coded(pixels, quality).astype(np.int16) - pixels).mean() for quality in QUALITIES
    ]
    return QUALITIES[int(np.argmin(changes))]


def _coded(pixels: "Pixels", quality: int) -> "Pixels":
    """The picture as its JPEG file gives it, with 4:2:0 chroma."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(buffer))
