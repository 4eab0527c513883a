"""Qt resource files (.rcc): many files in one, as KDE's educational programs ship their pictures.

The format, in big-endian numbers (Qt's tools rcc and QResource): "qres", version, and the offsets of three
tables. A node of the tree: offset of its name, flags; then of a folder the number and index of its
children, of a file its locale and the offset of its data. From version 2 on, 8 bytes of time follow.
"""

import struct
import zlib
from collections.abc import Iterator

MAGIC = b"qres"
ZLIB, FOLDER, ZSTD = 1, 2, 4


def unpack(content: bytes) -> Iterator[tuple[str, bytes]]:
    """(path, file) for every file of a resource file but those that are packed with Zstandard.

    Raises ValueError if it is not a resource file.
    """
    if not content.startswith(MAGIC):
        raise ValueError("not a Qt resource file")
    version, tree, data, names = struct.unpack_from(">4I", content, 4)
    size = 14 if version == 1 else 22

    def name_of(offset: int) -> str:
        start = names + offset  # of its length in UTF-16 units, a hash, the text
        (length,) = struct.unpack_from(">H", content, start)
        return content[start + 6 : start + 6 + 2 * length].decode("utf-16-be")

    def walk(index: int, folder: str) -> Iterator[tuple[str, bytes]]:
        name, flags, first, second = struct.unpack_from(">IHII", content, tree + index * size)
        path = f"{folder}/{name_of(name)}" if index else ""
        if flags & FOLDER:
            for child in range(second, second + first):
                yield from walk(child, path)
        elif not flags & ZSTD:
            (length,) = struct.unpack_from(">I", content, data + second)
            packed = content[data + second + 4 : data + second + 4 + length]
            # zlib data begins with its unpacked size in 4 bytes.
            yield path.lstrip("/"), zlib.decompress(packed[4:]) if flags & ZLIB else packed

    yield from walk(0, "")
