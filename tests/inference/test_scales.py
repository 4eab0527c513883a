"""A model that enlarges: sizes, alpha, types, tiles and keys are those of the enlarged picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from drdd.errors import UserError
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.inference.tiling import Tiles
from drdd.pictures.scaling import enlarged
from drdd.serving.models import load_checked
from tests.inference.test_engine import make_model

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 23, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (20, 23), dtype=np.uint8)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    """Of one model with tasks of scale 1 and 2."""
    return Restorer.from_folder(make_model(tmp_path_factory.mktemp("both"), scales=(1, 2)))


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (19, 31), (32, 32), (300, 5)])
def test_the_output_has_twice_the_size(both: Restorer, size: tuple[int, int]) -> None:
    picture = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    restored = both.restore(picture, Options(scale=2, states=True, samples=2))
    twice = (2 * size[0], 2 * size[1])
    assert restored.output.shape == (*twice, 3)
    assert all(state.pixels.shape == (*twice, 3) for state in restored.states)
    assert restored.deviation is not None
    assert restored.deviation.shape == twice
    assert both.restore(picture).output.shape == picture.shape


def test_enlarging_is_bicubic_and_then_restoring(both: Restorer) -> None:
    large = enlarged(RGB, 2)
    asked = both.restore(RGB, Options(scale=2)).output
    assert np.array_equal(asked, both.restore(large, Options(scale=1)).output)
    with Image.fromarray(RGB) as picture:
        wanted = picture.resize((46, 40), Image.Resampling.BICUBIC)
    assert np.array_equal(large, np.asarray(wanted))


TYPES = [("uint8", 1.0), ("uint16", 257.0), ("float32", 1 / 255)]


@pytest.mark.parametrize(("dtype", "factor"), TYPES)
def test_alpha_and_every_type_are_enlarged(both: Restorer, dtype: str, factor: float) -> None:
    layers = np.dstack([RGB // 4 + 96, ALPHA])  # away from the ends, where 8 bits are clipped twice
    picture: NDArray[Any] = (layers * factor).astype(dtype)
    output = both.restore(picture, Options(scale=2), key="a").output
    assert output.shape == (40, 46, 4)
    assert output.dtype == dtype
    assert np.array_equal(output[..., 3], enlarged(picture[..., 3], 2))
    plain = both.restore(layers, Options(scale=2), key="a").output
    # Only the rounding of the enlarged input differs between the types.
    assert np.abs(output[..., :3] / factor - plain[..., :3].astype(float)).max() <= 2.5


def test_an_opaque_picture_stays_opaque(both: Restorer) -> None:
    opaque = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    assert (both.restore(opaque, Options(scale=2)).output[..., 3] == 255).all()


def test_pictures_in_a_batch_are_restored_as_alone(both: Restorer) -> None:
    pictures = [RGB, RGB[:9], RGB[:, :17]]
    together = both.restore_batch(pictures, Options(scale=2))
    for picture, one in zip(pictures, together, strict=True):
        alone = both.restore(picture, Options(scale=2)).output
        assert np.abs(alone.astype(int) - one.output).max() <= 1


def test_the_bucket_is_that_of_the_enlarged_picture(both: Restorer) -> None:
    assert both.bucket(RGB, Options(scale=2)) == both.bucket(enlarged(RGB, 2)) == (64, 64)
    assert both.bucket(RGB) == (32, 32)


def test_a_picture_that_is_large_only_once_enlarged_is_tiled(both: Restorer) -> None:
    sizes = Tiles(size=64, overlap=32, blend=8, measured=16, window=32, lattice=2)
    tiled = Restorer(both.model, tiles=sizes)
    picture = np.asarray(Image.fromarray(RGB).resize((60, 50)))
    shares: list[float] = []
    output = tiled.restore(picture, Options(scale=2), watch=shares.append).output
    assert output.shape == (100, 120, 3)
    assert len(shares) > len(both.model.nets)
    assert shares[-1] == 1.0
    large = enlarged(picture, 2)
    assert np.array_equal(output, tiled.restore(large, Options(scale=1)).output)


def test_without_a_scale_it_is_1_or_the_only_one(both: Restorer, tmp_path: Path) -> None:
    assert both.restore(RGB).output.shape == RGB.shape
    only = Restorer.from_folder(make_model(tmp_path / "only", scales=(4,)))
    assert only.restore(RGB).output.shape == (80, 92, 3)
    several = Restorer.from_folder(make_model(tmp_path / "several", scales=(2, 4)))
    with pytest.raises(UserError, match="enlarges 2 times and 4 times: say which; set the scale"):
        several.restore(RGB)
    assert several.restore(RGB, Options(scale=4)).output.shape == (80, 92, 3)
    load_checked(tmp_path / "several")  # the service's probe says which


def test_a_scale_that_no_task_has_is_refused(both: Restorer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="scale 3: this model has 1 times and 2 times"):
        both.check(Options(scale=3))
    plain = Restorer.from_folder(make_model(tmp_path, scales=(1,)))
    with pytest.raises(UserError, match="scale 2: none of this model's tasks enlarges"):
        plain.check(Options(scale=2))


def test_a_mask_with_a_scale_is_refused(tmp_path: Path) -> None:
    filling = Restorer.from_folder(make_model(tmp_path, fill=0.5, scales=(1, 2)))
    mask = np.zeros(RGB.shape[:2], bool)
    mask[3:9, 3:9] = True
    with pytest.raises(UserError, match="a mask was given, and the picture would be enlarged 2"):
        filling.restore(RGB, Options(scale=2), mask=mask)
    with pytest.raises(UserError, match="enlarged 2"):
        filling.check(Options(scale=2), masked=True)
    assert filling.restore(RGB, Options(scale=1), mask=mask).output.shape == RGB.shape
