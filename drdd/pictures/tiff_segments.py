"""The strips or tiles of a TIFF: inflate them and put them in their places.

Pillow's own unpackers of TIFF are not asked: of samples in planes and of more than 8 bits, some are wrong.
Its libtiff inflates, one strip or tile at a time and never more than that should hold.
"""

import io
import itertools
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from drdd.pictures import tiff_tags as t
from drdd.pictures.errors import PictureError
from drdd.pictures.tiff_tags import Page

NONE, LZW, DEFLATE, PACK_BITS, OLD_DEFLATE, LZMA, ZSTD = 1, 5, 8, 32773, 32946, 34925, 50000
LOSSLESS = (NONE, LZW, DEFLATE, PACK_BITS, OLD_DEFLATE, LZMA, ZSTD)
PREDICTED = (LZW, DEFLATE, OLD_DEFLATE, LZMA, ZSTD)  # of the others, readers differ
MOST_BYTES = 2 * 1024**3  # of all samples
REVERSED = bytes(int(f"{n:08b}"[::-1], 2) for n in range(256))

Array = NDArray[Any]


def samples(content: bytes, page: Page, bits: int, kind: str) -> Array:
    """(H, W, C) as stored, in the machine's byte order. kind: u, i or f.

    Samples of less than a byte, or of other bits than 8, 16, 32 and 64, are unpacked to uint16.
    Raises PictureError for what is not read or damaged.
    """
    width, height = page.size
    count = page.one(t.SAMPLES, 1)
    dtype = np.dtype(f"{kind}{bits // 8}") if bits in (8, 16, 32, 64) else np.dtype(np.uint16)
    if width * height * count * dtype.itemsize > MOST_BYTES:
        raise PictureError(f"its samples take more than {MOST_BYTES // 1024**3} GiB")
    planes = count if page.one(t.PLANAR, 1) == 2 else 1
    across = page.one(t.TILE_WIDTH, width) if t.TILES in page.tags else width
    down = page.one(t.TILE_HEIGHT) if t.TILES in page.tags else page.one(t.ROWS, height)
    down = down if t.TILES in page.tags else min(down, height)
    if min(across, down) < 1 or across * down > 4 * width * height + 2**24:
        raise PictureError("damaged: its strips or tiles are of no size")
    out = np.empty((height, width, count), dtype)
    segments = _segments(content, page, across, down, planes)
    for plane, top, left, data in segments:
        rows = down if t.TILES in page.tags else min(down, height - top)
        shape = (rows, across, count // planes)
        part = _unpacked(_inflated(data, page, shape, bits), page, shape, bits, dtype)
        part = part[: height - top, : width - left]
        places = slice(plane, plane + 1) if planes > 1 else slice(None)
        out[top : top + rows, left : left + across, places] = part
    return out


def _segments(
    content: bytes, page: Page, across: int, down: int, planes: int
) -> Iterator[tuple[int, int, int, bytes]]:
    """Plane, row, column and bytes of each strip or tile, which must all be there."""
    width, height = page.size
    tiled = t.TILES in page.tags
    places = page.tags.get(t.TILES if tiled else t.STRIPS, ())
    sizes = page.tags.get(t.TILE_SIZES if tiled else t.STRIP_SIZES, ())
    corners = itertools.product(range(planes), range(0, height, down), range(0, width, across))
    many = planes * -(-height // down) * -(-width // across)
    if len(places) < many:
        raise PictureError(f"cut short: it has {len(places)} of {many} strips or tiles")
    if (
        len(sizes) < many
    ):  # some programs leave them out, if there is no more than one or all are alike
        sizes = (len(content) // many,) * many if page.one(t.COMPRESSION, 1) != NONE else ()
    if sum(sizes[:many]) > 2 * len(content):
        raise PictureError("damaged: its strips or tiles overlap")
    most = down * across * page.one(t.SAMPLES, 1) * 8
    for n, (plane, top, left) in enumerate(corners):
        start = int(places[n])
        yield plane, top, left, content[start : start + int(sizes[n] if sizes else most)]


def _inflated(data: bytes, page: Page, shape: tuple[int, int, int], bits: int) -> bytes:
    rows, across, count = shape
    stride = (across * count * bits + 7) // 8
    if page.one(t.FILL_ORDER, 1) == 2:
        data = data.translate(REVERSED)
    compression = page.one(t.COMPRESSION, 1)
    if compression != NONE:
        data = inflate(data, compression, stride, rows)
    if len(data) < stride * rows:
        raise PictureError("cut short: a strip or tile has fewer bytes than its pixels")
    return data[: stride * rows]


def inflate(data: bytes, compression: int, width: int, height: int) -> bytes:
    """width x height bytes: as the grey levels of a TIFF that is made for it."""
    tags = (
        *((256, width), (257, height), (258, 8), (259, compression), (262, 1), (273, 0)),
        *((277, 1), (278, height), (279, len(data))),
    )
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, v if tag != 273 else start) for tag, v in tags
    )
    header = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)
    return TiffImagePlugin.TiffImageFile(io.BytesIO(header + data)).tobytes()


def _unpacked(
    data: bytes, page: Page, shape: tuple[int, int, int], bits: int, dtype: np.dtype[Any]
) -> Array:
    rows, across, count = shape
    predictor, compression = page.one(t.PREDICTOR, 1), page.one(t.COMPRESSION, 1)
    if predictor != 1 and compression not in PREDICTED:
        raise PictureError(
            f"predictor {predictor} with compression {compression} is not read; save it without"
        )
    if predictor == 3 and dtype.kind == "f":
        return _float_predicted(data, shape, dtype)
    if predictor not in (1, 2) or (predictor == 2 and bits not in (8, 16, 32, 64)):
        raise PictureError(f"predictor {predictor} with {bits} bits is not read; save it without")
    if bits in (8, 16, 32, 64):
        stored = np.frombuffer(data, dtype.newbyteorder(page.order)).reshape(shape)
        if predictor == 1:
            return stored
        whole = stored.astype(dtype).view(f"u{dtype.itemsize}")
        return np.cumsum(whole, axis=1, dtype=whole.dtype).view(dtype)
    row = np.unpackbits(np.frombuffer(data, np.uint8).reshape(rows, -1), axis=1)
    each = row[:, : across * count * bits].reshape(rows, across * count, bits)
    values = np.zeros((rows, across * count), np.uint16)
    for n in range(bits):
        values |= each[..., n].astype(np.uint16) << np.uint16(bits - 1 - n)
    return values.reshape(shape)


def _float_predicted(data: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Array:
    """Predictor 3 (Adobe): differences of bytes, of which the most significant of a row come first."""
    rows, across, count = shape
    size = dtype.itemsize
    row = np.frombuffer(data, np.uint8).reshape(rows, -1, count)
    summed = np.cumsum(row, axis=1, dtype=np.uint8).reshape(rows, size, across * count)
    big = np.ascontiguousarray(np.moveaxis(summed, 1, 2))
    return big.view(dtype.newbyteorder(">")).reshape(shape).astype(dtype)
