"""Pixels to picture files."""

import io
from pathlib import Path
from zlib import Z_RLE

import numpy as np
from PIL import Image, ImageOps

from drdd.errors import UserError
from drdd.files import write_bytes
from drdd.pictures.pixels import Pixels

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def png(pixels: Pixels) -> bytes:
    """(H, W, 3) uint8 -> a PNG file, packed lightly: the time matters more than the bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1, compress_type=Z_RLE)
    return buffer.getvalue()


def covering(pixels: Pixels, shape: tuple[int, ...]) -> Pixels:
    """The picture at the height and width of `shape`: scaled in proportion, then cropped evenly."""
    height, width = shape[:2]
    if pixels.shape[:2] == (height, width):
        return pixels
    fitted = ImageOps.fit(Image.fromarray(pixels), (width, height), Image.Resampling.LANCZOS)
    return np.asarray(fitted)


def check_format(path: Path) -> str:
    """Pillow's name of the format of `path`'s suffix. Raises UserError when there is none."""
    format_ = FORMATS.get(path.suffix.lower())
    if format_ is None:
        raise UserError(f"{path}: cannot write {path.suffix!r}; one of {', '.join(FORMATS)}")
    return format_


def write_picture(path: Path, pixels: Pixels) -> None:
    """In the format of the suffix. Raises UserError for a suffix that is none of FORMATS."""
    write_bytes(path, encoded(pixels, check_format(path)))


def encoded(pixels: Pixels, format_: str) -> bytes:
    """(H, W, 3) uint8 -> a picture file; format_: PNG, JPEG or WEBP, as Pillow calls them.

    What loses anything does so at quality 95 and in full colour. Raises UserError for a picture that
    is too large for the format: a side beyond 65,500 pixels in JPEG, 16,383 in WebP.
    """
    if format_ == "PNG":
        return png(pixels)
    buffer = io.BytesIO()
    full_colour = {"subsampling": 0} if format_ == "JPEG" else {}
    try:
        Image.fromarray(pixels).save(buffer, format_, quality=95, **full_colour)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be written as {format_}: {error}") from None
    return buffer.getvalue()
