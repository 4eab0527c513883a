"""Bodies that are no good pictures, or pictures of unusual kinds, each with the statuses it may have."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, PngImagePlugin

from tests.corpora import encoded, scene

FINE, REFUSED = {200}, {413, 415, 422}
EITHER = FINE | REFUSED  # what a decoder may forgive


def corpus() -> Iterator[tuple[str, bytes, set[int]]]:
    """(name, body, allowed statuses). None of them may ever be a 5xx."""
    photo = Image.fromarray(scene(0, 60, 80))
    for format_ in ("PNG", "JPEG", "WEBP"):
        whole = encoded(photo, format_)
        yield f"whole {format_}", whole, FINE
        for share in (0.02, 0.1, 0.3, 0.5, 0.8, 0.95):
            yield f"{format_} cut at {share}", whole[: int(share * len(whole))], EITHER
        for place in range(0, len(whole), max(1, len(whole) // 40)):
            flipped = bytearray(whole)
            flipped[place] ^= 0xFF
            yield f"{format_} flipped at {place}", bytes(flipped), EITHER
        yield f"{format_} with a tail", whole + bytes(5000), FINE
    yield "nothing", b"", REFUSED
    yield "words", b"these are words", REFUSED
    yield "zeros", bytes(4096), REFUSED
    yield "html", b"<html><img src=x></html>", REFUSED
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', REFUSED
    yield "pdf", b"%PDF-1.7\n1 0 obj\n", REFUSED
    for format_ in ("GIF", "BMP", "TIFF", "PPM", "ICO"):
        yield format_, encoded(photo, format_), REFUSED
    yield "NaN in a TIFF", _tiff_of_nan(), REFUSED
    yield "zip", _zip(), REFUSED
    yield "bomb of zeros", _png(20_000, 20_000, zlib.compress(bytes(1000))), REFUSED
    yield "claims 2^31 pixels a side", _png(2**31 - 1, 2**31 - 1, b""), REFUSED
    yield "claims no pixels", _png(0, 0, b""), REFUSED
    yield "text bomb", _text_bomb(), EITHER
    yield "no end", _png(8, 8, zlib.compress(bytes(8 * 25)), end=b""), EITHER
    yield "CMYK", encoded(photo.convert("CMYK"), "JPEG"), FINE
    yield "grey", encoded(photo.convert("L"), "PNG"), FINE
    yield "one bit", encoded(photo.convert("1"), "PNG"), FINE
    yield "palette", encoded(photo.quantize(7), "PNG", transparency=2), FINE
    yield "alpha", encoded(photo.convert("RGBA"), "PNG"), FINE
    yield (
        "16 bits",
        encoded(Image.fromarray(np.arange(480, dtype=np.uint16).reshape(20, 24)), "PNG"),
        FINE,
    )
    yield "one pixel", encoded(Image.new("RGB", (1, 1)), "PNG"), FINE
    yield "a line", encoded(Image.new("RGB", (3000, 1)), "PNG"), FINE
    frames = [Image.fromarray(scene(n, 20, 20)) for n in range(3)]
    for format_ in ("PNG", "WEBP"):
        yield (
            f"moving {format_}",
            encoded(frames[0], format_, save_all=True, append_images=frames),
            FINE,
        )
    yield "EXIF junk", encoded(photo, "JPEG", exif=b"Exif\x00\x00" + bytes(range(256))), FINE
    yield "ICC junk", encoded(photo, "PNG", icc_profile=b"junk" * 100), FINE


def _png(width: int, height: int, data: bytes, end: bytes | None = None) -> bytes:
    """8-bit RGB, whatever `data` holds."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    tail = _chunk(b"IEND", b"") if end is None else end
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + tail


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _text_bomb() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("bomb", "a" * 30_000_000, zip=True)
    return encoded(Image.new("RGB", (8, 8)), "PNG", pnginfo=info)


def _tiff_of_nan() -> bytes:
    return encoded(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF")


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", "x")
    return buffer.getvalue()
