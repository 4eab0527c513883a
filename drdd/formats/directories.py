"""Directories of tags, as in TIFF and EXIF: read from bytes, and written anew.

The values of a field stay as they are, in the byte order of their file.
"""

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

Order = Literal["<", ">"]

STRIPS, STRIP_SIZES = 273, 279
PHOTO, GPS, INTEROP, NOTE = 34665, 34853, 40965, 37500
POINTERS = (PHOTO, GPS, INTEROP)
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_CODES = {BYTE: "B", SHORT: "H", LONG: "I", RATIONAL: "I"}
MOST_TAGS, MOST_PAGES = 4096, 64
MOST_BYTES = 64 * 1024**2  # of all fields: many may stand for the same bytes of a file
PINNED = 2**16  # a maker note behind this place is moved
_BIG = b"+\0", b"\0+"
_LONG_POINTERS = (16, 18)  # kinds of a BigTIFF


@dataclass(frozen=True)
class Field:
    """kind: of its values, as TIFF numbers them; data: in the byte order of the directory."""

    kind: int
    count: int
    data: bytes


Directory = dict[int, Field]


@dataclass(frozen=True)
class Directories:
    """Those of a picture, without their pointers to each other.

    note_at: where the maker note stood, within which many makers count places from the beginning of the
    file; it is written at the same place again. lost: the fields that were left out in reading.
    """

    order: Order
    main: Directory
    photo: Directory = field(default_factory=dict)
    gps: Directory = field(default_factory=dict)
    note_at: int = 0
    lost: int = 0

    def number(self, directory: Directory, tag: int) -> float | None:
        """The first value of a field of integers or fractions; None without one."""
        found = directory.get(tag)
        if found is None or found.kind not in _CODES or found.count < 1:
            return None
        code = _CODES[found.kind]
        if found.kind == RATIONAL:
            above, below = struct.unpack_from(f"{self.order}II", found.data)
            return float(above / below) if below else None
        return float(struct.unpack_from(self.order + code, found.data)[0])


def made(order: Order, kind: int, *values: int) -> Field:
    """A field of integers; a RATIONAL has two for each value."""
    data = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
    return Field(kind, len(values) // (2 if kind == RATIONAL else 1), data)


def read(content: bytes, page: int = 0, skipped: Collection[int] = ()) -> Directories:
    """The directories of an EXIF, or of the page of a TIFF or BigTIFF.

    skipped: tags of the first directory that are not read. Fields that are damaged or of unknown kinds are
    left out and counted, as are those beyond MOST_BYTES. Raises ValueError where nothing can be read.
    """
    if content[:2] not in (b"II", b"MM"):
        raise ValueError("no byte order")
    reader = _Reader(content)
    try:
        main = reader.directory(reader.first(page), skipped)
    except struct.error:
        raise ValueError("cut short") from None
    photo, gps = (reader.below(main, pointer) for pointer in (PHOTO, GPS))
    plain, photo, gps = (
        {tag: one for tag, one in part.items() if tag not in POINTERS}
        for part in (main, photo, gps)
    )
    return Directories(reader.order, plain, photo, gps, reader.note_at, reader.lost)


class _Reader:
    """order, big: those of the file; note_at: the place of the maker note, once it was met."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.order: Order = "<" if content[:2] == b"II" else ">"
        self._big = content[2:4] in _BIG
        self.note_at, self.lost = 0, 0
        self._left = min(len(content), MOST_BYTES)

    def _one(self, code: str, place: int) -> int:
        return int(struct.unpack_from(self.order + code, self._content, place)[0])

    def first(self, page: int) -> int:
        """Where the directory of a page begins."""
        pointer = "Q" if self._big else "I"
        place = self._one(pointer, 8 if self._big else 4)
        head, entry = ("Q", 20) if self._big else ("H", 12)
        for _ in range(min(page, MOST_PAGES)):
            count = self._one(head, place)
            place = self._one(pointer, place + struct.calcsize("=" + head) + entry * count)
        return place

    def below(self, main: Directory, pointer: int) -> Directory:
        found = main.get(pointer)
        if found is None or len(found.data) < 4:
            return {}
        code = "Q" if len(found.data) == 8 else "I"
        try:
            return self.directory(int(struct.unpack_from(self.order + code, found.data)[0]))
        except struct.error:
            return {}

    def directory(self, start: int, skipped: Collection[int] = ()) -> Directory:
        head, entry, inline, pointer = ("Q", 20, 8, "Q") if self._big else ("H", 12, 4, "I")
        content, first = self._content, start + struct.calcsize("=" + head)
        fields: Directory = {}
        for n in range(min(self._one(head, start), MOST_TAGS)):
            at = first + n * entry
            if at + entry > len(content):
                break
            tag, kind, many = struct.unpack_from(self.order + "HH" + pointer, content, at)
            if tag in POINTERS and kind in _LONG_POINTERS and many == 1:
                fields[tag] = Field(kind, 1, content[at + entry - inline : at + entry])
            if tag in fields or tag in skipped:
                continue
            if kind not in _SIZES:
                self.lost += 1
                continue
            size, place = _SIZES[kind] * many, at + entry - inline
            if size > inline:
                place = self._one(pointer, place)
            if not 0 < size <= self._left or place + size > len(content):
                self.lost += size > 0  # without a value, there is nothing to lose
                continue
            self._left -= size
            fields[tag] = Field(kind, many, content[place : place + size])
            if tag == NOTE:
                self.note_at = place
        return fields


def written(directories: Directories, strips: Sequence[bytes] = ()) -> bytes:
    """A file of these directories; with strips of pixels, a TIFF. Raises ValueError above 4 GiB."""
    order, blocks = directories.order, _Blocks(directories)
    main, photo = dict(directories.main), dict(directories.photo)
    if strips:
        places = [blocks.add(strip) for strip in strips]
        main[STRIPS] = made(order, LONG, *places)
        main[STRIP_SIZES] = made(order, LONG, *map(len, strips))
    for pointer, below in ((PHOTO, photo), (GPS, directories.gps)):
        if below:
            main[pointer] = made(order, LONG, blocks.directory(below))
    return blocks.file(blocks.directory(main))


class _Blocks:
    """The parts of a file, each at an even place, around a maker note that stays where it was."""

    def __init__(self, directories: Directories) -> None:
        self._order = directories.order
        self._end = 8
        self._blocks: list[tuple[int, bytes]] = []
        note = directories.photo.get(NOTE)
        self._note = range(0)
        if note and len(note.data) > 4 and 8 <= directories.note_at < PINNED:
            self._note = range(directories.note_at, directories.note_at + len(note.data))
            self._blocks.append((directories.note_at, note.data))

    def add(self, data: bytes) -> int:
        """Its place."""
        place = self._end + self._end % 2
        if self._note and place < self._note.stop and place + len(data) > self._note.start:
            place = self._note.stop + self._note.stop % 2
        self._end = place + len(data)
        if max(self._end, self._note.stop) >= 2**32:
            raise ValueError("it has more than 4 GiB")
        self._blocks.append((place, data))
        return place

    def directory(self, fields: Directory) -> int:
        """Its place."""
        rows = []
        for tag, one in sorted(fields.items()):
            value = one.data.ljust(4, b"\0")
            if len(value) > 4:
                pinned = tag == NOTE and self._note
                place = self._note.start if pinned else self.add(one.data)
                value = struct.pack(self._order + "I", place)
            rows.append(struct.pack(self._order + "HHI", tag, one.kind, one.count) + value)
        return self.add(struct.pack(self._order + "H", len(rows)) + b"".join(rows) + bytes(4))

    def file(self, main: int) -> bytes:
        content = bytearray(max(place + len(data) for place, data in self._blocks))
        magic = b"II*\0" if self._order == "<" else b"MM\0*"
        content[:8] = magic + struct.pack(self._order + "I", main)
        for place, data in self._blocks:
            content[place : place + len(data)] = data
        return bytes(content)
