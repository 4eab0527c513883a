"""Intake: bytes become verified RGB photographs, or are set aside with a reason."""

import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from drdd.data.sources import Blob, Unreadable

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Photograph:
    """id: SHA-256 of the pixels and their shape; name: the file's; pixels: (H, W, 3) uint8 RGB."""

    id: str
    name: str
    pixels: Pixels


@dataclass(frozen=True)
class Rejected:
    name: str
    reason: str


@dataclass(frozen=True)
class Limits:
    """In pixels: smaller sides are refused, larger ones scaled down, bigger claims not decoded."""

    min_side: int
    max_side: int
    max_pixels: int


def take_in(
    blobs: Iterable[Blob | Unreadable], limits: Limits
) -> tuple[list[Photograph], list[Rejected]]:
    """Decode and verify every blob; each ends in exactly one of the two lists."""
    photographs: dict[str, Photograph] = {}
    rejected: list[Rejected] = []
    for blob in blobs:
        if isinstance(blob, Unreadable):
            rejected.append(Rejected(blob.name, blob.reason))
            continue
        try:
            photograph = decode(blob, limits)
        except ValueError as error:
            rejected.append(Rejected(blob.name, str(error)))
            continue
        if first := photographs.get(photograph.id):
            rejected.append(Rejected(blob.name, f"same pixels as {first.name}"))
        else:
            photographs[photograph.id] = photograph
    return list(photographs.values()), rejected


def decode(blob: Blob, limits: Limits) -> Photograph:
    """The whole picture, upright, in RGB, no side above `max_side`. Raises ValueError with a reason."""
    if not blob.content:
        raise ValueError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bomb warning is handled by max_pixels below
            image = Image.open(io.BytesIO(blob.content))
            if image.width * image.height > limits.max_pixels:
                raise ValueError(f"claims {image.width} x {image.height} pixels, over the limit")
            image.load()
            upright = ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise ValueError("no image") from None
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"damaged or cut short: {error}") from None
    if min(upright.size) < limits.min_side:
        width, height = upright.size
        raise ValueError(f"{width} x {height} pixels, smaller than {limits.min_side} on a side")
    pixels = np.asarray(_shrink(_to_rgb(upright), limits.max_side))
    return Photograph(fingerprint(pixels), blob.name, pixels)


def fingerprint(pixels: Pixels) -> str:
    return sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion would clip, not scale
        grey = np.asarray(image, dtype=np.float64) / 257
        return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        backdrop = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(backdrop, layer).convert("RGB")
    return image.convert("RGB")


def _shrink(image: Image.Image, max_side: int) -> Image.Image:
    scale = max_side / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)
