"""TIFF: the samples of a page become levels of a colour space, or the reason why they do not.

Files without loss are read here (tiff_segments.py). Those whose compression is of pictures (JPEG, fax)
are left to Pillow, for the few kinds of samples that it gets right.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from drdd.pictures import tiff_tags as t
from drdd.pictures.errors import PictureError
from drdd.pictures.profiles import in_bands, lab_to_srgb
from drdd.pictures.tiff_segments import LOSSLESS, Array, samples
from drdd.pictures.tiff_tags import Page

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR = range(7)
LAB = CIE_LAB, ICC_LAB = 8, 9
_COLOURS = {
    WHITE_IS_ZERO: 1,
    BLACK_IS_ZERO: 1,
    RGB: 3,
    PALETTE: 1,
    CMYK: 4,
    YCBCR: 3,
    CIE_LAB: 3,
    ICC_LAB: 3,
}
_REFUSED = {
    MASK: "a TIFF that is a mask, no picture",
    10: "ITU L*a*b* (photometric 10) is not read; convert it to RGB",
    32803: "a camera's raw data (photometric CFA) is not read; develop it",
    34892: "a camera's raw data (photometric linear raw) is not read; develop it",
    32844: "high dynamic range (photometric LogL) is not read; convert it to 8 or 16 bits",
    32845: "high dynamic range (photometric LogLuv) is not read; convert it to 8 or 16 bits",
}
FAX, JPEG, OLD_JPEG = (2, 3, 4), 7, 6
UNSIGNED, SIGNED, FLOAT, UNDEFINED, COMPLEX = 1, 2, 3, 4, (5, 6)
ASSOCIATED, UNASSOCIATED, COREL_ALPHA = 1, 2, 999
SLACK = 1e-3  # by which floats may be beyond 0 and 1: rounding, and the overshoot of scaling

Levels = NDArray[Any]  # uint8 or uint16, over its whole range


@dataclass(frozen=True)
class Layers:
    """The levels of a picture: (H, W, C) uint8 or uint16, over the whole range of the type, as stored.

    space: L, RGB or CMYK, of C = 1, 3 or 4; alpha: (H, W) of the same type, not multiplied into levels.
    """

    levels: Levels
    space: Literal["L", "RGB", "CMYK"]
    alpha: Levels | None = None


@dataclass(frozen=True)
class Stored:
    """How the samples of a page are stored. kind: u or f; by_pillow: whether Pillow decodes them."""

    photometric: int
    bits: int
    kind: str
    samples: int
    alpha: int | None
    """The sample that is alpha."""
    by_pillow: bool

    @property
    def depth(self) -> Literal[8, 16]:
        """The bits of a channel that keep all that is stored, or all that is read of it."""
        return 16 if self.bits > 8 and self.photometric != CMYK else 8


def stored(page: Page) -> Stored:
    """Raises PictureError, with the reason, for what is not read."""
    bits, kind = _bits(page), _kind(page)
    compression = page.one(t.COMPRESSION, 1)
    many = page.one(t.SAMPLES, 1)
    photometric = page.one(t.PHOTOMETRIC, -1)
    if photometric < 0:  # required, but left out by some; as libtiff takes them
        photometric = {1: WHITE_IS_ZERO if compression in FAX else BLACK_IS_ZERO, 3: RGB}.get(
            many, -1
        )
    if compression == OLD_JPEG:
        photometric = YCBCR if many == 3 else photometric
    if photometric in _REFUSED:
        raise PictureError(_REFUSED[photometric])
    if photometric < 0:
        raise PictureError("damaged: a TIFF without photometric interpretation")
    if photometric not in _COLOURS:
        raise PictureError(
            f"a TIFF of photometric interpretation {photometric} is not read; convert it to RGB"
        )
    colours = _COLOURS[photometric]
    if many < colours:
        raise PictureError(f"damaged: {many} samples a pixel, where its colours are {colours}")
    if photometric == CMYK and page.one(t.INK_SET, 1) != 1:
        raise PictureError("inks that are not CMYK are not read; convert it to RGB")
    alpha = _alpha(page, photometric, colours, many)
    read = Stored(photometric, bits, kind, many, alpha, compression not in LOSSLESS)
    if read.by_pillow:
        _check_pillow(page, read, compression)
    elif kind == "f" and photometric > RGB:
        raise PictureError("floating-point samples of other colours than grey or RGB are not read")
    elif photometric in (YCBCR, *LAB) and bits not in (8, 16):
        raise PictureError(
            f"{bits} bits of other colours than grey or RGB are not read; convert it to RGB"
        )
    return read


def _bits(page: Page) -> int:
    many = set(page.tags.get(t.BITS, (1,)))
    bits = int(max(many))
    if len(many) > 1:
        raise PictureError("samples of different sizes are not read; convert it to 8 or 16 bits")
    return bits


def _kind(page: Page) -> str:
    bits, formats = _bits(page), set(page.tags.get(t.SAMPLE_FORMAT, (UNSIGNED,)))
    if formats <= {UNSIGNED, UNDEFINED} and (1 <= bits <= 16 or bits == 32):
        return "u"
    if formats == {FLOAT} and bits in (16, 32, 64):
        return "f"
    if formats == {SIGNED}:
        raise PictureError(
            "signed integers, whose black and white are not known; convert it to unsigned 8 or 16 bits"
        )
    name = "floating-point" if formats == {FLOAT} else "integer"
    if not formats.isdisjoint(COMPLEX):
        raise PictureError("complex numbers, which are no colours; save their absolute values")
    raise PictureError(f"{name} samples of {bits} bits are not read; convert it to 8 or 16 bits")


def _alpha(page: Page, photometric: int, colours: int, many: int) -> int | None:
    """Which sample is alpha. A fourth beside RGB is, if nothing is said of it; others are left out."""
    extra = page.tags.get(t.EXTRA_SAMPLES, ())
    known = [n for n, kind in enumerate(extra) if kind in (ASSOCIATED, UNASSOCIATED, COREL_ALPHA)]
    if known and colours + known[0] < many:
        return colours + known[0]
    if photometric <= BLACK_IS_ZERO and many > 2:
        raise PictureError(
            f"{many} samples a pixel, whose meaning is not stated; save it as grey or RGB"
        )
    return colours if photometric == RGB and not extra and many == 4 else None


def _check_pillow(page: Page, read: Stored, compression: int) -> None:
    shape = (read.photometric, read.bits, read.samples)
    grey = (WHITE_IS_ZERO, BLACK_IS_ZERO)
    right = {
        **{fax: [(kind, 1, 1) for kind in grey] for fax in FAX},
        JPEG: [*((kind, 8, 1) for kind in grey), (RGB, 8, 3), (YCBCR, 8, 3), (CMYK, 8, 4)],
        OLD_JPEG: [(YCBCR, 8, 3)],
    }
    if shape not in right.get(compression, ()) or (page.one(t.PLANAR, 1) != 1 and read.samples > 1):
        raise PictureError(
            f"a TIFF of compression {compression} with photometric {read.photometric}, {read.samples} x "
            f"{read.bits} bits is not read; save it without compression"
        )


def layers_of(content: bytes, page: Page) -> Layers:
    """Raises PictureError for what is not read or damaged."""
    read = stored(page)
    if read.photometric == YCBCR:
        return _from_ycbcr(content, page, read)
    raw = samples(content, page, read.bits, read.kind)
    if read.photometric == PALETTE:
        return _from_palette(raw, page, read)
    colours = _COLOURS[read.photometric]
    levels = _levels(raw[..., :colours], read)
    alpha = None if read.alpha is None else _levels(raw[..., read.alpha], read)
    extra = (
        read.alpha is not None and page.tags.get(t.EXTRA_SAMPLES, (0,) * 9)[read.alpha - colours]
    )
    if read.photometric == WHITE_IS_ZERO:
        levels = np.iinfo(levels.dtype).max - levels
    if alpha is not None and extra == ASSOCIATED:
        levels = _divided(levels, alpha)
    if read.photometric in LAB:
        levels = in_bands(lambda band: _from_lab(band, read), levels)
        alpha = None if alpha is None else _deep(alpha)
    if read.photometric == CMYK:
        return Layers(levels, "CMYK", alpha)
    return Layers(levels, "RGB" if levels.shape[2] == 3 else "L", alpha)


def _levels(raw: Array, read: Stored) -> Levels:
    """The whole range of uint8 or uint16, from unsigned integers of any size or floats in [0, 1]."""
    if read.kind == "f":
        least, most = float(raw.min()), float(raw.max())
        if not (least >= -SLACK and most <= 1 + SLACK):  # so that NaN is refused
            raise PictureError(
                f"floating-point samples from {least:g} to {most:g}; 0 is black and 1 is white: "
                f"scale it, or convert it to 8 or 16 bits"
            )
    return (
        raw
        if read.kind == "u" and read.bits in (8, 16)
        else in_bands(lambda band: _scaled(band, read), raw)
    )


def _scaled(raw: Array, read: Stored) -> Levels:
    if read.kind == "f":
        return np.rint(raw.astype(np.float64).clip(0, 1) * 65535).astype(np.uint16)
    if read.bits == 32:
        return ((raw.astype(np.uint64) + 32768) // 65537).astype(np.uint16)
    top, white = (1 << read.bits) - 1, 255 if read.bits < 8 else 65535
    scaled = (raw.astype(np.uint32) * white + top // 2) // top
    return scaled.astype(np.uint8 if read.bits < 8 else np.uint16)


def _deep(levels: Levels) -> NDArray[np.uint16]:
    return levels if levels.dtype == np.uint16 else levels.astype(np.uint16) * 257


def _divided(levels: Levels, alpha: Levels) -> Levels:
    """Colours that alpha was multiplied into, as they were before."""
    top = float(np.iinfo(levels.dtype).max)

    def divide(band: Levels, cover: Levels) -> Levels:
        share = np.maximum(cover, 1)[..., None] / top
        return np.rint(band / share).clip(0, top).astype(band.dtype)

    return in_bands(divide, levels, alpha)


def _from_palette(raw: Array, page: Page, read: Stored) -> Layers:
    entries = page.tags.get(t.COLOUR_MAP, ())
    if read.bits > 8 or len(entries) != 3 << read.bits:
        raise PictureError("damaged: a palette of another length than its bits ask for")
    table = np.array(entries).reshape(3, -1).T
    if table.max() > 255:  # some programs write 8 bits, where 16 are meant
        table = table >> 8
    alpha = None if read.alpha is None else _levels(raw[..., read.alpha], read)
    return Layers(table.astype(np.uint8)[raw[..., 0]], "RGB", alpha)


def _from_lab(levels: Levels, read: Stored) -> NDArray[np.uint16]:
    """L* of the whole range; a* and b* signed (CIE L*a*b*), or with zero at the middle (ICC L*a*b*)."""
    one = 1 << (read.bits - 8)  # of a* and b*
    signed = levels[..., 1:].view(np.int8 if read.bits == 8 else np.int16).astype(np.float64)
    lightness = levels[..., :1] / np.iinfo(levels.dtype).max
    if read.photometric == ICC_LAB:
        signed = levels[..., 1:] - 128.0 * one
        lightness = levels[..., :1] / (255 * one)
    return lab_to_srgb(np.concatenate([100 * lightness, signed / one], axis=2))


def _from_ycbcr(content: bytes, page: Page, read: Stored) -> Layers:
    """8 bits. In one plane, `across` x `down` values of Y stand before a Cb and a Cr."""
    if read.bits != 8 or read.samples != 3:
        raise PictureError("YCbCr of other than 3 x 8 bits is not read; convert it to RGB")
    width, height = page.size
    across, down = (int(n) for n in page.tags.get(t.SUBSAMPLING, (2, 2)))
    if (across, down) == (1, 1):
        y, cb, cr = np.moveaxis(samples(content, page, 8, "u"), 2, 0)
    elif page.one(t.PLANAR, 1) == 1 and down <= max(2, across) and {across, down} <= {1, 2, 4}:
        units = samples(content, _units(page, across, down), 8, "u")
        rows, columns = units.shape[:2]
        blocks = units[..., :-2].reshape(rows, columns, down, across)
        y = blocks.swapaxes(1, 2).reshape(rows * down, columns * across)
        cb, cr = (units[..., n].repeat(down, 0).repeat(across, 1) for n in (-2, -1))
    else:
        raise PictureError(
            "YCbCr with few colours in planes of their own is not read; convert it to RGB"
        )
    planes = np.stack([plane[:height, :width] for plane in (y, cb, cr)], -1)
    return Layers(in_bands(lambda band: _rgb_of_ycbcr(band, page), planes), "RGB")


def _rgb_of_ycbcr(ycbcr: Levels, page: Page) -> NDArray[np.uint8]:
    """By the coefficients and the reference of black and white of the page; TIFF 6.0, section 21."""
    black_y, white_y, zero_cb, most_cb, zero_cr, most_cr = (
        float(v) for v in page.tags.get(t.REFERENCE, (0, 255, 128, 255, 128, 255))
    )
    red, green, blue = (float(v) for v in page.tags.get(t.COEFFICIENTS, (0.299, 0.587, 0.114)))
    light = (ycbcr[..., 0] - black_y) * (255 / (white_y - black_y))
    r = light + (ycbcr[..., 2] - zero_cr) * (127 / (most_cr - zero_cr)) * (2 - 2 * red)
    b = light + (ycbcr[..., 1] - zero_cb) * (127 / (most_cb - zero_cb)) * (2 - 2 * blue)
    rgb = np.stack([r, (light - red * r - blue * b) / green, b], -1)
    return np.rint(rgb).clip(0, 255).astype(np.uint8)


def _units(page: Page, across: int, down: int) -> Page:
    """The same page as one of pixels that are units of subsampled YCbCr."""
    width, height = page.size
    tags = page.tags | {
        t.WIDTH: (-(-width // across),),
        t.HEIGHT: (-(-height // down),),
        t.SAMPLES: (across * down + 2,),
        t.ROWS: (-(-page.one(t.ROWS, height) // down),),
    }
    if t.TILES in tags:
        tags |= {t.TILE_WIDTH: (page.one(t.TILE_WIDTH) // across,)}
        tags |= {t.TILE_HEIGHT: (page.one(t.TILE_HEIGHT) // down,)}
    return replace(page, tags=tags)
