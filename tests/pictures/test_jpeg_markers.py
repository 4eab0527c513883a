"""JPEG files that would stall the decoder are known by their markers, whatever Pillow calls the file."""

import numpy as np
import pytest
from PIL import Image

from drdd.intake.decoding import Limits, decode, decode_and_verify
from drdd.pictures.jpeg_markers import MAX_MARKERS, MAX_SCANS
from drdd.pictures.opening import PictureError
from drdd.serving.problems import ProblemError
from drdd.serving.reading import header_of
from drdd.sources.entry import Blob
from tests.corpora import encoded, scene

LIMITS = Limits(1, 10**9, 10**9)
PICTURE = Image.fromarray(scene(0, 40, 48))
TEMPORARY = b"\xff\x01"  # a marker without a segment, which decoders pass over


def _with_scans(format_: str, count: int, between: bytes = b"") -> bytes:
    """A progressive file whose last scan is there `count` times more."""
    options = {"save_all": True, "append_images": [PICTURE]} if format_ == "MPO" else {}
    whole = encoded(PICTURE, format_, progressive=True, **options)
    end = whole.index(b"\xff\xd9")
    last = whole[whole.rindex(b"\xff\xda", 0, end) : end]
    return whole[:end] + (between + last) * count + whole[end:]


@pytest.mark.parametrize("between", [b"", TEMPORARY, TEMPORARY + b"\xff\xff", b"\xff\x00\x00"])
@pytest.mark.parametrize("format_", ["JPEG", "MPO"])
def test_endless_scans_are_refused_by_every_reader(format_: str, between: bytes) -> None:
    good, bad = (_with_scans(format_, count, between) for count in (20, MAX_SCANS))
    assert decode(Blob("x", good), LIMITS).shape == (40, 48, 3)
    assert header_of(good, 10**6).size == (48, 40)
    for reader in (decode, decode_and_verify):
        with pytest.raises(PictureError, match="the JPEG has more than 100 scans; save it anew"):
            reader(Blob("x", bad), LIMITS)
    with pytest.raises(ProblemError, match="more than 100 scans"):
        header_of(bad, 10**6)


def test_the_scans_of_a_second_picture_do_not_count() -> None:
    """Nothing decodes it."""
    whole, second = encoded(PICTURE, "JPEG"), _with_scans("JPEG", 2 * MAX_SCANS)
    pixels = decode(Blob("x", whole + second), LIMITS)
    assert np.array_equal(pixels, decode(Blob("x", whole), LIMITS))


def test_endless_segments_are_refused() -> None:
    whole, comment = encoded(PICTURE, "JPEG"), b"\xff\xfe\0\2"
    good, bad = (whole[:2] + comment * count + whole[2:] for count in (1000, MAX_MARKERS))
    assert np.array_equal(decode(Blob("x", good), LIMITS), decode(Blob("x", whole), LIMITS))
    with pytest.raises(PictureError, match="more than 10000 segments; save it anew"):
        decode(Blob("x", bad), LIMITS)
