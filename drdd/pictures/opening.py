"""Open a picture file that somebody else made: by its content, and by few decoders.

Pillow has decoders for some fifty formats. One of them starts Ghostscript, others are hardly tested. Only
those of FORMATS are asked, whatever a file's name says; none of them starts a process or opens a file.
"""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ExifTags, Image, UnidentifiedImageError

from drdd.first_bytes import kind_of
from drdd.pictures import code_points, jpeg_markers
from drdd.pictures.errors import PictureError, PixelsError
from drdd.pictures.png_chunks import SIGNATURE, png_head, said_profile
from drdd.pictures.profiles import ADOBE_RGB, made_profile

# As Pillow calls them. MPO, several JPEG in one file, is opened by the decoder of JPEG.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
BMP_V5 = 124  # bytes of the header that may state an embedded profile
EMPTY = "empty file"
DROPPED = "dropped_texts"  # of info: the keywords of a PNG's texts that are too long to be inflated
MAX_PROFILE = 8 * 1024**2  # bytes; those of printers, the largest in use, have about 3 MiB


@contextmanager
def decoding() -> Iterator[None]:
    """Raise PictureError for whatever a decoder raises: a damaged file may make it raise anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of decompression bombs: callers know the limit
            yield
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PixelsError("claims far more pixels than are decoded") from None
    except MemoryError:
        raise PictureError("takes more memory to decode than there is") from None
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise PictureError(f"damaged or cut short: {lines[0][:200]}") from None


def open_picture(content: bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """The picture, of which only the header is decoded. To be called within `decoding`.

    info["icc_profile"] is the profile of its colours, however the file states them; absent for sRGB.
    info[DROPPED] is there if texts of a PNG were left out.
    Raises PictureError for another format, which is named if it is a common one; for a colour profile of
    more than MAX_PROFILE bytes, and colours that are not read; for a JPEG that would stall the decoder.
    """
    head = png_head(content, MAX_PROFILE) if content.startswith(SIGNATURE) else None
    if content.startswith(b"\xff\xd8") and (reason := jpeg_markers.refused(content)):
        raise PictureError(reason)
    try:
        image = Image.open(io.BytesIO(head.content if head else content), formats=formats)
    except UnidentifiedImageError:
        raise PictureError(_refusal(content, formats)) from None
    profile = checked_profile(head.profile if head else _profile(content, image))
    image.info.pop("icc_profile", None)
    if profile:
        image.info["icc_profile"] = profile
    if head and head.dropped:
        image.info[DROPPED] = head.dropped
    if head and head.depth <= 8 and (clear := image.info.get("transparency")) is not None:
        # Scaled as the levels themselves; bits beyond the depth do not count.
        if image.mode == "L":
            image.info["transparency"] = clear % 2**head.depth * (255 // (2**head.depth - 1))
        elif image.mode == "RGB":
            image.info["transparency"] = tuple(level % 256 for level in clear)
    return image


def not_read(kind: str, formats: tuple[str, ...] = FORMATS) -> str:
    """The reason to refuse a picture of another format. kind: its name, such as "HEIC"."""
    return f"{kind} is not read; convert it to one of {', '.join(formats)}"


def checked_profile(profile: bytes) -> bytes:
    """The profile. Raises PictureError for one of more than MAX_PROFILE bytes."""
    if len(profile) > MAX_PROFILE:
        most = MAX_PROFILE // 1024**2
        raise PictureError(f"its colour profile has more than {most} MiB; convert it to sRGB")
    return profile


def _profile(content: bytes, image: Image.Image) -> bytes:
    """Of the colours of a file that is no PNG; b"" for sRGB, or where nothing is said."""
    profile: bytes = image.info.get("icc_profile") or b""
    if profile:
        return profile
    if image.format == "AVIF" and (points := code_points.of_avif(content)):
        return code_points.profile_of(*points)
    if image.format == "BMP" and content[70:74] == b"DEBM" and content[14] == BMP_V5:
        start, size = struct.unpack_from("<2I", content, 126)
        return content[14 + start : 14 + start + size]
    return made_profile(*ADOBE_RGB) if _is_adobe_rgb(image) else b""


def stated_profile(image: Image.Image) -> bytes:
    """Of a picture that Pillow opened, by what it keeps of the file; b"" for sRGB or nothing."""
    info = image.info
    profile: bytes = info.get("icc_profile") or b""
    if profile or "srgb" in info:
        return profile
    if _is_adobe_rgb(image):
        return made_profile(*ADOBE_RGB)
    said = {}
    if isinstance(gamma := info.get("gamma"), float):
        said[b"gAMA"] = struct.pack(">I", round(gamma * 1e5))
    if len(chroma := info.get("chromaticity", ())) == 8:
        said[b"cHRM"] = struct.pack(">8I", *(round(one * 1e5) for one in chroma))
    return said_profile(said)


def _is_adobe_rgb(image: Image.Image) -> bool:
    """Whether a camera says so by its EXIF (DCF 2.0, "R03"), as it does in place of a profile."""
    if image.format not in ("JPEG", "MPO", None) or b"R03" not in image.info.get("exif", b""):
        return False  # None: a copy
    try:
        return bool(image.getexif().get_ifd(ExifTags.IFD.Interop).get(1) == "R03")
    except Exception:  # a damaged EXIF says nothing
        return False


def refused_at_sight(head: bytes) -> str:
    """Why a file is certain to be refused that begins with these bytes, HEAD of them or all; or ""."""
    if not head:
        return EMPTY
    kind = kind_of(head)
    if kind is None or kind.format in FORMATS or kind.name == "HEIF" or head[:2] in (b"II", b"MM"):
        return ""  # TIFF has many kinds, and HEIF may hold what AVIF does
    return _refusal(head, FORMATS)


def _refusal(content: bytes, formats: tuple[str, ...]) -> str:
    kind = kind_of(content)
    if kind is None:
        return f"no image: none of {', '.join(formats)}"
    if kind.format in formats:
        return f"no image: a damaged {kind.name}, or one of a kind that is not read"
    said = not_read(kind.name, formats) if kind.format else f"{kind.name}; {kind.advice}"
    return f"no image: {said}"
