"""Whatever a picture file holds, what is taken in is what a person sees: upright, in sRGB, on white."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms

from drdd.intake.decoding import Limits, decode_and_verify
from drdd.pictures.pixels import Picture, pixels_of
from drdd.sources.entry import Blob
from tests.corpora import Pixels, encoded, scene

BLACK, WHITE, INK = (0, 0, 0), (255, 255, 255), (10, 20, 30)


def _noise(height: int = 20, width: int = 30) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _png(pixels: Pixels, **options: object) -> bytes:
    return encoded(Image.fromarray(pixels), "PNG", **options)


def _taken(content: bytes) -> Picture:
    return decode_and_verify(Blob("x", content), Limits(min_side=8, max_side=64, max_pixels=10_000))


def _pixels(content: bytes) -> Pixels:
    return pixels_of(_taken(content).content)


def test_cmyk_ink_becomes_light() -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 0] = 255  # cyan takes the red away
    pixels = _pixels(encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=100))
    np.testing.assert_allclose(pixels[:8].mean(axis=(0, 1)), [0, 255, 255], atol=2)
    np.testing.assert_allclose(pixels[8:].mean(axis=(0, 1)), [255, 255, 255], atol=2)


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_are_scaled_not_clipped(format_: str) -> None:
    grey = np.linspace(0, 65535, 20 * 30).reshape(20, 30).astype(np.uint16)
    pixels = _pixels(encoded(Image.fromarray(grey), format_))
    expected = np.round(grey / 65535 * 255)
    assert all(np.array_equal(pixels[..., channel], expected) for channel in range(3))


def test_one_bit_is_black_and_white() -> None:
    bits = np.random.default_rng(0).random((16, 16)) < 0.5
    pixels = _pixels(encoded(Image.fromarray(bits), "PNG"))
    assert np.array_equal(pixels, np.repeat(bits[..., None] * np.uint8(255), 3, axis=2))


def _with_alpha() -> bytes:
    layer = np.zeros((16, 16, 4), np.uint8)
    layer[:, :4] = (*INK, 255)
    layer[:, 4:8] = (0, 0, 0, 51)  # a fifth of black
    return encoded(Image.fromarray(layer), "PNG")


def _with_clear_colour() -> bytes:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :4] = INK
    pixels[:, 4:8] = 204
    return _png(pixels, transparency=BLACK)


@pytest.mark.parametrize("content", [_with_alpha(), _with_clear_colour()])
def test_transparency_is_laid_on_white(content: bytes) -> None:
    pixels = _pixels(content)
    assert (pixels[:, :4] == INK).all()
    assert (pixels[:, 4:8] == 204).all()
    assert (pixels[:, 8:] == WHITE).all()


# What EXIF says of a picture: where the 0th row and the 0th column of the stored one belong.
STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright.swapaxes(0, 1)[::-1],
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
def test_a_turned_picture_is_set_upright(orientation: int, format_: str) -> None:
    upright = _noise(24, 40)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    options = {"lossless": True} if format_ == "WEBP" else {}
    content = encoded(stored, format_, exif=exif, **options)
    assert np.array_equal(_pixels(content), upright)
    taken = _taken(content)
    assert (taken.width, taken.height) == taken.original == (40, 24)
    assert Image.open(io.BytesIO(taken.content)).getexif().get(0x0112, 1) == 1


def test_a_turned_jpeg_is_set_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(_noise(24, 40)), "JPEG", exif=exif)
    assert np.array_equal(_pixels(content), np.rot90(pixels_of(content), -1))


def _swapped_primaries() -> bytes:
    """An ICC profile whose red is sRGB's green, whose green is its red; the tables are sRGB's own."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"tmp "), (b"gXYZ", b"rXYZ"), (b"tmp ", b"gXYZ")):
        profile = profile.replace(old, new, 1)
    return profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_another_colour_space_is_converted() -> None:
    profile = _swapped_primaries()
    pixels = scene(0, 40, 48)
    swapped = pixels[..., [1, 0, 2]]
    for content in (
        _png(pixels, icc_profile=profile),
        encoded(Image.fromarray(pixels), "WEBP", lossless=True, icc_profile=profile),
        encoded(Image.fromarray(pixels), "TIFF", icc_profile=profile),
        encoded(Image.fromarray(pixels).convert("RGBA"), "PNG", icc_profile=profile),
    ):
        np.testing.assert_allclose(_pixels(content).astype(int), swapped, atol=3)
        assert _taken(content).content != content
    palette = Image.fromarray(pixels).convert("P")
    before = np.asarray(palette.convert("RGB")).astype(int)
    after = _pixels(encoded(palette, "PNG", icc_profile=profile))
    np.testing.assert_allclose(after, before[..., [1, 0, 2]], atol=3)


def test_srgb_and_a_damaged_profile_leave_the_bytes_as_they_are() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile at all", _swapped_primaries()[:90]):
        content = _png(_noise(), icc_profile=profile)
        assert _taken(content).content == content
        assert np.array_equal(_pixels(content), _noise())


WIDTH_IN_WORDS = struct.pack(">HHI4s", 0x0100, 2, 4, b"abc")
UPSIDE_DOWN = struct.pack(">HHIHH", 0x0112, 3, 1, 3, 0)
EXIF = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + WIDTH_IN_WORDS + UPSIDE_DOWN + bytes(4)


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_a_damaged_exif_does_not_cost_the_picture(format_: str) -> None:
    options = {"lossless": True} if format_ == "WEBP" else {}
    partly = encoded(Image.fromarray(_noise()), format_, exif=EXIF, **options)
    assert np.array_equal(_pixels(partly), _noise()[::-1, ::-1])
    all_of_it = encoded(
        Image.fromarray(_noise()), format_, exif=EXIF.replace(b"MM", b"??"), **options
    )
    assert np.array_equal(_pixels(all_of_it), _noise())
