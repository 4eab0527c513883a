"""EXIF of an input, as it is right for its output: upright, of another size, in other colours."""

from dataclasses import replace
from typing import Literal

from drdd.formats.directories import (
    LONG,
    NOTE,
    RATIONAL,
    SHORT,
    Directories,
    Directory,
    Order,
    made,
)

Metadata = Literal["all", "anonymous", "none"]

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, UNIT, DESCRIPTION = 274, 282, 283, 296, 270
COLOUR_SPACE, PIXELS_ACROSS, PIXELS_DOWN = 40961, 40962, 40963
INCH, CENTIMETRE = 2, 3
SRGB, UNCALIBRATED = 1, 65535
TURNED = (5, 6, 7, 8)  # orientations that swap width and height
SUBJECT = {37396, 41492}  # places in the picture, in pixels of it as it was stored
MOST_DPI = 100_000.0

# Of the pixels as they were stored, of their colours, and of other pictures in the file; Photoshop's
# layers; places on a map by pixels (GeoTIFF); what is carried in another way (XMP, ICC) or not (IPTC).
OF_PIXELS = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284),
    *(288, 289, 290, 291, 292, 293, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330),
    *(332, 333, 334, 336, 337, 338, 339, 340, 341, 342, 343, 344, 345, 346, 347, 351),
    *(512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 559, 700),
    *(32995, 32996, 32997, 32998, 33550, 33723, 33922, 34264, 34377, 34675, 34735, 34736, 34737),
    *(37724, 42112, 42113, 50341, 50838, 50839),
}
# What identifies neither a person nor a place nor a single device: models of camera and lens, how and when
# the picture was taken. Not texts, names, serial numbers, ids, time zones, makers' notes, and unknown tags.
_HARMLESS = {
    *(ORIENTATION, X_RESOLUTION, Y_RESOLUTION, UNIT, 271, 272, 306),
    *(33434, 33437, 34850, 34855, 34864, 36864, 36867, 36868, 37121, 37122, 37377, 37378, 37379),
    *(37380, 37381, 37382, 37383, 37384, 37385, 37386, 40960, COLOUR_SPACE, PIXELS_ACROSS),
    *(PIXELS_DOWN, 41486, 41487, 41488, 41495, 41728, 41729, 41985, 41986, 41987, 41988, 41989),
    *(41990, 41991, 41992, 41993, 41994, 41996, 42034, 42035, 42036),
}
ON_A_MAP = {33550, 33922, 34264, 34735, 34736, 34737}
_OF_SHAPES = (b'{"shape"', b"ImageJ=")  # descriptions by programs, of pixels as they were stored


def rewritten(
    exif: Directories,
    size: tuple[int, int],
    dpi: tuple[float, float] | None,
    *,
    srgb: bool,
    anonymous: bool,
    moved: bool,
) -> Directories:
    """The EXIF of an output that is upright, without thumbnail.

    size: (width, height); srgb: else its profile says which colours it has. anonymous: only the tags of
    which it is known that they identify nobody. moved: whether a pixel is elsewhere than as it was stored.
    """
    main = {tag: one for tag, one in exif.main.items() if tag not in OF_PIXELS}
    if DESCRIPTION in main and main[DESCRIPTION].data.startswith(_OF_SHAPES):
        del main[DESCRIPTION]
    turned = exif.number(exif.main, ORIENTATION) in TURNED
    if (
        dpi is None and turned and {X_RESOLUTION, Y_RESOLUTION} <= main.keys()
    ):  # shape of the pixels
        main[X_RESOLUTION], main[Y_RESOLUTION] = main[Y_RESOLUTION], main[X_RESOLUTION]
    photo = dict(exif.photo)
    if moved:
        photo = {tag: one for tag, one in photo.items() if tag not in SUBJECT}
    if anonymous:
        main, photo = ({t: f for t, f in part.items() if t in _HARMLESS} for part in (main, photo))
    if ORIENTATION in main:
        main[ORIENTATION] = made(exif.order, SHORT, 1)
    if PIXELS_ACROSS in photo or PIXELS_DOWN in photo:
        photo[PIXELS_ACROSS] = made(exif.order, LONG, size[0])
        photo[PIXELS_DOWN] = made(exif.order, LONG, size[1])
    if COLOUR_SPACE in photo:
        photo[COLOUR_SPACE] = made(exif.order, SHORT, SRGB if srgb else UNCALIBRATED)
    main = with_dpi(main, dpi, exif.order)
    return replace(exif, main=main, photo=photo, gps={} if anonymous else exif.gps)


def is_moved(exif: Directories) -> bool:
    """Whether its picture is not stored upright."""
    return exif.number(exif.main, ORIENTATION) in range(2, 9)


def with_dpi(main: Directory, dpi: tuple[float, float] | None, order: Order) -> Directory:
    if dpi is None:
        return main
    across, down = (made(order, RATIONAL, round(one * 10_000), 10_000) for one in dpi)
    return main | {X_RESOLUTION: across, Y_RESOLUTION: down, UNIT: made(order, SHORT, INCH)}


def without_note(exif: Directories) -> Directories:
    """Without the notes of the camera's maker, which may be large."""
    return replace(exif, photo={tag: one for tag, one in exif.photo.items() if tag != NOTE})


def dpi_of(exif: Directories) -> tuple[float, float] | None:
    """Pixels an inch, across and down, as stored; None if it says nothing usable."""
    across = exif.number(exif.main, X_RESOLUTION)
    down = exif.number(exif.main, Y_RESOLUTION)
    unit = exif.number(exif.main, UNIT)
    if across is None or unit not in (None, INCH, CENTIMETRE):
        return None
    inch = 2.54 if unit == CENTIMETRE else 1.0
    return usable_dpi((across * inch, (down or across) * inch))


def usable_dpi(dpi: object) -> tuple[float, float] | None:
    """Two finite positive numbers, or None."""
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return None
    try:
        across, down = (float(one) for one in dpi)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (across, down) if 0 < across <= MOST_DPI and 0 < down <= MOST_DPI else None
