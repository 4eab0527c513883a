"""PNG: all of its bits, its clear colour, what it says of its colours, and texts of any length."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from drdd.intake.decoding import decode, decode_and_verify
from drdd.pictures.colours import depth_of, opened
from drdd.pictures.opening import MAX_PROFILE, PictureError, decoding
from drdd.pictures.pixels import pixels_of
from drdd.pictures.profiles import made_profile
from drdd.sources.entry import Blob
from tests.corpora import encoded
from tests.pictures.decoded import ANY, GREY_55, LINEAR, SMALL, alpha_in, rgb_in, samples
from tests.pictures.pngs import COUNT, GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, made_png

PNGS = [(GREY, depth) for depth in (1, 2, 4, 8, 16)]
PNGS += [(kind, depth) for kind in (RGB, GREY_ALPHA, RGBA) for depth in (8, 16)]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("kind", "depth"), PNGS)
def test_a_png_keeps_all_of_its_bits(kind: int, depth: int, interlaced: bool) -> None:
    stored = samples(kind, depth)
    content = made_png(stored, kind, depth, interlaced=interlaced)
    values = np.rint(stored * (65535 / (2**depth - 1)))
    colours = 3 if kind in (RGB, RGBA) else 1
    assert np.array_equal(rgb_in(content, 16), np.broadcast_to(values[..., :colours], (9, 13, 3)))
    assert np.array_equal(rgb_in(content), np.rint(rgb_in(content, 16) / 257))
    alpha = alpha_in(content, 16)
    assert (alpha is not None) == (kind in (GREY_ALPHA, RGBA))
    assert alpha is None or np.array_equal(alpha, values[..., -1])
    with decoding():
        assert depth_of(opened(content)) == max(8, depth)


@pytest.mark.parametrize(("kind", "depth"), [p for p in PNGS if p[0] in (GREY, RGB)])
def test_the_colour_that_a_png_calls_clear_is_clear(kind: int, depth: int) -> None:
    stored = samples(kind, depth)
    stored[3, 5], clear = stored[0, 0], stored[0, 0]
    content = made_png(stored, kind, depth, (b"tRNS", struct.pack(f">{len(clear)}H", *clear)))
    alpha = alpha_in(content)
    assert np.array_equal(alpha == 0, (stored == clear).all(axis=2))
    assert np.array_equal(decode(Blob("x", content), ANY)[0, 0], [255, 255, 255])


# --- what a PNG says of its colours

CHROMA_P3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
CHROMA_SRGB = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def _gamma(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 1e5))


def _profile(profile: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"x\0\0" + zlib.compress(profile)


SAID: dict[str, tuple[list[tuple[bytes, bytes]], int]] = {
    "nothing": ([], 55),
    "gamma 1": ([_gamma(1)], 128),
    "gamma 0.45455": ([_gamma(0.45455)], 55),
    "gamma 0.45": ([_gamma(0.45)], 55),
    "gamma 0.55556": ([_gamma(1 / 1.8)], 72),
    "gamma 0": ([_gamma(0)], 55),
    "gamma 1, sRGB": ([(b"sRGB", b"\0"), _gamma(1)], 55),
    "gamma 1, profile of sRGB": ([_profile(made_profile()), _gamma(1)], 55),
    "profile": ([_profile(LINEAR)], 128),
    "primaries of sRGB": ([(b"cHRM", CHROMA_SRGB), _gamma(0.45455)], 55),
    "primaries of P3": ([(b"cHRM", CHROMA_P3), _gamma(0.45455)], 55),
    "primaries of nothing": ([(b"cHRM", bytes(32)), _gamma(1)], 128),
    "code points of sRGB": ([(b"cICP", b"\1\r\0\1"), _profile(LINEAR)], 55),
    "code points, linear": ([(b"cICP", b"\1\x08\0\1")], 128),
}


@pytest.mark.parametrize("kind", [GREY, RGB, GREY_ALPHA, RGBA, PALETTE])
@pytest.mark.parametrize("said", sorted(SAID))
def test_a_png_is_taken_at_its_word_about_gamma(said: str, kind: int) -> None:
    chunks, expected = SAID[said]
    depths = (8,) if kind == PALETTE else (8, 16)
    for depth in depths:
        stored = np.full((4, 4, COUNT[kind]), 55 if depth == 8 else 55 * 257)
        palette = [(b"PLTE", bytes([55] * 168))] if kind == PALETTE else []
        pixels = rgb_in(made_png(stored, kind, depth, *chunks, *palette))
        np.testing.assert_allclose(pixels, expected, atol=1)


def test_the_primaries_of_a_png_are_converted() -> None:
    """By the matrix from Display P3 to sRGB: 1.2249 -0.2247 0; -0.0420 1.0419 0; -0.0197 -0.0786 1.0979."""
    stored = np.broadcast_to([200, 100, 50], (4, 4, 3))
    for chunks in ([(b"cHRM", CHROMA_P3)], [(b"cICP", b"\x0c\r\0\1")]):
        pixels = rgb_in(made_png(stored.astype(np.uint8), RGB, 8, *chunks))
        np.testing.assert_allclose(pixels[0, 0], [215, 93, 31], atol=1)


# --- long texts and profiles


def _text(name: bytes, size: int) -> bytes:
    packed = zlib.compress(b"node " * (size // 5))
    head = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0"}[name]
    return chunk(name, head + packed)


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt"])
@pytest.mark.parametrize("size", [2_000_000, 200_000_000])
def test_a_long_text_costs_neither_the_picture_nor_memory(name: bytes, size: int) -> None:
    """One of 2 MB; a hundred, each of 200 MB, that were 40 kB a piece."""
    pixels = np.asarray(SMALL)
    texts = _text(name, size) * (100 if size > 10**7 else 1)
    whole = made_png(pixels, RGB, 8)
    start = whole.index(b"IDAT") - 4
    before = whole[:start] + texts + whole[start:]
    for content in (before, made_png(pixels, RGB, 8, after=texts)):
        tracemalloc.start()
        assert np.array_equal(rgb_in(content), pixels)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
        tracemalloc.stop()
        taken = decode_and_verify(Blob("x", content), ANY)
        assert np.array_equal(pixels_of(taken.content), pixels)


def test_a_png_of_endless_chunks_is_refused() -> None:
    empty = chunk(b"tEXt", b"")
    assert np.array_equal(
        rgb_in(made_png(np.asarray(SMALL), RGB, 8, after=empty * 1000)), np.asarray(SMALL)
    )
    with pytest.raises(PictureError, match="more than 250000 chunks"):
        rgb_in(made_png(np.asarray(SMALL), RGB, 8, after=empty * 250_000))


def test_short_texts_are_still_read() -> None:
    """Where one tells how the picture is turned, say."""
    exif = Image.Exif()
    exif[0x0112] = 3
    raw = b"\nexif\n%8d\n" % len(exif.tobytes()) + exif.tobytes().hex().encode()
    text = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw))
    content = made_png(np.asarray(SMALL), RGB, 8, after=text + _text(b"zTXt", 3_000_000))
    assert np.array_equal(rgb_in(content), np.asarray(SMALL)[::-1, ::-1])


def test_a_profile_of_megabytes_is_applied_and_one_beyond_the_limit_refused() -> None:
    padded = LINEAR + bytes(3_000_000)
    content = encoded(Image.fromarray(GREY_55), "PNG", icc_profile=padded)
    np.testing.assert_allclose(rgb_in(content), 128, atol=1)
    bomb = encoded(Image.fromarray(GREY_55), "PNG", icc_profile=LINEAR + bytes(20 * MAX_PROFILE))
    tracemalloc.start()
    with pytest.raises(PictureError, match="more than 8 MiB"):
        rgb_in(bomb)
    assert tracemalloc.get_traced_memory()[1] < 5 * MAX_PROFILE
    tracemalloc.stop()
