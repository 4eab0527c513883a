"""What may be handed to the engine, what comes back, and what is refused in one sentence."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from drdd.errors import UserError
from drdd.inference.engine import Restorer
from drdd.inference.given import taken
from drdd.inference.options import Options
from drdd.pictures.profiles import made_profile
from tests.inference.test_engine import make_model

RGB = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
ALPHA = np.random.default_rng(1).integers(0, 256, (20, 24), dtype=np.uint8)
SIDE = np.zeros((20, 24), bool)
SIDE[4:12, 5:20] = True


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return Restorer.from_folder(make_model(tmp_path_factory.mktemp("model"), fill=0.5))


def _far(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).max())


def test_the_same_picture_in_every_type_is_restored_to_the_same_levels(restorer: Restorer) -> None:
    plain = restorer.restore(RGB, key="a").output
    assert plain.dtype == np.uint8
    finer = restorer.restore(RGB.astype(np.uint16) * 257, key="a").output
    assert finer.dtype == np.uint16
    assert _far(finer / 257, plain) <= 0.51
    floats = restorer.restore(RGB.astype(np.float64) / 255, key="a").output
    assert floats.dtype == np.float32
    assert _far(floats * 255, plain) <= 0.51
    assert len(np.unique(finer % 257)) > 100, "a 16-bit output has more than 256 levels"


def test_grey_alpha_and_pictures_of_pillow_are_taken(restorer: Restorer) -> None:
    plain = restorer.restore(RGB).output
    assert np.array_equal(restorer.restore(Image.fromarray(RGB)).output, plain)
    with_alpha = restorer.restore(np.dstack([RGB, ALPHA])).output
    assert np.array_equal(with_alpha, np.dstack([plain, ALPHA]))
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    assert np.array_equal(restorer.restore(rgba).output, with_alpha)
    three = restorer.restore(np.repeat(RGB[..., :1], 3, axis=2)).output
    for grey in (RGB[..., 0], RGB[..., :1], Image.fromarray(RGB[..., 0])):
        assert np.array_equal(restorer.restore(grey).output, three)


def test_a_picture_of_pillow_is_turned_upright_once(restorer: Restorer) -> None:
    turned = Image.fromarray(np.rot90(RGB))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    turned.info["exif"] = exif.tobytes()
    given = taken(turned)
    assert np.array_equal(given.original, RGB)


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (RGB.transpose(2, 0, 1), r"shape \(3, 20, 24\) .* looks like \(C, H, W\)"),
        (RGB[None], r"shape \(1, 20, 24, 3\) was given"),
        (RGB[..., :2], r"shape \(20, 24, 2\) was given"),
        (RGB[:0], "which has no pixels"),
        (RGB.astype(np.int64), "an array of int64 was given"),
        (RGB.astype(np.float32), "an array of float32 from 0 to 255 was given"),
        (RGB / 127.5 - 1, "an array of float64 from -1 to 1 was given"),
        (np.full((4, 4, 3), np.nan), "NaN or infinite"),
        (RGB > 128, "an array of bool was given"),
        (RGB.astype(object), "an array of object was given"),
        (torch.zeros(1, 3, 8, 8), r"a tensor of shape \(1, 3, 8, 8\) and torch.float32 was given"),
        (RGB.tolist(), "a value of type list was given"),
        ("photo.png", r"a value of type str was given.*PIL\.Image\.open\(path\)"),
        (Path("photo.png"), r"Path was given.*PIL\.Image\.open\(path\)"),
        (b"\x89PNG", r"a value of type bytes was given.*io\.BytesIO"),
        ([RGB], r"a value of type list was given.*restore_batch"),
        (np.ma.masked_array(RGB), r"a masked array was given"),
        (RGB.astype(np.complex64), "an array of complex64 was given"),
        (Image.new("I", (4, 4)), "the white of mode I is not known"),
        (Image.new("F", (4, 4)), "the white of mode F is not known"),
        (Image.new("RGB", (0, 4)), "Pillow of 0 x 4 pixels was given"),
        (None, "a value of type NoneType was given"),
    ],
)
def test_what_is_no_picture_is_refused(restorer: Restorer, picture: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        restorer.restore(picture)
    assert isinstance(picture, Image.Image) or "(H, W, 3)" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_outside_the_mask_every_pixel_is_the_inputs(restorer: Restorer) -> None:
    restored = restorer.restore(RGB, Options(states=True), mask=SIDE)
    assert np.array_equal(restored.output[~SIDE], RGB[~SIDE])
    assert not np.array_equal(restored.output[SIDE], RGB[SIDE])
    assert np.array_equal(restored.states[-1].pixels, restored.output)


def test_what_lies_under_the_mask_decides_nothing(restorer: Restorer) -> None:
    other = RGB.copy()
    other[SIDE] = 255 - other[SIDE]
    one, two = restorer.restore_batch([RGB, other], masks=[SIDE, SIDE])
    assert np.array_equal(one.output, two.output)
    grey = RGB.copy()
    grey[SIDE] = 128
    assert np.array_equal(one.output[SIDE], restorer.restore(grey).output[SIDE])


@pytest.mark.parametrize("mask", [SIDE.astype(np.uint8), SIDE * 255, SIDE.astype(float) / 2])
def test_a_mask_is_what_is_not_zero(restorer: Restorer, mask: NDArray[Any]) -> None:
    wanted = restorer.restore(RGB, mask=SIDE).output
    assert np.array_equal(restorer.restore(RGB, mask=mask).output, wanted)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (SIDE[:-1], r"a mask of shape \(19, 24\) was given"),
        (np.dstack([SIDE] * 3), r"a mask of shape \(20, 24, 3\) was given"),
        (SIDE.astype(str), "a mask of <U5 that is no plain number"),
        (np.full((20, 24), np.nan), "a mask of float64 that is no plain number"),
        ("mask.png", "a value of type str was given as a mask"),
        (SIDE.tolist(), "a value of type list was given as a mask"),
        (np.ma.masked_array(SIDE), "a masked array was given as a mask"),
        (SIDE.astype(complex), "a mask of complex128 that is no plain number"),
        (Image.fromarray(SIDE[1:]), r"a mask of shape \(19, 24\) was given"),
        (Image.fromarray(SIDE.astype(np.float32)), "the white of mode F is not known"),
        (Image.new("LA", (24, 20)), "it has transparent pixels"),
    ],
)
def test_what_is_no_mask_is_refused(restorer: Restorer, mask: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        restorer.restore(RGB, mask=mask)


@pytest.mark.parametrize("white", [255, 65535, 1.0])
def test_a_model_that_has_learned_no_holes_sees_them_filled_smoothly(
    tmp_path: Path, white: float
) -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 24)[None, :, None], (20, 24, 3))
    picture = (
        ramp.astype(np.float32)
        if white == 1
        else (ramp * white).astype(np.uint16 if white > 255 else np.uint8)
    )
    other = picture.copy()
    other[SIDE] = picture.max() - other[SIDE]
    restorer = Restorer.from_folder(make_model(tmp_path))
    one, two = (restorer.restore(each, mask=SIDE) for each in (picture, other))
    assert np.array_equal(one.output, two.output)
    assert np.array_equal(one.output[~SIDE], picture[~SIDE])
    seen = taken(other, SIDE).seen
    assert np.array_equal(seen[~SIDE], picture[~SIDE])
    assert _far(seen, picture) < 0.02 * white, "a ramp is the smooth surface through its sides"


def test_samples_are_the_restorations_of_their_seeds(restorer: Restorer) -> None:
    floats = RGB.astype(np.float32) / 255
    singles = [restorer.restore(floats, Options(seed=seed)).output for seed in range(3, 7)]
    together = restorer.restore(floats, Options(seed=3, samples=4))
    assert _far(together.output, np.mean(singles, axis=0)) < 1e-5
    assert together.deviation is not None
    expected = np.sqrt(np.var(singles, axis=0).mean(-1)) * 255
    assert _far(together.deviation, expected) < 1e-3
    assert together.deviation.max() > 1


def test_one_sample_is_the_plain_restoration(restorer: Restorer) -> None:
    plain = restorer.restore(RGB)
    one = restorer.restore(RGB, Options(samples=1))
    assert np.array_equal(plain.output, one.output)
    assert one.deviation is None


def test_where_the_mask_keeps_the_input_nothing_deviates(restorer: Restorer) -> None:
    deviation = restorer.restore(RGB, Options(samples=3), mask=SIDE).deviation
    assert deviation is not None
    assert not deviation[~SIDE].any()
    assert deviation[SIDE].all()


def _pillow(mode: str) -> Image.Image:
    return Image.fromarray(RGB).convert(mode)


# Modes whose colours are those of RGB or of grey, and what Pillow itself makes of the others.
MODES = ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_pillow_is_taken(mode: str) -> None:
    given = taken(_pillow(mode))
    assert given.alpha is None
    assert np.array_equal(given.original, np.asarray(_pillow(mode).convert("RGB")))


@pytest.mark.parametrize(("mode", "base"), [("RGBA", "RGB"), ("LA", "L"), ("PA", "P")])
def test_alpha_of_pillow_is_kept(mode: str, base: str) -> None:
    picture = _pillow(base)
    wanted = np.asarray(picture.convert("RGB"))
    picture.putalpha(Image.fromarray(ALPHA))
    assert picture.mode == mode
    given = taken(picture)
    assert given.alpha is not None
    assert np.array_equal(given.alpha, ALPHA)
    assert np.array_equal(given.original, wanted)


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_alpha_is_divided_out(mode: str) -> None:
    straight = _pillow(mode.upper())
    straight.putalpha(Image.new("L", (24, 20), 255))
    given = taken(straight.convert(mode))
    assert given.alpha is not None
    assert given.alpha.min() == 255
    assert np.array_equal(given.original, np.asarray(straight.convert("RGB")))


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bits_of_pillow_are_sixteen_bits(mode: str) -> None:
    levels = np.random.default_rng(2).integers(0, 65536, (20, 24), dtype=np.uint16)
    stored = levels.astype("<u2" if mode == "I;16" else ">u2")
    given = taken(Image.frombytes(mode, (24, 20), stored.tobytes()))
    assert given.original.dtype == np.uint16
    assert np.array_equal(given.original, np.dstack([levels] * 3))


def test_the_profile_of_a_picture_of_pillow_is_followed() -> None:
    """Linear light: 55 of 255 is 128 in sRGB, as of a file."""
    picture = Image.fromarray(np.full((8, 8, 3), 55, np.uint8))
    assert taken(picture).original.max() == 55
    picture.info["icc_profile"] = made_profile(gamma=1)
    assert np.abs(taken(picture).original.astype(int) - 128).max() <= 1


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_matrix_is_a_grey_picture() -> None:
    assert np.array_equal(taken(np.asmatrix(RGB[..., 0])).original, np.dstack([RGB[..., 0]] * 3))


def test_big_endian_sixteen_bits_are_taken() -> None:
    levels = RGB.astype(np.uint16) * 257
    assert np.array_equal(taken(levels.astype(">u2")).original, levels)


def test_a_picture_of_pillow_that_ends_early_or_is_closed_is_refused(restorer: Restorer) -> None:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "PNG")
    cut = Image.open(io.BytesIO(file.getvalue()[:-300]))
    closed = Image.open(io.BytesIO(file.getvalue()))
    closed.close()
    for picture in (cut, closed):
        with pytest.raises(UserError, match="a picture of Pillow was given that cannot be used"):
            restorer.restore(picture)


def test_a_mask_of_pillow_is_what_is_nearer_to_white(restorer: Restorer) -> None:
    wanted = restorer.restore(RGB, mask=SIDE).output
    levels = np.where(SIDE, 200, 20).astype(np.uint8)
    for mask in (
        Image.fromarray(SIDE),
        Image.fromarray(levels),
        Image.fromarray(levels).convert("P"),
    ):
        assert np.array_equal(restorer.restore(RGB, mask=mask).output, wanted)


@pytest.mark.parametrize(
    ("batch", "more", "said"),
    [
        ([RGB], {"keys": ["a", "b"]}, "2 keys were given for 1 pictures"),
        ([RGB], {"masks": []}, "0 masks were given for 1 pictures"),
        ([RGB], {"masks": Image.fromarray(SIDE)}, "a value of type Image was given as masks"),
        ([RGB], {"keys": [3]}, "a value of type int was given as a key"),
        (Image.fromarray(RGB), {}, "a value of type Image was given as a batch"),
        ("photos", {}, "a value of type str was given as a batch"),
        (RGB, {}, r"shape \(20, 24, 3\) was given as a batch.*give \[picture\]"),
        (RGB[..., 0], {}, r"shape \(20, 24\) was given as a batch"),
        (iter([RGB]), {}, "was given as a batch; a batch is a list"),
        ([RGB], {"options": None}, r"options must be drdd\.Options\(\.\.\.\), got NoneType"),
        ([RGB], {"options": {"seed": 1}}, "got dict"),
    ],
)
def test_what_is_no_batch_is_refused(restorer: Restorer, batch: Any, more: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        restorer.restore_batch(batch, **more)


def test_an_array_of_pictures_is_a_batch(restorer: Restorer) -> None:
    one, two = restorer.restore_batch(np.stack([RGB, RGB]))  # type: ignore[arg-type]
    assert np.array_equal(one.output, two.output)
    assert restorer.restore_batch([]) == []
