"""Transparency and 16 bits of an input are in the output, to the bit; what a format lacks is said."""

import io
from typing import Any

import numpy as np
import pytest
import tifffile

from drdd.errors import UserError
from drdd.formats.carried import Keeping
from drdd.formats.writing import encoded
from drdd.pictures.profiles import eight_bits
from tests.formats.samples import (
    LOSSLESS,
    P3,
    SCENE,
    image_of,
    passed,
    read,
    samples_of_png,
    saved,
)
from tests.pictures.pngs import RGB, RGBA, made_png
from tests.pictures.tiffs import SHORT, made_tiff

ALPHA = np.random.default_rng(1).integers(0, 256, (24, 40), dtype=np.uint8)


DEEP = np.random.default_rng(2).integers(0, 65536, (24, 40, 4), dtype=np.uint16)


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("given", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_as_it_was(given: str, format_: str) -> None:
    written = passed(saved(np.dstack([SCENE, ALPHA]), given), format_=format_)
    image = image_of(written.content)
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image)[..., 3], ALPHA)
    if format_ in LOSSLESS:
        assert np.array_equal(np.asarray(image)[..., :3], SCENE)


def test_a_jpeg_is_laid_on_white_and_says_so() -> None:
    written = passed(saved(np.dstack([SCENE, ALPHA * 0])), format_="JPEG")
    assert np.asarray(image_of(written.content)).min() > 250
    assert written.said == ("transparency -> white, as JPEG has none",)
    source = read(saved(np.dstack([SCENE, ALPHA])))
    with pytest.raises(UserError, match="JPEG has no transparency; write PNG or TIFF or WEBP"):
        encoded(source.pixels, source.carried, Keeping(), "JPEG")


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("given", ["PNG", "TIFF", "TIFF >"])
def test_sixteen_bits_are_kept(given: str, channels: int) -> None:
    levels = DEEP[..., :channels]
    if given == "PNG":
        content = made_png(levels, RGB if channels == 3 else RGBA, 16)
    else:
        tags: Any = {338: (SHORT, [2])} if channels == 4 else {}
        content = made_tiff(levels, 2, order=">" if ">" in given else "<", tags=tags)
    png = passed(content, format_="PNG")
    assert np.array_equal(samples_of_png(png.content), levels)
    written = passed(content, format_="TIFF")
    assert np.array_equal(tifffile.imread(io.BytesIO(written.content)), levels)
    assert written.said == png.said == ()
    eight = passed(content, Keeping(depth=8), "PNG")
    found = samples_of_png(eight.content)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(float) - levels / 257).max() <= 0.501
    assert eight.said == ()
    jpeg = passed(content, format_="JPEG")
    assert "16 bits -> 8, as JPEG has" in jpeg.said


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_eight_bits_become_sixteen_on_request(format_: str) -> None:
    written = passed(saved(SCENE), Keeping(depth=16), format_)
    if format_ == "PNG":
        found = samples_of_png(written.content)
    else:
        found = tifffile.imread(io.BytesIO(written.content))
    assert np.array_equal(found, SCENE.astype(np.uint16) * 257)


@pytest.mark.parametrize("format_", ["JPEG", "WEBP"])
def test_a_depth_that_the_format_does_not_hold_is_refused(format_: str) -> None:
    with pytest.raises(UserError, match=f"{format_} has 8 bits a channel, not 16; write PNG"):
        Keeping(depth=16).check(format_)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"depth": 12}, "depth must be one of 8, 16, input, got 12"),
        ({"depth": "16"}, "depth must be one of 8, 16, input, got '16'"),
        ({"profile": "keep it"}, "profile must be one of srgb, keep, got 'keep it'"),
        ({"metadata": None}, "metadata must be one of all, anonymous, none, got None"),
    ],
)
def test_what_cannot_be_kept_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        Keeping(**wrong)
    assert str(refused.value) == said


def test_what_cannot_be_written_is_refused() -> None:
    source = read(saved(SCENE))
    with pytest.raises(UserError, match="'GIF' is no format that is written; one of JPEG, PNG"):
        encoded(source.pixels, source.carried, Keeping(), "GIF")
    with pytest.raises(UserError, match="pixels of float64 were given; a file holds uint8"):
        encoded(source.pixels / 255, source.carried, Keeping(), "PNG")
    wide = np.zeros((1, 70_000, 3), np.uint8)
    source = read(saved(wide), format_="JPEG")
    with pytest.raises(UserError, match="cannot be written as JPEG: "):
        encoded(source.pixels, source.carried, Keeping(), "JPEG")


@pytest.mark.parametrize("depth", [8, 16])
def test_restored_pixels_of_another_depth_become_those_of_the_output(depth: Any) -> None:
    keeping = Keeping(depth=depth, profile="keep")
    source = read(saved(SCENE, icc_profile=P3), keeping)
    eight = SCENE if depth == 8 else SCENE.astype(np.uint16) * 257
    other = source.pixels.astype(np.uint16) * 257 if depth == 8 else eight_bits(source.pixels)
    written = encoded(other, source.carried, keeping, "PNG")
    found = samples_of_png(written.content).astype(int)
    assert np.abs(found - eight).max() <= (0 if depth == 8 else 600)
