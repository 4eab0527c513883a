"""TIFF files of any kind, written here byte by byte, so that nothing but the reader is asked."""

import io
import struct
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

SHORT, LONG, RATIONAL, UNDEFINED = 3, 4, 5, 7
_FORMATS = {SHORT: "H", LONG: "I", RATIONAL: "I", UNDEFINED: "B"}
KINDS = {"u": 1, "i": 2, "f": 3}
COMPRESSIONS = {"none": 1, "lzw": 5, "deflate": 8, "packbits": 32773}
Array = NDArray[Any]
Tags = dict[int, tuple[int, Any]]
Order = Literal["<", ">"]


def made_tiff(
    stored: Array,
    photometric: int,
    *,
    bits: int = 0,
    compression: str = "none",
    order: Order = "<",
    planar: bool = False,
    tile: tuple[int, int] | None = None,
    rows: int = 0,
    predictor: int = 1,
    fill_order: int = 1,
    tags: Tags | None = None,
) -> bytes:
    """stored: (H, W, C) samples; bits: of a sample, those of the type if 0; tile: (height, width).

    tags: others, or in place of these; {338: (SHORT, [2])}.
    """
    height, width, count = stored.shape
    bits = bits or stored.dtype.itemsize * 8
    planes = [stored[..., n : n + 1] for n in range(count)] if planar else [stored]
    down, across = tile or (rows or height, width)
    parts = []
    for plane in planes:
        for top in range(0, height, down):
            for left in range(0, width, across):
                part = plane[top : top + down, left : left + across]
                if tile:
                    padding = ((0, down - part.shape[0]), (0, across - part.shape[1]), (0, 0))
                    part = np.pad(part, padding)
                data = _packed(part, bits, order, predictor)
                data = _compressed(data, compression)
                if fill_order == 2:
                    data = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
                parts.append(data)
    sizes = [len(part) for part in parts]
    places = [8 + sum(sizes[:n]) for n in range(len(parts))]
    all_tags: Tags = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * count),
        259: (SHORT, [COMPRESSIONS[compression]]),
        262: (SHORT, [photometric]),
        266: (SHORT, [fill_order]),
        277: (SHORT, [count]),
        284: (SHORT, [1 + planar]),
        317: (SHORT, [predictor]),
        339: (SHORT, [KINDS[stored.dtype.kind]] * count),
        **({322: (LONG, [across]), 323: (LONG, [down])} if tile else {278: (LONG, [down])}),
        **(
            {324: (LONG, places), 325: (LONG, sizes)}
            if tile
            else {273: (LONG, places), 279: (LONG, sizes)}
        ),
        **(tags or {}),
    }
    return _file(b"".join(parts), all_tags, order)


def _file(data: bytes, tags: Tags, order: Order) -> bytes:
    start = 8 + len(data) + len(data) % 2
    beyond, entries = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        content = struct.pack(f"{order}{len(values)}{_FORMATS[kind]}", *values)
        many = len(values) // (2 if kind == RATIONAL else 1)
        entries += struct.pack(order + "HHI", tag, kind, many)
        if len(content) > 4:
            entries += struct.pack(order + "I", start + 2 + 12 * len(tags) + 4 + len(beyond))
            beyond += content + bytes(len(content) % 2)
        else:
            entries += content.ljust(4, b"\0")
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, start)
    directory = struct.pack(order + "H", len(tags)) + entries + bytes(4) + beyond
    return head + data + bytes(len(data) % 2) + directory


def _packed(part: Array, bits: int, order: Order, predictor: int) -> bytes:
    rows, width, count = part.shape
    if predictor == 2:
        whole = part.view(f"u{part.dtype.itemsize}")
        part = np.concatenate([whole[:, :1], np.diff(whole, axis=1)], axis=1).view(part.dtype)
    if predictor == 3:
        size = part.dtype.itemsize
        big = part.astype(part.dtype.newbyteorder(">")).reshape(rows, width * count, 1)
        planes = np.moveaxis(big.view(np.uint8), 2, 1).reshape(rows, size * width, count)
        return np.concatenate([planes[:, :1], np.diff(planes, axis=1)], axis=1).tobytes()
    if bits in (8, 16, 32, 64):
        return part.astype(part.dtype.newbyteorder(order)).tobytes()
    each = (part.reshape(rows, -1, 1).astype(np.uint32) >> np.arange(bits)[::-1]) & 1
    return np.packbits(each.reshape(rows, -1).astype(np.uint8), axis=1).tobytes()


def _compressed(data: bytes, compression: str) -> bytes:
    if compression == "none":
        return data
    if compression == "deflate":
        return zlib.compress(data)
    out = io.BytesIO()
    name = {"lzw": "tiff_lzw", "packbits": "packbits"}[compression]
    grey = Image.frombytes("L", (len(data), 1), data)
    grey.save(out, "TIFF", compression=name, strip_size=2**30)
    tags = TiffImagePlugin.TiffImageFile(io.BytesIO(out.getvalue())).tag_v2
    (place,), (size,) = tags[273], tags[279]
    return out.getvalue()[place : place + size]
