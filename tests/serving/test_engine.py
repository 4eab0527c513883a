"""Any size in, the same size out; tiles blend without seams; a result is the picture's alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drdd.checkpoints.folder import save_model
from drdd.serving import engine
from drdd.serving.engine import Restorer
from drdd.serving.tiling import tiled
from tests.nets.tiny import configs, random_weights, sampling

VARIANTS: dict[str, dict[str, Any]] = {
    "drdd": {},
    "drdd, random steps": {"eta": 1.0},
    "drdd, estimate": {"conditioning": "estimate"},
    "drdd, as rectified flow": {"relative": "flow"},
    "coupled": {"method": "coupled", "eta": 1.0},
    "regression": {"method": "regression"},
}


def make_model(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A small model with random weights."""
    torch.manual_seed(seed)
    chosen = sampling(**changes)
    parts = configs(chosen.method, 1, chosen.conditioning != "none")
    weights = {part: random_weights(config) for part, config in parts.items()}
    if chosen.relative != "paper":
        weights["noise"] = {f"net.{name}": value for name, value in weights["noise"].items()}
    save_model(folder, weights, parts, chosen, ["rain"])
    return folder


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return Restorer.from_folder(make_model(tmp_path_factory.mktemp("model")))


def _picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (1, 50), (37, 23), (64, 2), (513, 771)])
def test_any_size_comes_back_as_it_was(restorer: Restorer, size: tuple[int, int]) -> None:
    restored = restorer.restore(_picture(*size))
    for pixels in (restored.output, restored.deresidual):
        assert pixels.shape == (*size, 3)
        assert pixels.dtype == np.uint8


def test_a_result_depends_on_the_picture_alone(restorer: Restorer, tmp_path: Path) -> None:
    first = restorer.restore(_picture(20, 24)).output
    restorer.restore(_picture(20, 24, seed=1))
    torch.manual_seed(5)
    again = Restorer.from_folder(make_model(tmp_path)).restore(_picture(20, 24)).output
    assert np.array_equal(first, again)
    assert not np.array_equal(first, restorer.restore(_picture(20, 24), "another key").output)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_method_restores_repeatably_whole_and_in_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    restorer = Restorer.from_folder(make_model(tmp_path, **VARIANTS[name]))
    picture = _picture(21, 50)
    whole = restorer.restore(picture)
    assert np.array_equal(whole.output, restorer.restore(picture).output)
    monkeypatch.setattr(engine, "TILE", 32)
    monkeypatch.setattr(engine, "OVERLAP", 16)
    for pixels in (tiles := restorer.restore(picture)).output, tiles.estimate, tiles.deresidual:
        assert pixels.shape == (21, 50, 3)
    # All noise is the whole picture's: where one tile alone counts, nothing differs by it.
    assert np.abs(tiles.output.astype(int) - whole.output)[:, :8].mean() < 20


def test_a_tiled_picture_is_nearly_the_whole_one(
    restorer: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    smooth = np.kron(_picture(12, 14), np.ones((12, 12, 1), np.uint8))
    whole = restorer.restore(smooth).output.astype(float)
    monkeypatch.setattr(engine, "TILE", 96)
    monkeypatch.setattr(engine, "OVERLAP", 48)
    pieces = restorer.restore(smooth).output.astype(float)
    assert whole.shape == pieces.shape
    assert np.abs(whole - pieces).mean() < 0.5


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 4))
def test_tiles_cover_every_pixel_with_total_weight_one(
    height: int, width: int, quarter: int
) -> None:
    x = torch.rand(1, 3, height, width)
    torch.testing.assert_close(tiled(lambda tile: 2 * tile, x, 16, 3 * quarter), 2 * x)


def test_no_tile_is_larger_than_asked_and_seams_are_hidden() -> None:
    sizes: list[tuple[int, int]] = []

    def blur(tile: Tensor) -> Tensor:
        sizes.append((tile.shape[-2], tile.shape[-1]))
        return F.avg_pool2d(tile, 3, stride=1, padding=1, count_include_pad=False)

    x = torch.rand(1, 3, 100, 80)
    pieces = tiled(blur, x, 32, 16)
    assert set(sizes) == {(32, 32)}
    # A tile's own border is wrong by the blur's reach, but weighs little there.
    assert float((pieces - blur(x)).abs().mean()) < 0.005
