"""A colour profile is judged by what it does to colours, whatever it is called."""

import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from drdd.intake.decoding import Limits, decode, decode_and_verify
from drdd.pictures.colours import Bits, opened, rgb_of
from drdd.pictures.opening import decoding
from drdd.pictures.profiles import deep_to_srgb, eight_bits, is_foreign, made_profile, to_srgb
from drdd.sources.entry import Blob
from tests.corpora import encoded, scene
from tests.pictures.tiffs import UNDEFINED, made_tiff

Levels = NDArray[Any]
ANY = Limits(1, 10**9, 10**9)
SRGB = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
WHITE = (0.9642, 1.0, 0.8249)


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def _table(levels: Levels) -> bytes:
    points = np.rint(levels * 65535).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", len(points)) + points.tobytes()


def _power(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def _light(x: Levels) -> Levels:
    """sRGB's curve, IEC 61966-2-1."""
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


LINEAR = b"curv" + bytes(8)
SRGB_CURVE = _table(_light(np.linspace(0, 1, 1024)))
SHORT_CURVE = _table(
    _light(np.linspace(0, 1, 26))
)  # as in the profiles of 500 bytes that phones use


def profile_with(name: str, space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ") -> bytes:
    words = name.encode() + b"\0"
    said = b"desc" + bytes(4) + struct.pack(">I", len(words)) + words + bytes(78)
    all_tags = {
        b"desc": said,
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": _xyz(WHITE),
        **tags,
    }
    start, table, data = 132 + 12 * len(all_tags), b"", b""
    for tag, content in all_tags.items():
        table += struct.pack(">4sII", tag, start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12x4s", start + len(data), b"lcms", 0x02100000, b"mntr", space, pcs, b"acsp"
    )
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(all_tags)) + table + data


def _rgb_profile(name: str, curve: bytes, primaries: tuple[tuple[float, ...], ...] = SRGB) -> bytes:
    tags = {channel + b"TRC": curve for channel in (b"r", b"g", b"b")}
    tags |= {c + b"XYZ": _xyz(p) for c, p in zip((b"r", b"g", b"b"), primaries, strict=True)}
    return profile_with(name, b"RGB ", tags)


def _grey_profile(curve: bytes) -> bytes:
    return profile_with("grey", b"GRAY", {b"kTRC": curve})


def table_of(channels: int, black: int = 0) -> bytes:
    """The first channel alone matters, from white to `black`: 2 grid points of an 8-bit table (lut8)."""
    grid = [black if first else 255 for first in (0, 1) for _ in range(2 ** (channels - 1))]
    cells = b"".join(bytes([lightness, 128, 128]) for lightness in grid)
    identity = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    head = b"mft1" + bytes(4) + bytes([channels, 3, 2, 0])
    return head + matrix + identity * channels + cells + identity * 3


def profile_of_tables(name: str, space: bytes, channels: int) -> bytes:
    return profile_with(name, space, {b"A2B0": table_of(channels)}, b"Lab ")


INKS = profile_of_tables("cyan is black", b"CMYK", 4)


def _pixels(image: Image.Image, format_: str, profile: bytes, bits: Bits = 8) -> Levels:
    options: dict[str, object] = {"icc_profile": profile}
    options |= {"lossless": True} if format_ == "WEBP" else {}
    options |= {"quality": 100} if format_ in ("JPEG", "AVIF") else {}
    with decoding():
        return rgb_of(opened(encoded(image, format_, **options)), bits)


GREY = Image.new("RGB", (16, 16), (55, 55, 55))


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA"])
@pytest.mark.parametrize("name", ["mine", "GIMP built-in Linear sRGB", "sRGB-elle-V2-g10.icc"])
def test_a_linear_profile_is_converted_whatever_its_name(
    name: str, mode: str, format_: str
) -> None:
    if (format_ == "JPEG" and mode in ("P", "RGBA", "LA")) or (mode == "LA" and format_ == "WEBP"):
        return
    profile = _rgb_profile(name, LINEAR)
    image = GREY.quantize(2) if mode == "P" else GREY.convert(mode)
    np.testing.assert_allclose(_pixels(image, format_, profile), 128, atol=2)


@pytest.mark.parametrize("curve", [SRGB_CURVE, SHORT_CURVE], ids=["long", "short"])
@pytest.mark.parametrize("name", ["c2", "my camera", "Adobe RGB (1998)"])
def test_a_profile_that_is_srgb_changes_no_byte(name: str, curve: bytes) -> None:
    profile = _rgb_profile(name, curve)
    for format_ in ("PNG", "JPEG", "WEBP"):
        content = encoded(Image.fromarray(scene(0, 40, 48)), format_, icc_profile=profile)
        assert decode_and_verify(Blob("x", content), ANY).content == content


def test_other_primaries_and_gammas_are_no_srgb() -> None:
    for curve, primaries in ((SRGB_CURVE, P3), (_power(2.2), SRGB), (_power(1.8), SRGB)):
        assert is_foreign(_rgb_profile("sRGB IEC61966-2.1", curve, primaries), "RGB")
    assert not is_foreign(made_profile(), "RGB")


@pytest.mark.parametrize(
    ("curve", "expected"), [(LINEAR, 128), (_power(2.2), 52), (SRGB_CURVE, 55)]
)
def test_a_profile_of_grey_is_followed(curve: bytes, expected: int) -> None:
    for format_ in ("PNG", "JPEG", "TIFF"):
        pixels = _pixels(GREY.convert("L"), format_, _grey_profile(curve))
        np.testing.assert_allclose(pixels, expected, atol=1)
    deep = Image.fromarray(np.full((16, 16), 55 * 257, np.uint16))
    pixels = _pixels(deep, "PNG", _grey_profile(curve), bits=16)
    np.testing.assert_allclose(pixels / 257, expected, atol=0.6)


@pytest.mark.parametrize("format_", ["JPEG", "MPO"])
def test_a_camera_says_adobe_rgb_by_its_exif(format_: str) -> None:
    exif, green = Image.Exif(), Image.new("RGB", (16, 16), (60, 180, 60))
    exif.get_ifd(ExifTags.IFD.Exif)[0xA001] = 0xFFFF
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: "R03"}
    named = encoded(green, format_, exif=exif, quality=100)
    adobe = _rgb_profile("x", _power(563 / 256), ADOBE)
    with decoding():
        by_exif = rgb_of(opened(named))
    np.testing.assert_allclose(by_exif, _pixels(green, "PNG", adobe), atol=2)
    assert by_exif[0, 0, 0] < 5
    assert _pixels(green, format_, b"")[0, 0, 0] > 55
    srgb = encoded(green, format_, exif=exif, quality=100, icc_profile=made_profile())
    assert decode(Blob("x", srgb), ANY)[0, 0, 0] > 55


def test_inks_follow_their_profile() -> None:
    inks = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    for format_ in ("JPEG", "TIFF"):
        np.testing.assert_allclose(_pixels(inks, format_, INKS), 0, atol=2)
        assert _pixels(inks, format_, b"")[0, 0, 2] > 200  # without: cyan


@pytest.mark.parametrize(
    "profile",
    [
        INKS,
        _grey_profile(LINEAR),
        _rgb_profile("cut", LINEAR)[:200],
        b"no profile",
        bytes(300),
    ],
    ids=["of inks", "of grey", "cut", "words", "zeros"],
)
def test_a_profile_that_says_nothing_of_these_pixels_is_ignored(profile: bytes) -> None:
    content = encoded(GREY, "PNG", icc_profile=profile)
    assert decode_and_verify(Blob("x", content), ANY).content == content


@pytest.mark.parametrize(
    "profile",
    [
        _rgb_profile("x", _power(1.8), P3),
        _rgb_profile("x", SRGB_CURVE, P3),
        made_profile(gamma=1.0),
        made_profile(((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))),
    ],
)
def test_sixteen_bits_are_converted_as_the_library_converts_eight(profile: bytes) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    eight = to_srgb(Image.fromarray(pixels), profile)
    assert eight is not None
    deep = deep_to_srgb(pixels.astype(np.uint16) * 257, profile)
    np.testing.assert_allclose(eight_bits(deep).astype(int), np.asarray(eight), atol=1)


def test_colours_are_as_measured_not_as_a_printer_would_fit_them() -> None:
    """Of the tables of both intents: profiles of sRGB itself have one that lifts the dark."""
    tags = {b"A2B0": table_of(3, black=60), b"A2B1": table_of(3)}
    red = Image.new("RGB", (16, 16), (255, 0, 0))
    assert _pixels(red, "PNG", profile_with("x", b"RGB ", tags, b"Lab ")).max() == 0
    inks = {b"A2B0": table_of(4), b"A2B1": table_of(4, black=60)}
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    assert _pixels(cyan, "TIFF", profile_with("x", b"CMYK", inks, b"Lab ")).max() <= 2


def test_the_dark_of_a_linear_file_keeps_its_levels() -> None:
    """Eight bits of it are steps of 13 levels of sRGB."""
    stored = np.repeat(np.arange(0, 1028, 4).reshape(1, -1, 1), 3, axis=2).astype(np.uint16)
    profile = _rgb_profile("sRGB", LINEAR)
    content = made_tiff(stored, 2, tags={34675: (UNDEFINED, list(profile))})
    levels = np.unique(decode(Blob("x.tif", content), ANY))
    assert len(levels) > 30
    assert np.diff(levels.astype(int)).max() == 1


def test_aprofile_of_tables_is_converted_in_eight_bits() -> None:
    rng = np.random.default_rng(1)
    stored = rng.integers(0, 65536, (16, 16, 3)).astype(np.uint16)
    profile = profile_of_tables("the more red, the darker", b"RGB ", 3)
    content = made_tiff(stored, 2, tags={34675: (UNDEFINED, list(profile))})
    with decoding():
        deep = rgb_of(opened(content), 16)
    eight = to_srgb(Image.fromarray(eight_bits(stored)), profile)
    assert np.array_equal(deep, np.asarray(eight).astype(np.uint16) * 257)
    assert deep[stored[..., 0] < 6000].min() > deep[stored[..., 0] > 60000].max()
