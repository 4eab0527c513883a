"""Every file of a corpus ends exactly once: as a photograph, or set aside with its name and reason."""

import io

import numpy as np
import pytest
from PIL import Image

from drdd.data.intake import Limits, Photograph, decode, take_in
from drdd.data.sources import Blob, Unreadable

LIMITS = Limits(min_side=8, max_side=64, max_pixels=10_000)


def _pixels(seed: int = 0, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _file(image: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def _png(pixels: np.ndarray) -> bytes:
    return _file(Image.fromarray(pixels), "PNG")


GOOD = _png(_pixels())
JPEG = _file(Image.fromarray(_pixels(1, 40, 40)), "JPEG")
BAD = {
    "empty.png": (b"", "empty file"),
    "cut.png": (GOOD[: len(GOOD) // 2], "cut short"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "cut short"),
    "text.jpg": (b"these are words, no image", "no image"),
    "bomb.png": (_png(np.zeros((200, 200, 3), np.uint8)), "over the limit"),
    "dot.png": (_png(np.zeros((1, 1, 3), np.uint8)), "smaller than 8"),
    "header.png": (GOOD[:20], "cut short"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_file_is_set_aside_with_its_reason(name: str) -> None:
    content, reason = BAD[name]
    photographs, rejected = take_in([Blob("good.png", GOOD), Blob(name, content)], LIMITS)
    assert [p.name for p in photographs] == ["good.png"]
    assert [r.name for r in rejected] == [name]
    assert reason in rejected[0].reason


def test_all_bad_files_together_lose_no_good_one() -> None:
    blobs: list[Blob | Unreadable] = [Blob(name, content) for name, (content, _) in BAD.items()]
    blobs[3:3] = [Blob("good.png", GOOD), Unreadable("locked.png", "permission denied")]
    blobs.append(Blob("copy.png", GOOD))
    photographs, rejected = take_in(blobs, LIMITS)
    assert [p.name for p in photographs] == ["good.png"]
    assert {r.name for r in rejected} == {*BAD, "locked.png", "copy.png"}
    assert len(rejected) == len(BAD) + 2
    assert next(r.reason for r in rejected if r.name == "copy.png") == "same pixels as good.png"


def _decode(content: bytes) -> Photograph:
    return decode(Blob("x", content), LIMITS)


def test_pixels_come_through_unchanged() -> None:
    photograph = _decode(GOOD)
    assert np.array_equal(photograph.pixels, _pixels())
    assert photograph.id == _decode(_file(Image.fromarray(_pixels()), "BMP")).id


def test_the_wrong_extension_does_not_matter() -> None:
    assert take_in([Blob("png.jpg", GOOD)], LIMITS)[0][0].pixels.shape == (20, 30, 3)


def test_odd_kinds_become_rgb() -> None:
    rgb = Image.fromarray(_pixels())
    palette = _file(rgb.convert("P"), "PNG")
    cmyk = _file(rgb.convert("CMYK"), "JPEG")
    grey = _file(rgb.convert("L"), "PNG")
    one_bit = _file(rgb.convert("1"), "PNG")
    gif = _file(
        rgb, "GIF", save_all=True, append_images=[rgb.transpose(Image.Transpose.ROTATE_180)]
    )
    for content in (palette, cmyk, grey, one_bit, gif):
        pixels = _decode(content).pixels
        assert pixels.shape == (20, 30, 3)
        assert pixels.dtype == np.uint8


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = np.linspace(0, 65535, 20 * 30).reshape(20, 30).astype(np.uint16)
    for format_ in ("PNG", "TIFF"):
        pixels = _decode(_file(Image.fromarray(grey), format_)).pixels
        np.testing.assert_allclose(pixels[..., 0], grey / 257, atol=0.51)


def test_transparency_is_laid_on_white() -> None:
    layer = np.zeros((20, 30, 4), np.uint8)
    layer[:, :10] = (10, 20, 30, 255)
    pixels = _decode(_file(Image.fromarray(layer), "PNG")).pixels
    assert (pixels[:, :10] == (10, 20, 30)).all()
    assert (pixels[:, 10:] == 255).all()


def test_a_turned_photograph_is_set_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    content = _file(Image.fromarray(_pixels(0, 24, 40)), "JPEG", exif=exif)
    assert _decode(content).pixels.shape == (40, 24, 3)


def test_a_large_photograph_is_scaled_down_in_proportion() -> None:
    assert _decode(_png(_pixels(0, 50, 100))).pixels.shape == (32, 64, 3)
