"""Pictures that carry things, and independent readers of what is written."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from drdd.formats.carried import FORMATS, Keeping, Source, Written
from drdd.formats.reading import source_of
from drdd.formats.writing import encoded
from drdd.pictures.code_points import profile_of
from drdd.pictures.colours import opened
from drdd.pictures.opening import decoding
from drdd.pictures.profiles import made_profile
from tests.corpora import scene

Levels = NDArray[Any]
Base, Photo, Gps = ExifTags.Base, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
DEFAULT = Keeping()
SCENE = scene(3, 24, 40)
P3, LINEAR = profile_of(12, 1), made_profile(gamma=1)
KINDS = sorted(set(FORMATS.values()))
LOSSLESS = ("PNG", "TIFF")
NOTE = b"MAKER\0" + bytes(range(200))


def read(content: bytes, keeping: Keeping = DEFAULT, format_: str = "PNG") -> Source:
    with decoding():
        return source_of(opened(content), keeping, format_)


def passed(content: bytes, keeping: Keeping = DEFAULT, format_: str = "PNG") -> Written:
    """Read and written, as by a model that changes nothing."""
    source = read(content, keeping, format_)
    return encoded(source.pixels, source.carried, keeping, format_)


def image_of(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def camera_exif(orientation: int = 1) -> bytes:
    """As a camera writes it: with place, serial numbers, owner, notes and a thumbnail."""
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    exif[Base.Make], exif[Base.Model] = "Maker", "Model 5"
    exif[Base.Artist], exif[Base.Copyright] = "A. Person", "(c) A. Person"
    exif[Base.ImageDescription] = "my garden"
    exif[Base.DateTime] = "2026:05:01 10:00:00"
    exif[Base.XResolution], exif[Base.YResolution], exif[Base.ResolutionUnit] = 72, 72, 2
    photo = exif.get_ifd(Photo)
    photo[Base.ExposureTime], photo[Base.FNumber] = 0.01, 2.8
    photo[Base.BodySerialNumber], photo[Base.CameraOwnerName] = "SN12345", "A. Person"
    photo[Base.MakerNote] = NOTE
    photo[Base.ColorSpace] = 65535
    photo[Base.ExifImageWidth], photo[Base.ExifImageHeight] = 4000, 3000
    photo[Base.UserComment] = b"ASCII\0\0\0secret"
    place = exif.get_ifd(Gps)
    place[ExifTags.GPS.GPSLatitudeRef] = "N"
    place[ExifTags.GPS.GPSLatitude] = (48.0, 30.0, 15.5)
    return exif.tobytes()


def samples_of_png(content: bytes) -> Levels:
    """(H, W, C) of a PNG of RGB, alpha or not, 8 or 16 bits: the filters as the specification has them."""
    place, data, header = 8, b"", b""
    while place < len(content):
        size, name = struct.unpack_from(">I4s", content, place)
        body = content[place + 8 : place + 8 + size]
        stored = struct.unpack_from(">I", content, place + 8 + size)[0]
        assert zlib.crc32(name + body) == stored
        header = body if name == b"IHDR" else header
        data += body if name == b"IDAT" else b""
        place += 12 + size
    width, height, depth, kind = struct.unpack_from(">IIBB", header)
    channels = {2: 3, 6: 4}[kind]
    step, raw = channels * depth // 8, zlib.decompress(data)
    line = 1 + step * width
    above, rows = [0] * (line - 1), []
    for n in range(height):
        way, *row = raw[n * line : (n + 1) * line]
        for i, value in enumerate(row):
            a, b = (row[i - step] if i >= step else 0), above[i]
            c = above[i - step] if i >= step else 0
            p = a + b - c
            paeth = min((abs(p - one), n, one) for n, one in enumerate((a, b, c)))[2]
            row[i] = (value + (0, a, b, (a + b) // 2, paeth)[way]) % 256
        rows.append(bytes(row))
        above = row
    dtype = ">u2" if depth == 16 else np.uint8
    return np.frombuffer(b"".join(rows), dtype).reshape(height, width, channels)


def saved(pixels: NDArray[Any], format_: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    options |= {"lossless": True, "exact": True} if format_ == "WEBP" else {}
    Image.fromarray(pixels).save(buffer, format_, **options)
    return buffer.getvalue()


def assert_close(content: bytes, pixels: NDArray[Any], format_: str, mode: str = "RGB") -> None:
    found = np.asarray(image_of(content).convert(mode)).astype(int)
    assert found.shape == pixels.shape
    if format_ in LOSSLESS:
        assert np.array_equal(found, pixels)
    else:
        assert np.abs(found - pixels).mean() < 8
