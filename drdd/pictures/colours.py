"""The pixels of a picture file in sRGB, upright, with 8 or 16 bits, whatever it stores.

with decoding():
    file = opened(content)      # the header alone: check `file.size` now
    rgb = rgb_of(file, bits=16)
    alpha = alpha_of(file, bits=16)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drdd.pictures import deep, profiles, tiff, tiff_tags
from drdd.pictures.errors import PictureError
from drdd.pictures.opening import FORMATS, checked_profile, open_picture, stated_profile

Bits = Literal[8, 16]
Levels = NDArray[Any]  # uint8 or uint16
_Shallow = tuple[Image.Image, Image.Image | None]
_Deep = tuple[Levels, Levels | None]

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
WITH_EXIF = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "")  # "": made by Pillow, of no file
PLAIN_MODES = ("RGB", "L", "P", "1")
_TURNED: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


@dataclass(frozen=True)
class Opened:
    """A picture file whose header was read; its pixels are decoded when they are first asked for.

    format: as Pillow calls it; size: (width, height) as stored, before it is turned upright; depth: bits
    a channel that the file has, 16 for all that are more than 8; profile: ICC of the colours as stored,
    b"" for sRGB.
    """

    content: bytes
    format: str
    size: tuple[int, int]
    depth: Bits
    profile: bytes
    image: Image.Image | None
    """Of Pillow, where Pillow decodes the file."""
    page: tiff_tags.Page | None = None
    """Of a TIFF, where Pillow does not."""

    @cached_property
    def orientation(self) -> int:
        """Of EXIF, 1 to 8. Decodes the file, because it may stand behind the pixels."""
        if self.page is not None:
            orientation = self.page.one(tiff_tags.ORIENTATION, 1)
        elif self.format in WITH_EXIF and self.image is not None:
            self.image.load()
            orientation = _exif_orientation(self.image)
        else:  # a TIFF is turned by Pillow, if it is decoded by Pillow
            return 1
        return orientation if orientation in TURNS else 1

    @property
    def has_more(self) -> bool:
        """Whether it has further frames or pages; those of an MPO are previews."""
        try:
            if self.format == "TIFF":
                return tiff_tags.has_more(self.content)
            return self.format != "MPO" and bool(getattr(self.image, "is_animated", False))
        except Exception:  # as the decoder of a damaged second frame raises anything
            return False

    @cached_property
    def _decoded(self) -> _Shallow | _Deep:
        if self.page is not None:
            layers = tiff.layers_of(self.content, self.page)
            if layers.levels.dtype == np.uint8 or layers.space == "CMYK":
                return _shallow(*_images(layers), self.profile, self.orientation)
        else:
            assert self.image is not None
            if self.depth == 8:
                return _shallow(*_split(self.image), self.profile, self.orientation)
            layers = deep.layers_of(self.content, self.image)
        turn = _TURNED.get(self.orientation, lambda levels: levels)
        rgb = profiles.deep_to_srgb(layers.levels, self.profile)
        return turn(rgb), None if layers.alpha is None else turn(layers.alpha).copy()


def opened(content: bytes, formats: tuple[str, ...] = FORMATS) -> Opened:
    """The file, of which only the header is decoded. To be called within `decoding`.

    Raises PictureError as `open_picture`, and for a TIFF whose samples are not read.
    """
    if "TIFF" in formats and content.startswith(tiff_tags.MAGIC):
        return _opened_tiff(content)
    image = open_picture(content, formats)
    depth: Bits = 16 if deep.is_deep(content, image) else 8
    profile = image.info.get("icc_profile", b"")
    return Opened(content, str(image.format), image.size, depth, profile, image)


def of_image(image: Image.Image) -> Opened:
    """A picture that Pillow has opened or made, understood as a file is. To be called within `decoding`.

    Of several frames, the current one. Raises PictureError for modes I and F, whose white is not known, and
    for a colour profile of more than MAX_PROFILE bytes.
    """
    if image.mode in ("I", "F"):
        raise PictureError(
            f"the white of mode {image.mode} is not known; make it an array of uint16"
        )
    if image.mode == "La":  # premultiplied
        image = image.convert("LA")
    depth: Bits = 16 if image.mode.startswith("I;16") else 8
    image.load()  # turns a TIFF upright, and completes what is said
    profile = checked_profile(stated_profile(image))
    return Opened(b"", image.format or "", image.size, depth, profile, image)


def _opened_tiff(content: bytes) -> Opened:
    page = tiff_tags.page_of(content)
    stored = tiff.stored(page)
    profile = b"" if stored.photometric in tiff.LAB else checked_profile(page.profile)
    if not stored.by_pillow:
        return Opened(content, "TIFF", page.size, stored.depth, profile, None, page)
    image = open_picture(content, ("TIFF",))
    image.seek(page.number)
    return Opened(content, "TIFF", page.size, stored.depth, profile, image)


def rgb_of(file: Opened, bits: Bits = 8) -> Levels:
    """(H, W, 3) uint8 or uint16: upright, in sRGB; under alpha, the colours that it hides.

    Decodes the file. To be called within `decoding`; raises as a decoder may.
    """
    return _with_bits(file._decoded[0], bits)


def alpha_of(file: Opened, bits: Bits = 8) -> Levels | None:
    """(H, W) uint8 or uint16: upright; 0 is clear. None if all pixels are opaque by the file's kind."""
    alpha = file._decoded[1]
    return None if alpha is None else _with_bits(alpha, bits)


def depth_of(file: Opened) -> Bits:
    """The bits of a channel that keep all that the file has."""
    return file.depth


def is_plain(file: Opened) -> bool:
    """Whether Pillow's convert("RGB") alone gives these pixels."""
    image = file.image
    if image is None or image.mode not in PLAIN_MODES or (file.depth, file.orientation) != (8, 1):
        return False
    space = "L" if image.mode in ("L", "1") else "RGB"
    return "transparency" not in image.info and not profiles.is_foreign(file.profile, space)


def on_white(file: Opened) -> Image.Image:
    """The picture in 8 bits (RGB), upright, in sRGB, laid on white where it is transparent."""
    rgb, alpha = file._decoded
    if isinstance(rgb, Image.Image):
        if not isinstance(alpha, Image.Image):
            return rgb
        layer = rgb.copy()
        layer.putalpha(alpha)
        return Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), layer).convert("RGB")
    if alpha is None:
        return Image.fromarray(profiles.eight_bits(rgb))
    return Image.fromarray(profiles.in_bands(_laid_on_white, rgb, np.asarray(alpha)))


def _laid_on_white(rgb: Levels, alpha: Levels) -> Levels:
    """From uint16 to uint8."""
    cover = alpha[..., None].astype(np.uint64)
    return profiles.eight_bits((rgb * cover + 65535 * (65535 - cover) + 32767) // 65535)


def _with_bits(levels: Image.Image | Levels, bits: Bits) -> Levels:
    array = np.asarray(levels)
    if array.dtype == np.uint8:
        return array if bits == 8 else array.astype(np.uint16) * 257
    return array if bits == 16 else profiles.eight_bits(array)


def _exif_orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Pillow raises various errors for a damaged EXIF; the pixels are still good
        return 1


def _split(image: Image.Image) -> _Shallow:
    """Decode: colours (RGB, L, CMYK) and alpha, as stored."""
    image.load()
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        grey = image.mode in ("L", "LA", "La", "1")
        return layer.convert("L" if grey else "RGB"), layer.getchannel("A")
    if image.mode in ("RGB", "L", "CMYK"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _images(layers: tiff.Layers) -> _Shallow:
    levels = (
        layers.levels if layers.levels.dtype == np.uint8 else profiles.eight_bits(layers.levels)
    )
    array = np.ascontiguousarray(levels[..., 0] if layers.space == "L" else levels)
    image = Image.fromarray(array, layers.space)
    return image, None if layers.alpha is None else Image.fromarray(_with_bits(layers.alpha, 8))


def _shallow(
    image: Image.Image, alpha: Image.Image | None, profile: bytes, orientation: int
) -> _Shallow:
    converted = profiles.to_srgb(image, profile)
    rgb = converted or (image if image.mode == "RGB" else image.convert("RGB"))
    if (turn := TURNS.get(orientation)) is not None:
        rgb, alpha = rgb.transpose(turn), None if alpha is None else alpha.transpose(turn)
    return rgb, alpha
