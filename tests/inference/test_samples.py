"""Several samples: the mean and deviation of single restorations, whatever the batch and the tiles."""

from pathlib import Path

import numpy as np
import pytest

from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.inference.tiling import Tiles
from tests.corpora import scene
from tests.inference.test_engine import VARIANTS, make_model

PICTURES = [scene(seed, 70, 90) for seed in range(3)]
FOUR = Options(seed=5, samples=4)
TILES = Tiles(size=64, overlap=32, blend=16, measured=32, window=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


def _far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).max())


def test_of_uint8_the_mean_and_the_deviation_are_those_of_single_calls(folder: Path) -> None:
    """Up to the rounding of each single output to whole levels."""
    restorer = Restorer.from_folder(folder)
    together = restorer.restore(PICTURES[0], FOUR)
    single = np.stack(
        [restorer.restore(PICTURES[0], Options(seed=seed)).output for seed in range(5, 9)]
    ).astype(float)
    assert together.deviation is not None
    assert together.deviation.shape == PICTURES[0].shape[:2]
    assert _far(together.output, single.mean(axis=0)) <= 1
    expected = np.sqrt(single.var(axis=0).mean(axis=2))
    assert _far(together.deviation, expected) <= 0.6
    assert together.deviation.mean() > 1


def test_other_pictures_of_the_batch_change_nothing(folder: Path) -> None:
    restorer = Restorer.from_folder(folder)
    for one, pixels in zip(restorer.restore_batch(PICTURES, FOUR), PICTURES, strict=True):
        alone = restorer.restore(pixels, FOUR)
        assert one.deviation is not None
        assert alone.deviation is not None
        assert _far(one.deviation, alone.deviation) < 0.01
        assert _far(one.output, alone.output) <= 1


def test_tiles_change_nothing(folder: Path) -> None:
    whole = Restorer.from_folder(folder).restore(PICTURES[0], FOUR)
    tiled = Restorer(Restorer.from_folder(folder).model, tiles=TILES).restore(PICTURES[0], FOUR)
    assert whole.deviation is not None
    assert tiled.deviation is not None
    assert _far(whole.deviation, tiled.deviation) < 0.01
    assert _far(whole.output, tiled.output) <= 1


def test_samples_are_a_prefix_of_more_samples(folder: Path) -> None:
    """By their seeds: 4 samples from seed 5 are the samples of seeds 5, 6 and of 7, 8."""
    restorer = Restorer.from_folder(folder)
    floats = (PICTURES[0] / 255).astype(np.float32)
    halves = [restorer.restore(floats, Options(seed=seed, samples=2)).output for seed in (5, 7)]
    assert _far(restorer.restore(floats, FOUR).output, (halves[0] + halves[1]) / 2) < 1e-5


def test_a_model_without_noise_gives_equal_samples(tmp_path: Path) -> None:
    restorer = Restorer.from_folder(make_model(tmp_path, **VARIANTS["regression"]))
    together = restorer.restore(PICTURES[0], FOUR)
    assert together.deviation is not None
    assert not together.deviation.any()
    assert np.array_equal(together.output, restorer.restore(PICTURES[0]).output)
