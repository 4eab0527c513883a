"""Tiles cover and blend; with the picture's statistics they are the whole picture's, without seams."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from benchmarks.tile_seams import near_seams
from drdd.checkpoints.folder import Model, TaskUse, load_model, save_model
from drdd.inference import tiling
from drdd.inference.engine import Restorer
from drdd.inference.norms import Corrected, Joint, Measured, Statistics, fixed, norms_of
from drdd.inference.options import Options
from drdd.inference.tiling import TiledNet, Tiles, tiles
from drdd.nets.adm import AdmConfig
from drdd.nets.families import build
from drdd.pictures.pixels import Pixels
from drdd.sources.packages import package_file
from tests.inference.test_engine import make_model
from tests.nets.filled import filled
from tests.nets.tiny import sampling

SMALL = Tiles(size=160, overlap=64, blend=16, measured=32, window=64, lattice=4)
TIME = torch.tensor([1.0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 5), st.sampled_from([4, 8]))
def test_tiles_cover_a_length_and_their_ramps_sum_to_one(
    length: int, extra: int, blend: int, grid: int
) -> None:
    overlap = (blend + 2) * grid
    length, size = length * grid, 2 * overlap + extra * grid
    found = tiles(length, size, overlap, grid)
    total = torch.zeros(length)
    for tile in found:
        assert tile.stop - tile.start <= size
        assert tile.start % grid == tile.inner % grid == 0
        total[tile.start : tile.stop] += tile.ramp(blend * grid)
    torch.testing.assert_close(total, torch.ones(length))
    for left, right in itertools.pairwise(found):
        assert left.stop - right.start >= overlap
        assert left.outer == right.inner
    assert (found[0].inner, found[-1].outer) == (0, length)


class _Convolutions(nn.Module):
    """Sees 2 pixels far; pointwise with reach=0."""

    def __init__(self, norms: bool, reach: int = 1) -> None:
        super().__init__()
        side, width = 2 * reach + 1, 8
        self.sizes: list[tuple[int, ...]] = []
        self.first = nn.Conv2d(3, width, side, padding=reach)
        self.norm = nn.GroupNorm(2, width) if norms else nn.Identity()
        self.second = nn.Conv2d(width, width, side, padding=reach)
        self.last_norm = nn.GroupNorm(4, width) if norms else nn.Identity()
        self.last = nn.Conv2d(width, 3, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        self.sizes.append(tuple(x.shape[-2:]))
        h = self.second(F.silu(self.norm(self.first(x))))
        result: Tensor = self.last(F.silu(self.last_norm(h)))
        return result


@torch.inference_mode()
def test_where_a_tile_counts_its_border_is_not_seen() -> None:
    torch.manual_seed(0)
    net, x = _Convolutions(norms=False), torch.rand(1, 3, 104, 80)
    pieces = TiledNet(net, 8, Tiles(size=40, overlap=16, blend=8))(x, TIME)
    assert max(max(size) for size in net.sizes) <= 40
    torch.testing.assert_close(pieces, net(x, TIME), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_what_fits_a_tile_goes_through_as_a_batch() -> None:
    net, x = _Convolutions(norms=True), torch.rand(3, 3, 40, 32)
    pieces = TiledNet(net, 8, Tiles(size=40))(x, TIME.expand(3))
    torch.testing.assert_close(pieces, net(x, TIME), atol=1e-5, rtol=1e-4)
    assert net.sizes == [(40, 32)] * 2


def _uneven(height: int = 96, width: int = 128) -> Tensor:
    """Dark to bright and smooth to rough: no tile is like another."""
    torch.manual_seed(1)
    slope = torch.linspace(-1, 1, width) * torch.linspace(0.2, 1, height)[:, None]
    return slope + torch.rand(1, 3, height, width) * slope.relu()


@torch.inference_mode()
def test_joint_statistics_are_those_of_one_picture_made_of_the_parts() -> None:
    norm, joint = nn.GroupNorm(2, 6), Joint()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    parts = torch.randn(4, 6, 5, 7) * torch.arange(1, 5)[:, None, None, None] + 3
    beside = norm(torch.cat(list(parts), dim=-1)[None])
    torch.testing.assert_close(torch.cat(list(joint(norm, parts)), dim=-1)[None], beside)
    torch.testing.assert_close(fixed(joint.found)(norm, parts), joint(norm, parts))


@torch.inference_mode()
def test_measured_in_parts_is_measured_in_all() -> None:
    norm = nn.GroupNorm(2, 6)
    x = torch.randn(1, 6, 20, 30) * 2 + 5
    known = {norm: Statistics(torch.zeros(2).double(), torch.ones(2).double())}
    whole, parts = Joint(), Measured(known)
    whole(norm, x)
    for part in x.split((7, 23), dim=-1):
        parts(norm, part)
    torch.testing.assert_close(parts.found[norm].mean, whole.found[norm].mean)
    torch.testing.assert_close(parts.found[norm].variance, whole.found[norm].variance)


@torch.inference_mode()
def test_a_correction_halfway_is_better_than_sample_and_measurement() -> None:
    """Exact at the first norm; at the second wrong by a product of differences."""
    torch.manual_seed(0)
    net, x = _Convolutions(norms=True, reach=0), _uneven()
    sample, truth = Joint(), Joint()
    with norms_of(net, truth):
        whole = net(x, TIME)
    with norms_of(net, sample):
        net(x[..., :48, :64], TIME)
    picture = Measured(sample.found)
    with norms_of(net, picture):
        net(x, TIME)
    corrected = Corrected(sample.found, picture.found)
    with norms_of(net, corrected):
        net(x[..., :48, :64], TIME)
    assert isinstance(net.norm, nn.GroupNorm)
    torch.testing.assert_close(corrected.found[net.norm].mean, truth.found[net.norm].mean)
    errors = {}
    for name, found in (("sample", sample), ("picture", picture), ("corrected", corrected)):
        with norms_of(net, fixed(found.found)):
            errors[name] = float((net(x, TIME) - whole).abs().mean())
    assert errors["corrected"] < 0.5 * min(errors["sample"], errors["picture"]), errors


@torch.inference_mode()
def test_norms_are_themselves_again_whatever_happens() -> None:
    net, x = _Convolutions(norms=True), _uneven()
    before = net(x, TIME)
    with pytest.raises(KeyError), norms_of(net, fixed({})):
        net(x, TIME)
    assert torch.equal(net(x, TIME), before)


@pytest.mark.parametrize(("height", "width"), [(128, 480), (160, 136), (480, 320)])
def test_the_sample_counts_every_part_of_a_picture_alike(height: int, width: int) -> None:
    net = TiledNet(_Convolutions(norms=True), 8, Tiles(window=32, lattice=4))
    across = torch.linspace(-1, 1, width).expand(1, 3, height, width)
    down = torch.linspace(-1, 1, height)[:, None].expand(1, 3, height, width)
    for slope in (across, down):
        windows = net._lattice(slope)
        assert max(windows.shape[-2:]) <= 32
        assert abs(float(windows.mean())) < 0.1
        assert float(windows.std()) == pytest.approx(float(slope.std()), rel=0.15)


@torch.inference_mode()
def test_a_picture_of_one_colour_is_no_division_by_zero() -> None:
    net, x = _Convolutions(norms=True), torch.zeros(1, 3, 96, 64)
    pieces = TiledNet(net, 8, Tiles(size=48, overlap=16, blend=8, measured=16, window=16))(x, TIME)
    assert torch.isfinite(pieces).all()


PHOTOGRAPHS = {
    "retina": ("skimage/data/retina.jpg", (400, 384)),
    "coffee": ("skimage/data/coffee.png", (480, 320)),
    "rocket": ("skimage/data/rocket.jpg", (512, 344)),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Of networks with norms."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    configs = {
        part: AdmConfig(channels, 3, 32, (1, 2), 1, (), middle_attention=False)
        for part, channels in (("noise", 3), ("residual", 6))
    }
    weights = {part: filled(build(config)).state_dict() for part, config in configs.items()}
    save_model(folder, weights, configs, sampling(), {"rain": TaskUse()})
    return load_model(folder)


def test_without_norms_a_photograph_in_tiles_is_the_whole_one(tmp_path: Path) -> None:
    """A pixel depends on what the overlap holds, and on the context, which all tiles share."""
    sizes = Tiles(size=160, overlap=128, blend=16)
    error = _errors(load_model(make_model(tmp_path)), _photograph("coffee"), sizes)
    assert error.max() <= 1
    assert error.mean() < 0.01


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_in_tiles_is_the_whole_one_without_seams(model: Model, name: str) -> None:
    picture = _photograph(name)
    error = _errors(model, picture)
    assert error.mean() < 2
    near = near_seams(picture.shape, SMALL)
    assert near.any()
    assert error[near].mean() < 1.3 * error[~near].mean() + 0.05


def test_tiles_by_themselves_would_differ(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the statistics are for: without them the same photograph is another."""
    with_statistics = _errors(model, _photograph("coffee")).mean()
    monkeypatch.setattr(tiling, "group_norms", lambda net: [])
    monkeypatch.setattr("drdd.inference.norms.group_norms", lambda net: [])
    assert _errors(model, _photograph("coffee")).mean() > 4 * with_statistics


def _photograph(name: str) -> Pixels:
    file, size = PHOTOGRAPHS[name]
    image = Image.open(Path(package_file(file))).convert("RGB").resize(size)
    noise = np.random.default_rng(0).normal(0, 10, (size[1], size[0], 3))
    return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


def _errors(model: Model, picture: Pixels, sizes: Tiles = SMALL) -> np.ndarray:
    """(H, W) grey levels by which the output in tiles differs from that in one piece."""
    whole = Restorer(model).restore(picture, Options(seed=1)).output
    pieces = Restorer(model, tiles=sizes).restore(picture, Options(seed=1)).output
    return np.abs(whole.astype(float) - pieces).mean(axis=-1)
