"""A picture of Pillow is understood as the file is from which it was opened."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from drdd.inference.given import taken
from drdd.pictures.colours import alpha_of, depth_of, opened, rgb_of
from drdd.pictures.opening import decoding
from drdd.pictures.profiles import ADOBE_RGB, made_profile
from tests.corpora import scene
from tests.pictures.pngs import GREY as PNG_GREY
from tests.pictures.pngs import RGB as PNG_RGB
from tests.pictures.pngs import made_png

RGB = scene(2, 20, 24)
DEEP = np.random.default_rng(2).integers(0, 65536, (20, 24), dtype=np.uint16)
PICTURE = Image.fromarray(RGB)


def _file(**options: Any) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, options.pop("format", "PNG"), **options)
    return buffer.getvalue()


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif.tobytes()


def _adobe() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: "R03"}
    return exif.tobytes()


FILES = {
    "plain": _file(),
    "Display P3": _file(icc_profile=made_profile(((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)))),
    "linear": _file(icc_profile=made_profile(gamma=1)),
    "profile in a JPEG": _file(format="JPEG", icc_profile=made_profile(*ADOBE_RGB)),
    "Adobe RGB by EXIF": _file(format="JPEG", exif=_adobe()),
    "damaged profile": _file(icc_profile=b"no profile"),
    "gamma": made_png(RGB, PNG_RGB, 8, (b"gAMA", struct.pack(">I", 100_000))),
    "primaries": made_png(
        RGB,
        PNG_RGB,
        8,
        (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
    ),
    "sRGB before gamma": made_png(
        RGB, PNG_RGB, 8, (b"gAMA", struct.pack(">I", 100_000)), (b"sRGB", b"\0")
    ),
    "16 bits of grey": made_png(DEEP[..., None], PNG_GREY, 16),
    "16 bits, one clear": made_png(
        DEEP[..., None], PNG_GREY, 16, (b"tRNS", struct.pack(">H", int(DEEP[0, 0])))
    ),
    "a clear colour": made_png(RGB, PNG_RGB, 8, (b"tRNS", struct.pack(">3H", *RGB[3, 4].tolist()))),
    **{f"turned {n}": _file(format="JPEG", exif=_turned(n)) for n in range(1, 9)},
    "turned PNG": _file(exif=_turned(6)),
    "turned WebP": _file(format="WEBP", exif=_turned(6)),
    "turned TIFF": _file(format="TIFF", exif=_turned(6)),
    "turned AVIF": _file(format="AVIF", exif=_turned(6)),
    "damaged EXIF": _file(format="JPEG", exif=b"Exif\0\0no exif"),
    "GIF": _file(format="GIF"),
}


@pytest.mark.parametrize("name", FILES)
def test_it_is_understood_as_its_file_is(name: str) -> None:
    content = FILES[name]
    with decoding():
        file = opened(content)
        bits = depth_of(file)
        rgb, alpha = rgb_of(file, bits), alpha_of(file, bits)
    lazy = Image.open(io.BytesIO(content))
    loaded = Image.open(io.BytesIO(content))
    loaded.load()
    for image in (lazy, loaded, loaded.copy()):
        given = taken(image)
        assert np.array_equal(given.original, rgb)
        if alpha is None or given.alpha is None:
            assert given.alpha is alpha is None
        else:
            assert np.array_equal(given.alpha, alpha)


def test_the_current_frame_is_taken() -> None:
    buffer = io.BytesIO()
    frames = [Image.fromarray(scene(n, 20, 24)) for n in range(3)]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    image = Image.open(buffer)
    for n in (2, 0, 1):
        image.seek(n)
        assert np.array_equal(taken(image).original, scene(n, 20, 24))
