"""Read a picture with what it carries.

with decoding():
    file = opened(content)  # the header alone: check `file.size` now
    source = source_of(file, keeping, "PNG")
restored = restorer.restore(source.pixels).output
content, said = encoded(restored, source.carried, keeping, "PNG")
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from drdd.formats import exif as exif_tags
from drdd.formats.carried import WITH_ALPHA, Carried, Keeping, Source
from drdd.formats.directories import Directories, read
from drdd.formats.profiles import can_be_kept, from_srgb, name_of
from drdd.pictures.colours import Bits, Levels, Opened, alpha_of, on_white, rgb_of
from drdd.pictures.opening import DROPPED
from drdd.pictures.profiles import judged
from drdd.pictures.tiff_tags import PHOTOMETRIC, SAMPLES

PREFIX = b"Exif\0\0"
XMP_KEY = b"http://ns.adobe.com/xap/1.0/\0"
MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"  # what of it one segment of a JPEG does not hold
XMP_TEXT = "XML:com.adobe.xmp"
RAW_EXIF = "Raw profile type exif"  # a text of PNG, before it had a chunk for EXIF
_CMYK = 5
XMP, IPTC = 700, 33723
SKIPPED = exif_tags.OF_PIXELS - exif_tags.ON_A_MAP - {XMP, IPTC}  # they may be large


def source_of(file: Opened, keeping: Keeping, format_: str) -> Source:
    """The pixels for an output of this format, and what the file carries.

    With the depth of the output; on white if the format has no alpha. Decodes the file. To be called within
    `decoding`; raises as a decoder may.
    """
    bits = keeping.bits(file.depth, format_)
    rgb, alpha, said = rgb_of(file, bits), alpha_of(file, bits), []
    if file.depth > bits and keeping.depth == "input":
        said.append(f"16 bits -> 8, as {format_} has")
    laid = alpha is not None and format_ not in WITH_ALPHA
    if laid:
        rgb, alpha = np.asarray(on_white(file)), None
        said.append(f"transparency -> white, as {format_} has none")
    mode = _mode(file)
    foreign = judged(file.profile, mode) if file.profile else False
    kept = keeping.profile == "keep" and can_be_kept(file.profile)
    if foreign and not kept:
        said.insert(0, f"{name_of(file.profile)} -> sRGB{_why(file, keeping, mode)}")
    elif mode == "CMYK" and not foreign:
        said.insert(0, "CMYK -> sRGB")
    if foreign is None:
        said.insert(0, "its colour profile, damaged or of other colours than it has, ignored")
    exif, damaged = _exif(file)
    carried = Carried(
        size=(rgb.shape[1], rgb.shape[0]),
        bits=bits,
        exif=exif,
        xmp=_xmp(file, exif),
        profile=file.profile if kept else b"",
        foreign=bool(foreign),
        dpi=_dpi(file, exif),
        beyond=_beyond(file, rgb, bits) if foreign and kept and not laid else None,
        said=(*said, *_left_out(file, exif, damaged, keeping)),
    )
    return Source(rgb if alpha is None else np.dstack([rgb, alpha]), carried)


def _left_out(
    file: Opened, exif: Directories | None, damaged: bool, keeping: Keeping
) -> Iterator[str]:
    """What no output carries, in words."""
    if file.has_more:
        yield "only the first of its pictures is read"
    if keeping.metadata != "all":
        return
    if damaged:
        yield "its EXIF, damaged, left out"
    info = {} if file.image is None else file.image.info
    parts = []
    if "photoshop" in info or (exif is not None and IPTC in exif.main):
        parts.append("IPTC")
    if any(name == "APP1" and text.startswith(MORE_XMP) for name, text in _segments(file)):
        parts.append("long XMP")
    if exif is not None and not exif_tags.ON_A_MAP.isdisjoint(exif.main):
        parts.append("place on a map (GeoTIFF)")
    if exif is not None and exif.lost:
        parts.append(f"{exif.lost} EXIF fields, damaged or of unknown kinds,")
    if _has_shape(file):
        parts.append("pixels' shape, not square,")
    if foreign := sorted({name for name, text in _segments(file) if _is_others(name, text)}):
        parts.append(f"data of other programs ({', '.join(foreign)})")
    if _channels_left(file):
        parts.append("further channels")
    if info.get("comment"):
        parts.append("comment")
    texts = getattr(file.image, "text", {}) if file.format == "PNG" else {}
    dropped = info.get(DROPPED, frozenset())
    if XMP_TEXT.encode() in dropped:
        parts.append("long XMP")
    if RAW_EXIF.encode() in dropped:
        parts.append("long EXIF")
    others = {*texts, *(name.decode("latin-1") for name in dropped)} - {RAW_EXIF, XMP_TEXT}
    if others:
        parts.append("texts")
    if parts:
        yield f"its {' and '.join(parts)} left out"


def _segments(file: Opened) -> Sequence[tuple[str, bytes]]:
    """Of a JPEG, by name."""
    segments: Sequence[tuple[str, bytes]] = getattr(file.image, "applist", ())
    return segments


def _is_others(name: str, text: bytes) -> bool:
    """Whether a segment holds what is not known here, such as credentials (C2PA) or thermal data."""
    known = {"APP1": (PREFIX, XMP_KEY, MORE_XMP), "APP2": (b"ICC_PROFILE\0", b"MPF\0")}
    if name in ("APP0", "APP13", "APP14") or not name.startswith("APP"):
        return False
    return not text.startswith(known.get(name, ()))


def _channels_left(file: Opened) -> bool:
    """Whether a TIFF has more samples than its colours and alpha."""
    if file.page is None:
        return False
    photometric = file.page.one(PHOTOMETRIC, 1)
    colours = 4 if photometric == _CMYK else 1 if photometric in (0, 1, 3) else 3
    return file.page.one(SAMPLES, 1) > colours + (alpha_of(file, file.depth) is not None)


def _why(file: Opened, keeping: Keeping, mode: str) -> str:
    """Why a profile is not kept, if it was to be."""
    if keeping.profile != "keep":
        return ""
    if mode == "CMYK" or file.profile[16:20] == b"GRAY":
        return ", as an output is RGB"
    return ", as colours can be converted from its profile but not back"


def _mode(file: Opened) -> str:
    """RGB, L or CMYK: the kind of the colours as stored."""
    if file.image is None:
        photometric = file.page.one(PHOTOMETRIC, 1) if file.page else 1
        return "CMYK" if photometric == _CMYK else "L" if photometric <= 1 else "RGB"
    mode = file.image.mode
    return "CMYK" if mode == "CMYK" else "L" if mode[:1] in "LI1" and mode != "LAB" else "RGB"


def _beyond(file: Opened, rgb: Levels, bits: Bits) -> Levels:
    stored = rgb_of(replace(file, profile=b""), bits)
    back = from_srgb(rgb, file.profile)
    assert back is not None  # it was for a pixel
    return stored.astype(np.int32) - back


def _exif(file: Opened) -> tuple[Directories | None, bool]:
    """The EXIF; and whether there is one that cannot be read."""
    info = {} if file.image is None else file.image.info
    page = 0
    if file.format == "TIFF":
        content = file.content
        page = file.page.number if file.page else getattr(file.image, "tell", lambda: 0)()
    elif RAW_EXIF in info and "exif" not in info:
        try:
            content = bytes.fromhex("".join(str(info[RAW_EXIF]).split("\n")[3:]))
        except ValueError:
            return None, True
    else:
        content = info.get("exif") or b""
    content = content.removeprefix(PREFIX)
    if not content:
        return None, False
    try:
        return read(content, page, SKIPPED), False
    except ValueError:
        return None, True


def _xmp(file: Opened, exif: Directories | None) -> bytes:
    if file.format == "TIFF":
        found = exif.main.get(XMP) if exif else None
        return found.data if found else b""
    xmp = file.image.info.get("xmp") if file.image else None
    return xmp.encode() if isinstance(xmp, str) else xmp or b""


def _stated_dpi(file: Opened) -> object:
    """Of the file's own header. Of a JPEG, Pillow also says what it takes from EXIF, or 72 for nothing."""
    info = {} if file.image is None else file.image.info
    if file.format not in ("JPEG", "MPO"):
        return info.get("dpi")
    inch = {1: 1.0, 2: 2.54}.get(info.get("jfif_unit", 0))
    across, down = info.get("jfif_density", (0, 0))
    return (across * inch, down * inch) if inch else None


def _has_shape(file: Opened) -> bool:
    """Whether the header says that pixels are not square; without a unit, a resolution says only this."""
    info = {} if file.image is None else file.image.info
    across, down = info.get("aspect", (1, 1))
    if file.format in ("JPEG", "MPO") and info.get("jfif_unit") == 0:
        across, down = info.get("jfif_density", (1, 1))
    return bool(across != down)


def _dpi(file: Opened, exif: Directories | None) -> tuple[float, float] | None:
    found = None
    if file.image is not None and file.format != "TIFF":
        found = exif_tags.usable_dpi(_stated_dpi(file))
    if found is None and exif is not None:
        found = exif_tags.dpi_of(exif)
    orientation: float | None = file.orientation
    if file.format == "TIFF" and exif is not None:  # Pillow turns it by itself
        orientation = exif.number(exif.main, exif_tags.ORIENTATION)
    return found[::-1] if found and orientation in exif_tags.TURNED else found
