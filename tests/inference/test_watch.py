"""The share that is done: it grows to 1, tile by tile, and ends the restoring when it raises."""

import threading
from pathlib import Path

import numpy as np
import pytest

from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.inference.tiling import Tiles
from tests.inference.test_engine import VARIANTS, make_model

TILES = Tiles(size=64, overlap=32, blend=16, measured=32, window=32)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("name", VARIANTS)
def test_the_share_grows_evenly_and_ends_at_one(tmp_path: Path, name: str, samples: int) -> None:
    restorer = Restorer(
        Restorer.from_folder(make_model(tmp_path, **VARIANTS[name])).model, tiles=TILES
    )
    shares: list[float] = []
    sizes = [(40, 40), (70, 130), (33, 60)]
    pictures = [np.zeros((*size, 3), np.uint8) for size in sizes]
    restorer.restore_batch(pictures, Options(samples=samples), watch=shares.append)
    assert shares[-1] == 1
    assert np.allclose(np.diff(shares), shares[0])


def test_what_it_raises_ends_the_restoring(tmp_path: Path) -> None:
    restorer = Restorer(Restorer.from_folder(make_model(tmp_path)).model, tiles=TILES)
    told: list[float] = []

    def stop(share: float) -> None:
        told.append(share)
        if share > 0.3:
            raise StoppedError

    picture = np.zeros((70, 130, 3), np.uint8)
    with pytest.raises(StoppedError):
        restorer.restore(picture, watch=stop)
    assert told[-1] < 0.5
    assert restorer.restore(picture).output.shape == picture.shape, "it is free for others again"


def test_others_restore_between_its_tiles_and_change_nothing(tmp_path: Path) -> None:
    """The group norms of a tiled picture are those of the whole picture, and no other's."""
    restorer = Restorer(Restorer.from_folder(make_model(tmp_path)).model, tiles=TILES)
    large, small = (
        np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        for size in ((70, 130), (40, 50))
    )
    expected, alone = restorer.restore(large).output, restorer.restore(small).output
    between: list[bool] = []

    def ask(share: float) -> None:
        answer: list[np.ndarray] = []
        other = threading.Thread(target=lambda: answer.append(restorer.restore(small).output))
        other.start()
        other.join(60)
        between.append(bool(answer) and np.array_equal(answer[0], alone))

    assert np.array_equal(restorer.restore(large, watch=ask).output, expected)
    assert len(between) > 4
    assert all(between)
