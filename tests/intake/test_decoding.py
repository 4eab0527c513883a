"""One file becomes a picture, RGB, upright and within the limits, or a reason why it is none."""

import io
import struct
import zlib
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drdd.intake.decoding import Limits, decode, decode_and_verify
from drdd.pictures.pixels import Picture, pixels_of
from drdd.sources.entry import Blob
from tests.corpora import Pixels, encoded

LIMITS = Limits(min_side=8, max_side=64, max_pixels=10_000)


def _noise(seed: int = 0, height: int = 20, width: int = 30) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _png(pixels: Pixels, **options: object) -> bytes:
    return encoded(Image.fromarray(pixels), "PNG", **options)


def _taken(content: bytes, limits: Limits = LIMITS) -> Picture:
    return decode_and_verify(Blob("x", content), limits)


def _pixels(content: bytes, limits: Limits = LIMITS) -> Pixels:
    """Of a file that is taken in; the same by both ways."""
    taken = pixels_of(_taken(content, limits).content)
    assert np.array_equal(taken, decode(Blob("x", content), limits))
    return taken


RGB = Image.fromarray(_noise())
TURNED = RGB.transpose(Image.Transpose.ROTATE_180)
KEPT = {
    "PNG": encoded(RGB, "PNG"),
    "PNG, grey": encoded(RGB.convert("L"), "PNG"),
    "PNG, palette": encoded(RGB.convert("P"), "PNG"),
    "PNG, one bit": encoded(RGB.convert("1"), "PNG"),
    "JPEG": encoded(RGB, "JPEG", quality=80),
    "JPEG, progressive, grey": encoded(RGB.convert("L"), "JPEG", progressive=True),
    "WebP": encoded(RGB, "WEBP", quality=70),
}
MADE_ANEW = {
    "BMP": encoded(RGB, "BMP"),
    "TIFF": encoded(RGB, "TIFF", compression="tiff_lzw"),
    "PPM": encoded(RGB, "PPM"),
    "JPEG, CMYK": encoded(RGB.convert("CMYK"), "JPEG"),
    "GIF": encoded(RGB, "GIF"),
    "GIF, animated": encoded(RGB, "GIF", save_all=True, append_images=[TURNED]),
    "PNG, animated": encoded(RGB, "PNG", save_all=True, append_images=[TURNED]),
    "WebP, animated": encoded(RGB, "WEBP", save_all=True, append_images=[TURNED], lossless=True),
    "PNG, alpha": encoded(RGB.convert("RGBA"), "PNG"),
    "PNG, grey with alpha": encoded(RGB.convert("LA"), "PNG"),
    "PNG, too large": _png(_noise(1, 50, 100)),
}


@pytest.mark.parametrize("kind", sorted(KEPT))
def test_a_file_that_needs_no_change_keeps_its_own_bytes(kind: str) -> None:
    content = KEPT[kind]
    taken = _taken(content)
    assert taken.content == content
    assert _pixels(content).shape == (20, 30, 3)
    reference = Image.open(io.BytesIO(content)).convert("RGB")
    assert np.array_equal(_pixels(content), np.asarray(reference))


@pytest.mark.parametrize("kind", sorted(MADE_ANEW))
def test_any_other_becomes_a_png_without_loss(kind: str) -> None:
    taken = _taken(MADE_ANEW[kind])
    assert Image.open(io.BytesIO(taken.content)).format == "PNG"
    pixels = _pixels(MADE_ANEW[kind])
    assert (taken.height, taken.width, 3) == pixels.shape


@pytest.mark.parametrize("kind", sorted(KEPT | MADE_ANEW))
def test_the_id_is_the_contents_hash_and_the_same_again(kind: str) -> None:
    content = (KEPT | MADE_ANEW)[kind]
    taken = _taken(content)
    assert taken.id == sha256(taken.content).hexdigest()
    assert _taken(content).id == taken.id


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM", "PNG, animated", "WebP, animated"])
def test_what_was_stored_without_loss_comes_through_unchanged(kind: str) -> None:
    assert np.array_equal(_pixels(MADE_ANEW[kind]), _noise())


def test_an_animation_gives_its_first_frame() -> None:
    first = np.asarray(Image.open(io.BytesIO(MADE_ANEW["GIF"])).convert("RGB"))
    assert np.array_equal(_pixels(MADE_ANEW["GIF, animated"]), first)


GOOD, JPEG = KEPT["PNG"], encoded(Image.fromarray(_noise(1, 40, 40)), "JPEG")
FLOATS = Image.fromarray(np.linspace(0, 255, 600, dtype=np.float32).reshape(20, 30))
BAD = {
    "empty.png": (b"", "empty file"),
    "cut.png": (GOOD[: len(GOOD) // 2], "cut short"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "cut short"),
    "text.jpg": (b"these are words, no image", "no image"),
    "bomb.png": (_png(np.zeros((200, 200, 3), np.uint8)), "claims 200 x 200 pixels, over"),
    "dot.png": (_png(np.zeros((1, 1, 3), np.uint8)), "1 x 1 pixels, smaller than 8"),
    "header.png": (GOOD[:20], "cut short"),
    "float.tif": (encoded(FLOATS, "TIFF"), "floating-point samples from 0 to 255; 0 is black"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_file_is_refused_with_its_reason(name: str) -> None:
    content, reason = BAD[name]
    for reader in (decode_and_verify, decode):
        with pytest.raises(ValueError, match=reason):
            reader(Blob(name, content), LIMITS)


def _claiming(width: int, height: int) -> bytes:
    """A sound PNG header, and a chunk of pixels that holds none."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"\0\0\0\r", head, struct.pack(">I", zlib.crc32(head)), b"\0\0\0\x09IDAT")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_bomb_is_refused_by_its_claim() -> None:
    """Nothing is there to be decoded: had it been tried, the reason would be another."""
    with pytest.raises(ValueError, match="claims 5000 x 5000 pixels, over the limit"):
        _taken(_claiming(5000, 5000))
    with pytest.raises(ValueError, match="claims far more pixels than are decoded"):
        _taken(_claiming(2**20, 2**20))


def test_the_limits_are_sharp() -> None:
    assert _pixels(_png(_noise(0, 8, 64))).shape == (8, 64, 3)
    with pytest.raises(ValueError, match="64 x 7 pixels, smaller than 8 on a side"):
        _taken(_png(_noise(0, 7, 64)))
    assert _pixels(_png(_noise(0, 100, 100))).shape == (64, 64, 3)
    with pytest.raises(ValueError, match="claims 101 x 100 pixels"):
        _taken(_png(_noise(0, 100, 101)))


@given(st.integers(8, 300), st.integers(8, 300))
@settings(max_examples=25, deadline=None)
def test_a_large_picture_is_scaled_down_in_proportion(height: int, width: int) -> None:
    limits = Limits(min_side=1, max_side=50, max_pixels=10**6)
    taken = _taken(_png(np.zeros((height, width, 3), np.uint8)), limits)
    assert taken.original == (width, height)
    larger = max(height, width)
    if larger <= 50:
        assert (taken.width, taken.height) == (width, height)
    else:
        assert max(taken.width, taken.height) == 50
        assert abs(taken.width - width * 50 / larger) <= 0.5
        assert abs(taken.height - height * 50 / larger) <= 0.5


def test_a_strip_that_scaling_makes_too_thin_is_refused() -> None:
    with pytest.raises(ValueError, match="smaller than 8 on a side"):
        _taken(_png(np.zeros((10, 200, 3), np.uint8)))


def test_what_is_known_of_a_picture_is_true() -> None:
    pixels = np.empty((32, 48, 3), np.uint8)
    pixels[:, :24], pixels[:, 24:] = (10, 20, 30), (110, 220, 40)
    taken = _taken(_png(pixels))
    assert taken.mean == pytest.approx((60, 120, 35))
    assert taken.mean_square == pytest.approx(((100 + 12100) / 2, (400 + 48400) / 2, 1250))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 48), (64, 64), (300, 200)])
def test_the_thumbnail_of_a_slope_is_the_slope(height: int, width: int) -> None:
    """At the middle of each of 16 x 16 parts, whatever the size of the picture."""
    down, right = ((np.arange(side) + 0.5) / side * 200 for side in (height, width))
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = down[:, None], right, 77
    small = _taken(_png(pixels), Limits(8, 300, 10**6)).thumbnail
    assert small.shape == (16, 16, 3)
    parts = (np.arange(16) + 0.5) / 16 * 200
    inner = slice(1, -1)  # at the border the slope ends
    np.testing.assert_allclose(small[inner, :, 0], np.tile(parts[inner, None], (1, 16)), atol=2)
    np.testing.assert_allclose(small[:, inner, 1], np.tile(parts[inner], (16, 1)), atol=2)
    assert (small[..., 2] == 77).all()


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_gives_a_picture_or_a_reason_never_another_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(KEPT | MADE_ANEW)))
    content = bytearray((KEPT | MADE_ANEW)[kind])
    places = st.integers(0, min(len(content), 400) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    blob = Blob(kind, bytes(content))
    try:
        taken = decode_and_verify(blob, LIMITS)
    except ValueError:
        return
    assert np.array_equal(pixels_of(taken.content), decode(blob, LIMITS))
