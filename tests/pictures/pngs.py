"""PNG files of any kind, written here byte by byte."""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
COUNT = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


# Adam7: first column and row, and the steps between columns and rows, of each pass.
PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def made_png(
    stored: NDArray[Any],
    kind: int,
    depth: int,
    *before: tuple[bytes, bytes],
    after: bytes = b"",
    interlaced: bool = False,
) -> bytes:
    """stored: (H, W, C) samples; before: chunks between header and pixels; after: chunks behind them."""
    height, width, _ = stored.shape
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    passes = (
        [stored[y::down, x::across] for x, y, across, down in PASSES] if interlaced else [stored]
    )
    data = b"".join(_rows(part, depth) for part in passes)
    said = b"".join(chunk(name, content) for name, content in before)
    pixels = chunk(b"IDAT", zlib.compress(data))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + said + pixels + after + chunk(b"IEND", b"")
    )


def _rows(part: NDArray[Any], depth: int) -> bytes:
    """Each without a filter."""
    if part.size == 0:
        return b""
    bits = (part.reshape(len(part), -1, 1).astype(np.uint32) >> np.arange(depth)[::-1]) & 1
    rows = np.packbits(bits.reshape(len(part), -1).astype(np.uint8), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in rows)
