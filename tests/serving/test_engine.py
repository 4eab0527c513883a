"""Any size in, the same size out; tiles blend without seams; a result is the picture's alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drdd.nets.compact import CompactConfig, CompactUNet
from drdd.nets.model import Sampling, save_model
from drdd.serving import engine
from drdd.serving.engine import Restorer
from drdd.serving.tiling import tiled

CONFIGS = {"noise": CompactConfig(3, (8, 16)), "residual": CompactConfig(6, (8, 16))}


def make_model(folder: Path, seed: int = 0, eta: float = 0.0) -> Path:
    """A small model with random weights."""
    torch.manual_seed(seed)
    weights = {}
    for part, config in CONFIGS.items():
        net = CompactUNet(config)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        weights[part] = net.state_dict()
    save_model(folder, weights, CONFIGS, Sampling(1000, 1e-4, 0.02, 0.15, 2, 2, eta), ["rain"])
    return folder


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return Restorer.from_folder(make_model(tmp_path_factory.mktemp("model")))


def _picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (1, 50), (37, 23), (64, 2)])
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


def test_random_steps_are_repeatable_too(tmp_path: Path) -> None:
    restorer = Restorer.from_folder(make_model(tmp_path, eta=1.0))
    picture = _picture(20, 24)
    assert np.array_equal(restorer.restore(picture).output, restorer.restore(picture).output)


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
