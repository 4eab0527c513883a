"""Decode and verify one file: the result is a picture, or the reason for its rejection."""

import io
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from drdd.errors import UserError
from drdd.pictures.files import png
from drdd.pictures.opening import PictureError, decoding, open_picture
from drdd.pictures.pixels import Picture, Pixels, described
from drdd.sources.entry import Blob

# For files of these formats and modes, convert("RGB") alone gives the same pixels as intake.
KEPT_FORMATS = {"PNG", "JPEG", "WEBP"}
KEPT_MODES = {"RGB", "L", "P", "1"}

# By EXIF Orientation. Pillow's own exif_transpose rewrites the EXIF, and fails if it is damaged.
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A file of a few kilobytes may claim gigabytes; a white PNG of two colours has 8,000 pixels a byte.
ORDINARY, PIXELS_A_BYTE = 50_000_000, 10_000
KNOWN_PROFILES = 256
_FOREIGN: dict[bytes, bool] = {}  # whether a profile is of other colours than sRGB, by its digest


@dataclass(frozen=True)
class Limits:
    """Limits in pixels: smaller sides are rejected, larger ones scaled down, larger files not decoded."""

    min_side: int
    max_side: int
    max_pixels: int


def decode_and_verify(blob: Blob, limits: Limits) -> Picture:
    """Decode the whole file and verify it. Raises PictureError, with the reason, and nothing else."""
    with decoding():
        image = _load(blob, limits)
        upright = _upright(image)
        small = _within(upright, limits)
        kept = image.format in KEPT_FORMATS and image.mode in KEPT_MODES and _frames(image) == 1
        unchanged = upright is image and small.size == image.size and not _recoloured(image)
        content = blob.content if kept and unchanged else png(np.asarray(small))
        return described(blob.name, content, small, upright.size)


def decode(blob: Blob, limits: Limits) -> Pixels:
    """(H, W, 3) uint8: upright, in RGB, no side above `max_side`. Raises as `decode_and_verify`."""
    with decoding():
        return np.asarray(_within(_upright(_load(blob, limits)), limits))


def read_picture(path: Path) -> Pixels:
    """`decode` a file without size limits. Raises UserError."""
    try:
        return decode(Blob(path.name, path.read_bytes()), Limits(1, 10**9, 10**9))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except PictureError as error:
        raise UserError(f"{path}: {error}") from None


def _load(blob: Blob, limits: Limits) -> Image.Image:
    if not blob.content:
        raise PictureError("empty file")
    image = open_picture(blob.content)
    if image.width * image.height > limits.max_pixels:
        raise PictureError(f"claims {image.width} x {image.height} pixels, over the limit")
    if image.width * image.height > max(ORDINARY, PIXELS_A_BYTE * len(blob.content)):
        raise PictureError(
            f"claims {image.width} x {image.height} pixels in {len(blob.content)} bytes; no photograph does"
        )
    image.load()
    return image


def _upright(image: Image.Image) -> Image.Image:
    """Rotate the image as its EXIF asks; without a rotation, return the same object."""
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Pillow raises various errors for a damaged EXIF; the pixels are still good
        return image
    return image if turn is None else image.transpose(turn)


def _within(upright: Image.Image, limits: Limits) -> Image.Image:
    """Convert to RGB and scale down if needed. Raises PictureError if the result is too small."""
    image = _shrink(_to_rgb(upright), limits.max_side)
    if min(image.size) < limits.min_side:
        width, height = image.size
        raise PictureError(f"{width} x {height} pixels, smaller than {limits.min_side} on a side")
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise PictureError(
            "floating-point pixels, whose range is not known; convert it to 8 or 16 bits"
        )
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's conversion would clip instead of scale
        grey = np.asarray(image, dtype=np.float64) / 257
        return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    profile = image.info.get("icc_profile", b"")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        backdrop = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(backdrop, layer).convert("RGB")
    elif image.mode == "P":  # the profile describes the palette's colours
        image = image.convert("RGB")
    if (to_srgb := _conversion(image, profile)) is not None:
        return to_srgb
    return image if image.mode == "RGB" else image.convert("RGB")


def _recoloured(image: Image.Image) -> bool:
    """Whether the conversion to RGB does more than convert("RGB")."""
    return "transparency" in image.info or _is_foreign(image.info.get("icc_profile", b""))


def _conversion(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The image in sRGB if it has another colour profile, else None; a damaged profile is ignored."""
    if not _is_foreign(profile):
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _is_foreign(profile: bytes) -> bool:
    """Whether it is the profile of other colours than sRGB. Only its digest is kept in memory."""
    if not profile:
        return False
    digest = sha256(profile).digest()
    foreign = _FOREIGN.get(digest)
    if foreign is None:
        foreign = _names_other_colours(profile)
        if len(_FOREIGN) >= KNOWN_PROFILES:
            _FOREIGN.clear()
        _FOREIGN[digest] = foreign
    return foreign


def _names_other_colours(profile: bytes) -> bool:
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError):
        return False
    return "srgb" not in name.lower()


def _frames(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1))


def _shrink(image: Image.Image, max_side: int) -> Image.Image:
    scale = max_side / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)
