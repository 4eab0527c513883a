"""Write a TIFF of 8 or 16 bits, in strips, by Deflate: Pillow writes none of RGB with 16 bits."""

import zlib
from typing import Any

from numpy.typing import NDArray

from drdd.formats.directories import (
    BYTE,
    LONG,
    SHORT,
    UNDEFINED,
    Directories,
    Field,
    Order,
    made,
    written,
)
from drdd.formats.exif import with_dpi

STRIP = 2**18  # bytes, about
DEFLATE, RGB, HORIZONTAL, UNASSOCIATED = 8, 2, 2, 2


def tiff(
    levels: NDArray[Any],
    tags: Directories | None,
    dpi: tuple[float, float] | None,
    profile: bytes,
    xmp: bytes,
) -> bytes:
    """levels: (H, W, 3) or, with alpha, (H, W, 4); uint8 or uint16. Raises ValueError above 4 GiB."""
    tags = tags or Directories("<", {})
    height, width, channels = levels.shape
    bits, order = 8 * levels.dtype.itemsize, tags.order
    rows = max(1, STRIP // (width * channels * levels.dtype.itemsize))
    strips = [_packed(levels[top : top + rows], order) for top in range(0, height, rows)]
    main = with_dpi(tags.main, dpi, order) | {
        256: made(order, LONG, width),
        257: made(order, LONG, height),
        258: made(order, SHORT, *[bits] * channels),
        259: made(order, SHORT, DEFLATE),
        262: made(order, SHORT, RGB),
        277: made(order, SHORT, channels),
        278: made(order, LONG, rows),
        284: made(order, SHORT, 1),
        317: made(order, SHORT, HORIZONTAL),
    }
    if channels == 4:
        main[338] = made(order, SHORT, UNASSOCIATED)
    if xmp:
        main[700] = Field(BYTE, len(xmp), xmp)
    if profile:
        main[34675] = Field(UNDEFINED, len(profile), profile)
    return written(Directories(order, main, tags.photo, tags.gps, tags.note_at), strips)


def _packed(part: NDArray[Any], order: Order) -> bytes:
    """Each pixel less the one to its left."""
    less = part.copy()
    less[:, 1:] -= part[:, :-1]
    return zlib.compress(less.astype(less.dtype.newbyteorder(order)).tobytes(), 1)
