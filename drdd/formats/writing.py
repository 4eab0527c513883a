"""Write a restored picture with what its input carried."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drdd.errors import UserError
from drdd.formats import directories, exif, xmp
from drdd.formats.carried import WITH_ALPHA, Carried, Keeping, Written
from drdd.formats.directories import Directories
from drdd.formats.profiles import from_srgb
from drdd.formats.reading import PREFIX, XMP_KEY
from drdd.formats.tiff import tiff
from drdd.pictures.files import png, png_chunk, quick_png
from drdd.pictures.profiles import eight_bits
from drdd.pictures.scaling import enlarged

ROWS = 256  # that are added at a time, as sums take four times the memory
QUALITY = 95  # of JPEG and WebP
IN_SEGMENT = 65_533  # bytes of a segment of JPEG
XMP_TEXT = b"XML:com.adobe.xmp" + bytes(5)  # of PNG's iTXt: not compressed, of no language
RELATIVE = b"\x01"  # intent of PNG's sRGB
Levels = NDArray[Any]


def encoded(pixels: Levels, carried: Carried, keeping: Keeping, format_: str) -> Written:
    """A restored picture as a file, upright, with what `keeping` keeps.

    pixels: (H, W, 3) in sRGB, or (H, W, 4) with alpha; uint8 or uint16; one size or a whole multiple of the
    size of the input. format_: a value of FORMATS. Lossy formats use quality 95 and full colour. The print
    stays as large: the resolution grows with the picture. Raises UserError for what the format cannot hold.
    """
    keeping.check(format_)
    pixels = _of_depth(pixels, carried.bits)
    levels, said = _in_profile(pixels[..., :3], carried), list(carried.said)
    if pixels.shape[2] == 4 and format_ in WITH_ALPHA:
        levels = np.dstack([levels, pixels[..., 3]])
    elif pixels.shape[2] == 4:
        raise UserError(f"{format_} has no transparency", f"write {' or '.join(WITH_ALPHA)}")
    size = (levels.shape[1], levels.shape[0])
    scale = size[0] / carried.size[0]
    dpi = carried.dpi and (carried.dpi[0] * scale, carried.dpi[1] * scale)
    turned = carried.exif is not None and exif.is_moved(carried.exif)
    tags = _exif(carried, keeping, size, dpi, turned or scale != 1)
    if (
        tags
        and carried.exif
        and not exif.SUBJECT.isdisjoint(carried.exif.photo.keys() - tags.photo)
    ):
        said += ["where its subject is left out"] * (keeping.metadata == "all")
    if format_ == "WEBP" and dpi and tags is None:  # the only place for it
        tags = Directories("<", exif.with_dpi({}, dpi, "<"))
    text = b""
    if keeping.metadata == "all" and carried.xmp:
        if turned and any(word in carried.xmp for word in xmp.PLACES):
            said.append("its XMP, with places in the picture before it was turned, left out")
        else:
            text = xmp.rewritten(carried.xmp, size, dpi, srgb=not carried.profile)
            said += [] if text else ["its XMP, of several pictures or no text, left out"]
    try:
        if format_ == "TIFF":
            content = tiff(levels, tags, dpi, carried.profile, text)
        elif format_ == "PNG":
            content = _png(levels, tags, dpi, carried.profile, text)
        else:
            content = _by_pillow(levels, format_, tags, dpi, carried.profile, text, said)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be written as {format_}: {error}") from None
    return Written(content, tuple(said))


def _in_profile(rgb: Levels, carried: Carried) -> Levels:
    """The colours in the profile that is kept. What of them sRGB could not hold is added again."""
    if not (carried.profile and carried.foreign):
        return rgb
    back = from_srgb(rgb, carried.profile)
    assert back is not None  # as it was in reading
    if carried.beyond is None:
        return back
    top = int(np.iinfo(back.dtype).max)
    beyond = carried.beyond
    if (scale := len(rgb) // len(beyond)) > 1:
        shares = (beyond / (2 * top) + 0.5).astype(np.float32)
        beyond = np.rint((enlarged(shares, scale) - 0.5) * 2 * top).astype(np.int32)
    whole = np.empty_like(back)  # the library's own are read-only
    for start in range(0, len(back), ROWS):
        rows = slice(start, start + ROWS)
        whole[rows] = (back[rows] + beyond[rows]).clip(0, top)
    return whole


def _of_depth(levels: Levels, bits: int) -> Levels:
    if levels.dtype not in (np.uint8, np.uint16):
        raise UserError(f"pixels of {levels.dtype} were given; a file holds uint8 or uint16")
    if levels.dtype == np.uint8:
        return levels if bits == 8 else levels.astype(np.uint16) * 257
    return levels if bits == 16 else eight_bits(levels)


def _exif(
    carried: Carried,
    keeping: Keeping,
    size: tuple[int, int],
    dpi: tuple[float, float] | None,
    moved: bool,
) -> Directories | None:
    if carried.exif is None or keeping.metadata == "none":
        return None
    tags = exif.rewritten(
        carried.exif,
        size,
        dpi,
        srgb=not carried.profile,
        anonymous=keeping.metadata == "anonymous",
        moved=moved,
    )
    return tags if tags.main or tags.photo or tags.gps else None


def _png(
    levels: Levels,
    tags: Directories | None,
    dpi: tuple[float, float] | None,
    profile: bytes,
    text: bytes,
) -> bytes:
    chunks = [(b"sRGB", RELATIVE)]
    if profile:
        chunks = [(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))]
    if dpi:
        across, down = (round(one / 0.0254) for one in dpi)  # a metre
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if tags:
        chunks.append((b"eXIf", directories.written(tags)))
    if text:
        chunks.append((b"iTXt", XMP_TEXT + text))
    content = quick_png(levels) if levels.dtype == np.uint16 else png(levels)
    behind = 33  # bytes of signature and header
    rest = memoryview(content)[behind:]
    return b"".join([content[:behind], *(png_chunk(*one) for one in chunks), rest])


def _by_pillow(
    levels: Levels,
    format_: str,
    tags: Directories | None,
    dpi: tuple[float, float] | None,
    profile: bytes,
    text: bytes,
    said: list[str],
) -> bytes:
    options: dict[str, Any] = {"quality": QUALITY}
    content = directories.written(tags) if tags else b""
    if format_ == "JPEG":
        options["subsampling"] = 0
        if tags and len(PREFIX + content) > IN_SEGMENT:
            content = directories.written(exif.without_note(tags))
            what = "the notes of the camera's maker, too large for a JPEG,"
            if len(PREFIX + content) > IN_SEGMENT:
                content, what = b"", "its EXIF, too large for a JPEG,"
            said.append(f"{what} left out")
        if len(XMP_KEY + text) > IN_SEGMENT:
            text = b""
            said.append("its XMP, too large for a JPEG, left out")
        if dpi and max(dpi) < 65_535.5:
            options["dpi"] = dpi
    if content:
        options["exif"] = PREFIX + content
    if text:
        options["xmp"] = text
    if profile:
        options["icc_profile"] = profile
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format_, **options)
    return buffer.getvalue()
