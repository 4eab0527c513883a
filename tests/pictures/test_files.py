"""Picture files are lossless where they say so."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from drdd.pictures import files
from drdd.pictures.files import png, quick_png
from drdd.pictures.pixels import Pixels, pixels_of


@settings(max_examples=50, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 1000))
def test_a_quick_png_is_lossless_at_any_size(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert np.array_equal(pixels_of(quick_png(pixels)), pixels)


@pytest.mark.parametrize("picture", [data.coffee(), data.chelsea()[::-1, ::-1]])
def test_a_quick_png_is_an_ordinary_png_of_about_its_size(picture: Pixels) -> None:
    content = quick_png(picture)
    image = Image.open(io.BytesIO(content))
    image.verify()  # its checksums
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", picture.shape[1::-1])
    assert len(content) < 1.15 * len(png(picture)) < picture.nbytes
    assert content == quick_png(np.ascontiguousarray(picture))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_quick_png_is_the_same_in_bands(
    channels: int, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of large pictures are filtered some at a time, which needs less memory."""
    ramp = np.arange(90 * 70 * channels).reshape(90, 70, channels) // 7
    levels: NDArray[Any] = ramp.astype(dtype)
    whole = quick_png(levels)
    for rows in (1, 7, 89):
        monkeypatch.setattr(files, "BAND", rows * 70 * channels * levels.dtype.itemsize)
        assert quick_png(levels) == whole
