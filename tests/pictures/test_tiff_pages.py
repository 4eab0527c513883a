"""Which page of a TIFF is read; which kinds are refused, and why; and damage of every kind."""

import io
import tracemalloc

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from drdd.intake.decoding import decode, decode_and_verify
from drdd.pictures.opening import PictureError
from drdd.pictures.pixels import pixels_of
from drdd.sources.entry import Blob
from tests.pictures.decoded import ANY, Levels, rgb_in
from tests.pictures.tiffs import LONG, RATIONAL, SHORT, UNDEFINED, Tags, made_tiff


def test_a_preview_before_the_picture_is_passed_over() -> None:
    rng = np.random.default_rng(5)
    small, whole = (rng.integers(0, 256, (n, n, 3), dtype=np.uint8) for n in (8, 32))
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        file.write(small, photometric="rgb", subfiletype=1)
        file.write(whole, photometric="rgb")
        file.write(small, photometric="rgb")
    assert np.array_equal(rgb_in(out.getvalue()), whole)


GREY = np.zeros((8, 8, 1), np.uint8)
COLOUR = np.zeros((8, 8, 3), np.uint8)
FLOATS = np.linspace(-0.5, 200, 64, dtype=np.float32).reshape(8, 8, 1)
DOUBLES = np.zeros((8, 8, 3))
NAN = np.full((8, 8, 1), np.nan, np.float32)
REFUSED = {
    "signed integers": made_tiff(GREY.astype(np.int16), 1),
    "floating-point samples from -0.5 to 200": made_tiff(FLOATS, 1),
    "floating-point samples from nan": made_tiff(NAN, 1),
    "CFA": made_tiff(GREY, 32803),
    "linear raw": made_tiff(COLOUR.astype(np.uint16), 34892),
    "LogLuv": made_tiff(COLOUR, 32845),
    "ITU L": made_tiff(COLOUR, 10),
    "a mask": made_tiff(GREY, 4, bits=1),
    "preview": made_tiff(COLOUR, 2, tags={254: (LONG, [1])}),
    "DNG": made_tiff(COLOUR, 2, tags={50706: (UNDEFINED, [1, 4, 0, 0])}),
    "photometric interpretation 77": made_tiff(GREY, 77),
    "different sizes": made_tiff(COLOUR, 2, tags={258: (SHORT, [5, 6, 5])}),
    "not CMYK": made_tiff(np.zeros((8, 8, 4), np.uint8), 5, tags={332: (SHORT, [2])}),
    "meaning is not stated": made_tiff(COLOUR, 1, tags={338: (SHORT, [0, 0])}),
    "floating-point samples of 24 bits": made_tiff(
        GREY.astype(np.float32), 1, tags={258: (SHORT, [24])}
    ),
    "complex numbers": made_tiff(GREY.astype(np.float64), 1, tags={339: (SHORT, [6])}),
    "integer samples of 64 bits": made_tiff(GREY.astype(np.uint64), 1),
    "predictor 2 with 4 bits": made_tiff(
        GREY, 1, bits=4, compression="lzw", tags={317: (SHORT, [2])}
    ),
    "predictor 2 with compression 32773": made_tiff(GREY, 1, compression="packbits", predictor=2),
    "predictor 2 with compression 1 ": made_tiff(GREY, 1, tags={317: (SHORT, [2])}),
    "compression 34712": made_tiff(GREY, 1, tags={259: (SHORT, [34712])}),
    "cut short: it has 1 of 2 strips": made_tiff(GREY, 1, tags={278: (LONG, [4])}),
    "cut short: a strip or tile has fewer": made_tiff(GREY, 1, tags={279: (LONG, [63])}),
    "beyond the end of the file": made_tiff(GREY, 1)[:-40],
    "strips or tiles overlap": made_tiff(GREY, 1, rows=1, tags={279: (LONG, [10**6] * 8)}),
    "far more pixels": made_tiff(GREY, 1, tags={256: (LONG, [2**16]), 257: (LONG, [2**16])}),
    "more than 2 GiB": made_tiff(DOUBLES, 2, tags={256: (LONG, [2**14]), 257: (LONG, [2**13])}),
    "a palette of another length": made_tiff(GREY, 3, tags={320: (SHORT, [0] * 30)}),
}


@pytest.mark.parametrize("reason", sorted(REFUSED))
def test_a_tiff_that_is_not_read_says_why(reason: str) -> None:
    with pytest.raises(PictureError) as refused:
        rgb_in(REFUSED[reason])
    assert reason in str(refused.value)
    assert str(refused.value).count(".") <= 4


SAMPLES = [
    ("u", 1),
    ("u", 4),
    ("u", 8),
    ("u", 12),
    ("u", 16),
    ("u", 32),
    ("f", 16),
    ("f", 32),
    ("f", 64),
]


def _random(kind: str, bits: int, count: int) -> Levels:
    rng = np.random.default_rng(bits)
    if kind == "f":
        return rng.random((21, 19, count)).astype(f"f{bits // 8}")
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    return rng.integers(0, 2**bits, (21, 19, count)).astype(f"u{size}")


KINDS = {
    **{
        f"{kind}{bits}": made_tiff(_random(kind, bits, 3), 2, bits=bits, rows=5)
        for kind, bits in SAMPLES
    },
    "premultiplied": made_tiff(_random("u", 16, 4), 2, compression="lzw", tags={338: (SHORT, [1])}),
    "tiles": made_tiff(_random("u", 8, 3), 2, tile=(16, 16), compression="deflate", predictor=2),
    "palette": made_tiff(GREY, 3, tags={320: (SHORT, [9] * 768)}),
    "Lab": made_tiff(COLOUR, 8),
    "video": made_tiff(
        np.full((4, 4, 6), 9, np.uint8),
        6,
        tags={
            256: (LONG, [8]),
            257: (LONG, [8]),
            258: (SHORT, [8, 8, 8]),
            277: (SHORT, [3]),
            278: (LONG, [8]),
            529: (RATIONAL, [299, 1000, 587, 1000, 114, 1000]),
            530: (SHORT, [2, 2]),
            532: (RATIONAL, [0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1]),
        },
    ),
}


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_tags_give_a_picture_or_a_reason(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    content = bytearray(KINDS[kind])
    start = max(0, len(content) - 300)  # where the tags are
    places = st.one_of(st.integers(0, 7), st.integers(start, len(content) - 1))
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        content[place] = data.draw(st.one_of(st.integers(0, 33), st.integers(0, 255)))
    blob = Blob(kind, bytes(content))
    try:
        taken = decode_and_verify(blob, ANY)
    except PictureError:
        return
    assert np.array_equal(pixels_of(taken.content), decode(blob, ANY))


def test_a_strip_that_inflates_beyond_its_pixels_costs_no_memory() -> None:
    """A strip of 64 MiB behind a header of 8 x 8 pixels."""
    white = np.zeros((2**13, 2**13, 1), np.uint8)
    claims: Tags = {256: (LONG, [8]), 257: (LONG, [8]), 278: (LONG, [8])}
    content = made_tiff(white, 1, compression="deflate", tags=claims)
    tracemalloc.start()
    assert rgb_in(content).shape == (8, 8, 3)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
