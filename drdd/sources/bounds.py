"""How much the compressed bytes of an archive may stand for.

A small file can stand for more than a disk or a memory holds. Pictures are compressed already, and masks as
BMP files, which compress best, stay below RATIO.
"""

import io
from typing import BinaryIO

RATIO = 200  # decompressed bytes for each of an archive, and of a member beyond FREE
FREE = 1024**3  # decompressed bytes that any archive may have
LARGEST = 2 * 1024**3  # bytes of a file; far above any accepted image
HEADER = 16 * 1024**2  # bytes of a tar's header of one member, which says how long it is itself


def refuse_if_too_large(size: int, compressed: int | None = None) -> None:
    """Raise ValueError for a file, or a member with so many compressed bytes, that no image has."""
    if size > LARGEST:
        raise ValueError(f"{size} bytes, more than any image has")
    if compressed is not None and size > FREE // 16 and size > RATIO * compressed:
        raise ValueError(
            f"{size} bytes in {compressed} compressed ones, more than {RATIO} for each"
        )


def refuse_if_bomb(size: int, file: BinaryIO) -> None:
    """Raise ValueError for an archive with `size` decompressed bytes, all together."""
    _refuse(size, allowed(file))


def allowed(file: BinaryIO) -> int:
    """The most decompressed bytes of an archive; its place in the file stays."""
    place = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(place)
    return max(FREE, RATIO * size)


class BoundedStream(io.RawIOBase):
    """A stream that raises ValueError beyond `most` bytes, and for more than HEADER of them at once."""

    def __init__(self, stream: BinaryIO, most: int | None = None) -> None:
        self._stream, self._most = stream, most

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        if self._most is not None and whence == io.SEEK_SET:
            _refuse(place, self._most)  # what is passed over is decompressed too
        return self._stream.seek(place, whence)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEADER:
            raise ValueError(f"a header of {size} bytes, more than {HEADER}")
        content = self._stream.read(size)
        if self._most is not None:
            _refuse(self._stream.tell(), self._most)
        return content


def _refuse(size: int, most: int) -> None:
    if size > most:
        raise ValueError(
            f"stands for {size} bytes or more, above {most}, which is {RATIO} for each of its own"
        )
