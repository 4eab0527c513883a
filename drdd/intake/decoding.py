"""Decode and verify one file: the result is a picture, or the reason for its rejection."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from drdd.errors import UserError
from drdd.pictures.colours import Opened, is_plain, on_white, opened
from drdd.pictures.files import png
from drdd.pictures.masks import hole_of
from drdd.pictures.opening import EMPTY, PictureError, decoding
from drdd.pictures.pixels import Hole, Picture, Pixels, described
from drdd.sources.entry import Blob

# Of these, a file keeps its bytes if training, which calls Pillow's convert("RGB"), sees what intake sees.
KEPT_FORMATS = {"PNG", "JPEG", "WEBP", "MPO"}
# A file of a few kilobytes may claim gigabytes; a white PNG of two colours has 8,000 pixels a byte.
ORDINARY, PIXELS_A_BYTE = 50_000_000, 10_000


@dataclass(frozen=True)
class Limits:
    """Limits in pixels: smaller sides are rejected, larger ones scaled down, larger files not decoded."""

    min_side: int
    max_side: int
    max_pixels: int


ANY_SIZE = Limits(min_side=1, max_side=10**9, max_pixels=10**9)


def decode_and_verify(blob: Blob, limits: Limits) -> Picture:
    """Decode the whole file and verify it. Raises PictureError, with the reason, and nothing else."""
    with decoding():
        file = opened_within(blob, limits)
        upright = on_white(file)
        small = _within(upright, limits)
        kept = file.format in KEPT_FORMATS and is_plain(file) and _is_single(file)
        content = blob.content if kept and small.size == upright.size else png(np.asarray(small))
        return described(blob.name, content, small, upright.size)


def decode(blob: Blob, limits: Limits) -> Pixels:
    """(H, W, 3) uint8: upright, in RGB, no side above `max_side`. Raises as `decode_and_verify`."""
    with decoding():
        return np.asarray(_within(on_white(opened_within(blob, limits)), limits))


def decode_mask(blob: Blob, limits: Limits, size: tuple[int, int] | None = None) -> Hole:
    """(H, W) bool, upright: True where the mask is white, or nearer to white than to black.

    size: (H, W) of the picture, upright, if it is known. Raises PictureError as `decode_and_verify` does,
    for a mask of another size, for one that is black all over, and as `hole_of`.
    """
    with decoding():
        hole = hole_of(opened_within(blob, limits))
        if size and hole.shape != size:
            (rows, columns), (height, width) = hole.shape, size
            raise PictureError(
                f"it has {columns} x {rows} pixels, and the picture, once upright, {width} x {height}"
            )
        if not hole.any():
            raise PictureError("it is black all over, and white is what is to be filled")
        return hole


def read_picture(path: Path) -> Pixels:
    """`decode` a file without size limits. Raises UserError."""
    try:
        return decode(Blob(path.name, path.read_bytes()), ANY_SIZE)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except PictureError as error:
        raise UserError(f"{path}: {error}") from None


def opened_within(blob: Blob, limits: Limits) -> Opened:
    """The file, opened but not yet decoded. To be called within `decoding`.

    Raises PictureError as `opened` does, and for one that claims too many pixels.
    """
    if not blob.content:
        raise PictureError(EMPTY)
    file = opened(blob.content)
    refuse_claims(file, limits.max_pixels)
    return file


def refuse_claims(file: Opened, max_pixels: int) -> None:
    """Raises PictureError for a file that claims too many pixels, in all or for its bytes."""
    width, height = file.size
    if width * height > max_pixels:
        raise PictureError(f"claims {width} x {height} pixels, over the limit")
    if width * height > max(ORDINARY, PIXELS_A_BYTE * len(file.content)):
        raise PictureError(
            f"claims {width} x {height} pixels in {len(file.content)} bytes; no photograph does"
        )


def _is_single(file: Opened) -> bool:
    """Whether it has one picture; the second of a phone's MPO is a preview, or what a viewer adds."""
    return file.format == "MPO" or getattr(file.image, "n_frames", 1) == 1


def _within(image: Image.Image, limits: Limits) -> Image.Image:
    """Scale down if needed. Raises PictureError if the result is too small."""
    image = _shrink(image, limits.max_side)
    if min(image.size) < limits.min_side:
        width, height = image.size
        raise PictureError(f"{width} x {height} pixels, smaller than {limits.min_side} on a side")
    return image


def _shrink(image: Image.Image, max_side: int) -> Image.Image:
    scale = max_side / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)
