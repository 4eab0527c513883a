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


def made_png(
    stored: NDArray[Any], kind: int, depth: int, *before: tuple[bytes, bytes], after: bytes = b""
) -> bytes:
    """stored: (H, W, C) samples; before: chunks between header and pixels; after: chunks behind them."""
    height, width, _ = stored.shape
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    bits = (stored.reshape(height, -1, 1).astype(np.uint32) >> np.arange(depth)[::-1]) & 1
    rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    said = b"".join(chunk(name, content) for name, content in before)
    pixels = chunk(b"IDAT", zlib.compress(data))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + said + pixels + after + chunk(b"IEND", b"")
    )
