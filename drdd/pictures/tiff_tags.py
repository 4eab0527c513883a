"""The tags of a TIFF file: which page holds the picture, and how its samples are stored."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from drdd.pictures.errors import PictureError, PixelsError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MOST_PAGES = 64  # that are looked through for a picture
MOST_TAGS = 4096
MOST_VALUES = 2**21  # of a tag: places of strips, say

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
FILL_ORDER, STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_SIZES = 266, 273, 274, 277, 278, 279
PLANAR, PREDICTOR, COLOUR_MAP = 284, 317, 320
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES, INK_SET = 322, 323, 324, 325, 332
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339
COEFFICIENTS, SUBSAMPLING, REFERENCE, PROFILE, DNG = 529, 530, 532, 34675, 50706
READ = {
    value for name, value in list(globals().items()) if name.isupper() and not name.startswith("M")
}
_KINDS = {
    1: "B",
    2: "s",
    3: "H",
    4: "I",
    5: "II",
    6: "b",
    7: "s",
    8: "h",
    9: "i",
    10: "ii",
    11: "f",
}
_KINDS |= {12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}

Values = tuple[int | float, ...]


@dataclass(frozen=True)
class Page:
    """One page. order: "<" or ">"; tags: those of READ, numbers; profile: ICC, b"" without one."""

    order: Literal["<", ">"]
    tags: dict[int, Values]
    profile: bytes
    number: int = 0

    def one(self, tag: int, default: int = 0) -> int:
        """The first value of a tag."""
        values = self.tags.get(tag)
        return int(values[0]) if values else default

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as stored."""
        return self.one(WIDTH), self.one(HEIGHT)


def page_of(content: bytes) -> Page:
    """The first page that is a picture of its own: no preview of another, no mask.

    Raises PictureError for a damaged file and for a camera's raw file, whose first page is a preview.
    """
    if content[8:10] == b"CR":
        raise PictureError("a camera's raw file (CR2) is not read; develop it")
    for number, page in enumerate(_pages(content)):
        if DNG in page.tags:
            raise PictureError("a camera's raw file (DNG) is not read; develop it")
        if page.one(SUBFILE) & 0b101 == 0 and min(page.size) > 0:
            if page.size[0] * page.size[1] > 2 * (
                Image.MAX_IMAGE_PIXELS or 0
            ):  # as by Pillow itself
                raise PixelsError("claims far more pixels than are decoded")
            return Page(page.order, page.tags, page.profile, number)
    raise PictureError(
        "a TIFF without a page of its own: a mask or preview alone, as in a camera's raw file"
    )


def has_more(content: bytes) -> bool:
    """Whether it has more than one page that is a picture of its own. Raises PictureError if damaged."""
    own = (page for page in _pages(content) if page.one(SUBFILE) & 0b101 == 0)
    return sum(min(page.size) > 0 for page in own) > 1


def _pages(content: bytes) -> Iterator[Page]:
    order: Literal["<", ">"] = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    place = _unpack(order + ("Q" if big else "I"), content, 8 if big else 4)[0]
    for _ in range(MOST_PAGES):
        if place == 0:
            return
        tags, profile, place = _directory(content, int(place), order, big)
        yield Page(order, tags, profile)


def _directory(
    content: bytes, place: int, order: Literal["<", ">"], big: bool
) -> tuple[dict[int, Values], bytes, int | float]:
    """The tags, the profile, and the place of the next directory."""
    head, entry, inline, pointer = ("Q", 20, 8, "Q") if big else ("H", 12, 4, "I")
    count = int(_unpack(order + head, content, place)[0])
    start = place + (8 if big else 2)
    tags: dict[int, Values] = {}
    profile = b""
    if count > MOST_TAGS:
        raise PictureError(f"damaged: a TIFF with {count} tags in a page")
    for n in range(count):
        at = start + n * entry
        tag, kind, many = _unpack(order + "HH" + pointer, content, at)
        if tag not in READ or tag in tags or kind not in _KINDS:
            continue
        code = _KINDS[int(kind)]
        size = struct.calcsize("=" + code) * int(many)
        if many > MOST_VALUES and tag != PROFILE:
            raise PictureError(f"damaged: a TIFF with {many} values in its tag {tag}")
        data = at + entry - inline
        if size > inline:
            data = int(_unpack(order + pointer, content, data)[0])
        if data + size > len(content):
            raise PictureError(f"cut short: its tag {tag} is beyond the end of the file")
        if tag == PROFILE:
            profile = content[data : data + size]
        elif code == "s":
            tags[int(tag)] = tuple(content[data : data + size])
        else:
            values = _unpack(f"{order}{int(many) * len(code)}{code[0]}", content, data)
            if len(code) == 2:  # a fraction
                values = tuple(
                    a / b if b else 0.0 for a, b in zip(values[::2], values[1::2], strict=True)
                )
            tags[int(tag)] = values
    return tags, profile, _unpack(order + pointer, content, start + count * entry)[0]


def _unpack(form: str, content: bytes, place: int) -> Values:
    try:
        return struct.unpack_from(form, content, place)
    except struct.error:
        raise PictureError("cut short: a page of the TIFF is beyond the end of the file") from None
