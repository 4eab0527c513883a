"""What a PNG says beside its pixels: its colours, and texts that are too long to be inflated."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import PngImagePlugin

from drdd.pictures.code_points import profile_of
from drdd.pictures.errors import PictureError
from drdd.pictures.profiles import D65, SRGB_PRIMARIES, made_profile

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Gamma of the encoding. 0.45455 is what programs write for sRGB; libpng takes 5 % for the same.
USUAL_GAMMA, TOLERANCE = 1 / 2.2, 0.05
GAMMAS = 0.1, 10.0  # others are mistakes of the program that wrote them, and ignored
TEXT = (b"zTXt", b"iTXt", b"tEXt")
COLOURS = (b"IHDR", b"cICP", b"sRGB", b"gAMA", b"cHRM")
MOST_CHUNKS = 250_000  # a file of 1 GiB has 131,072 of the usual 8 KiB
MOST = PngImagePlugin.MAX_TEXT_CHUNK  # bytes of one text, or profile, that Pillow inflates
MOST_TEXT = PngImagePlugin.MAX_TEXT_MEMORY // 2  # bytes of texts, after which no more are kept


@dataclass(frozen=True)
class PngHead:
    """content: the file, without the texts and the profile that Pillow would refuse it for.

    depth: bits a sample; profile: that of the file, or one made of what it says of its colours, b"" for
    sRGB; inflated to `most` + 1 bytes at most; dropped: the keywords of the texts that are left out.
    """

    content: bytes
    depth: int
    profile: bytes
    dropped: frozenset[bytes] = frozenset()


def png_head(content: bytes, most: int) -> PngHead:
    """most: bytes of a profile. Raises PictureError for colours that are not read, and for
    more chunks than any program writes."""
    kept, start, text, head = [], 0, 0, True
    said: dict[bytes, bytes] = {}
    texts = set()
    for name, begin, end in _chunks(content):
        head &= name != b"IDAT"  # colours that are stated after it do not count
        dropped = False
        if name in TEXT:
            if text <= MOST_TEXT:
                size, packed = _text_size(name, content[begin + 8 : end - 4])
                text += size
                dropped = packed and size > MOST
            dropped |= text > MOST_TEXT
            if dropped:
                texts.add(content[begin + 8 : min(end - 4, begin + 88)].partition(b"\0")[0])
        elif name == b"iCCP":
            if head and name not in said:
                packed_profile = content[begin + 8 : end - 4].partition(b"\0")[2][1:]
                said[name] = _inflated(packed_profile, most + 1)
            else:
                dropped = True
            dropped |= len(said.get(name, b"")) > MOST
        elif head and name in COLOURS:
            said.setdefault(name, content[begin + 8 : end - 4])
        if dropped:
            kept.append(content[start:begin])
            start = end
    whole = b"".join((*kept, content[start:])) if kept else content
    header = said.get(b"IHDR", b"")
    depth = header[8] if len(header) >= 9 else 8
    return PngHead(whole, depth, said_profile(said), frozenset(texts))


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk that is whole. Raises PictureError for more than MOST_CHUNKS."""
    place = len(SIGNATURE)
    for _ in range(MOST_CHUNKS):
        if place + 12 > len(content):
            return
        size, name = struct.unpack_from(">I4s", content, place)
        if place + 12 + size > len(content):
            return
        yield name, place, place + 12 + size
        place += 12 + size
    raise PictureError(f"the PNG has more than {MOST_CHUNKS} chunks; save it anew")


def _text_size(name: bytes, data: bytes) -> tuple[int, bool]:
    """Bytes of a text, MOST + 1 at most if it is to be inflated; and whether it is."""
    rest = data.partition(b"\0")[2]
    if name == b"zTXt":
        return len(_inflated(rest[1:], MOST + 1)), True
    if name == b"iTXt" and rest[:1] not in (b"", b"\0"):
        packed = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        return len(_inflated(packed, MOST + 1)), True
    return len(data), False


def _inflated(data: bytes, most: int) -> bytes:
    """Up to `most` bytes; b"" if damaged."""
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return b""


def said_profile(said: dict[bytes, bytes]) -> bytes:
    """Of the chunks of COLOURS; in the order of the specification: cICP, iCCP, sRGB, then gAMA and cHRM."""
    if len(code := said.get(b"cICP", b"")) == 4:
        return profile_of(code[0], code[1])
    if b"iCCP" in said or b"sRGB" in said:
        return said.get(b"iCCP", b"")
    gamma = int.from_bytes(said.get(b"gAMA", b"")[:4]) / 1e5
    usual = abs(gamma / USUAL_GAMMA - 1) < TOLERANCE or not GAMMAS[0] <= gamma <= GAMMAS[1]
    curve = None if usual else 1 / gamma
    chroma = said.get(b"cHRM", b"")
    if len(chroma) != 32:
        return made_profile(gamma=curve) if curve else b""
    points = np.array(struct.unpack(">8i", chroma)).reshape(4, 2) / 1e5
    if np.abs(points - [D65, *SRGB_PRIMARIES]).max() < 0.001:
        return made_profile(gamma=curve) if curve else b""
    white, *primaries = ((x, y) for x, y in points.tolist())
    try:
        return made_profile(tuple(primaries), white, curve)
    except ValueError:  # such as zeros: as if nothing was said
        return made_profile(gamma=curve) if curve else b""
