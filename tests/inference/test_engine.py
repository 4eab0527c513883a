"""Any size in, the same size out; a result is the picture's alone; steps and levels can be chosen."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drdd.checkpoints.folder import TaskUse, save_model
from drdd.diffusion.keyed import keyed_noise
from drdd.errors import UserError
from drdd.inference.engine import Restorer, ShownState
from drdd.inference.options import Options
from drdd.inference.tiling import Tiles
from drdd.nets.context import context_of
from drdd.pictures.pixels import Pixels
from tests.nets.tiny import configs, random_weights, sampling

VARIANTS: dict[str, dict[str, Any]] = {
    "drdd": {},
    "drdd, random steps": {"eta": 1.0},
    "drdd, estimate": {"conditioning": "estimate"},
    "drdd, as rectified flow": {"parameterization": "flow"},
    "coupled": {"method": "coupled", "eta": 1.0},
    "regression": {"method": "regression"},
}


def make_model(
    folder: Path,
    seed: int = 0,
    fill: float | None = None,
    scales: Sequence[int] = (1,),
    **changes: Any,
) -> Path:
    """A small model with random weights. fill: of the holes that it fills, if any; scales: of its tasks."""
    torch.manual_seed(seed)
    chosen = sampling(**changes)
    parts = configs(chosen.method, chosen.conditioning)
    weights = {part: random_weights(config) for part, config in parts.items()}
    if chosen.parameterization != "paper":
        weights["noise"] = {f"net.{name}": value for name, value in weights["noise"].items()}
    names = {scale: "rain" if scale == 1 else f"enlarge_{scale}" for scale in scales}
    tasks = {name: TaskUse(scale, fill) for scale, name in names.items()}
    save_model(folder, weights, parts, chosen, tasks)
    return folder


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return Restorer.from_folder(make_model(tmp_path_factory.mktemp("model")))


def _picture(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _difference(one: Pixels, other: Pixels) -> int:
    """The largest, in grey levels."""
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (1, 50), (37, 23), (64, 2), (513, 771)])
def test_any_size_comes_back_as_it_was(restorer: Restorer, size: tuple[int, int]) -> None:
    restored = restorer.restore(_picture(*size), Options(states=True))
    for pixels in (restored.output, *(state.pixels for state in restored.states)):
        assert pixels.shape == (*size, 3)
        assert pixels.dtype == np.uint8


def test_a_result_depends_on_the_picture_alone(restorer: Restorer, tmp_path: Path) -> None:
    first = restorer.restore(_picture(20, 24)).output
    restorer.restore(_picture(20, 24, seed=1))
    torch.manual_seed(5)
    again = Restorer.from_folder(make_model(tmp_path)).restore(_picture(20, 24)).output
    assert np.array_equal(first, again)
    key = sha256(_picture(20, 24).tobytes()).hexdigest()
    assert np.array_equal(first, restorer.restore(_picture(20, 24), key=key).output)
    assert not np.array_equal(first, restorer.restore(_picture(20, 24), key="another").output)
    assert not np.array_equal(first, restorer.restore(_picture(20, 24), Options(seed=1)).output)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_restoration_is_the_methods_own_with_every_state_named(tmp_path: Path, name: str) -> None:
    restorer = Restorer.from_folder(make_model(tmp_path, **VARIANTS[name]))
    picture = _picture(32, 64)
    restored = restorer.restore(picture, Options(seed=3, states=True), "a key")
    degraded = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        model, draw = restorer.model, keyed_noise(3, ["a key"], degraded)
        nets = model.told(model.nets, context_of(degraded))
        expected = list(model.method.trajectory(nets, degraded, draw))
    for state, one in zip(restored.states, expected, strict=True):
        scaled = ((one.image[0].clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()
        assert np.abs(scaled - state.pixels).max() < 0.51
    assert np.array_equal(restored.output, restored.states[-1].pixels)
    assert [state.name for state in restored.states] == {
        "drdd": [
            "noised input",
            *("de-residual 1", "de-residual 2", "estimate", "de-noise 1", "de-noise 2"),
        ],
        "coupled": ["noised input", "step 1", "step 2", "step 3", "step 4"],
        "regression": ["input", "output"],
    }[restorer.model.sampling.method]


def test_the_estimate_is_the_residual_stages_own(restorer: Restorer) -> None:
    """After one step of the residual, which then is removed whole, what is left is the fixed noise."""
    picture = _picture(32, 32)
    restored = restorer.restore(picture, Options(residual_steps=1, states=True))
    shown = {state.name: state.pixels.astype(float) for state in restored.states}
    inside = np.all([(p > 0) & (p < 255) for p in shown.values()], axis=0)
    noise = shown["noised input"] - picture
    assert inside.sum() > 100
    left = shown["de-residual 1"] - shown["estimate"]
    assert np.abs(left - noise)[inside].max() <= 2  # three roundings to grey levels


def test_pictures_in_a_batch_do_not_know_of_each_other(restorer: Restorer) -> None:
    sizes = [(20, 24), (31, 32), (32, 1), (40, 24), (64, 33), (20, 24)]
    pictures = [_picture(*size, seed=i) for i, size in enumerate(sizes)]
    together = restorer.restore_batch(pictures)
    for pixels, restored in zip(pictures, together, strict=True):
        assert _difference(restored.output, restorer.restore(pixels).output) <= 1
    assert restorer.restore_batch([]) == []


def test_a_bucket_is_one_pass_and_another_is_not(
    restorer: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[tuple[int, ...]] = []

    def counted(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        passes.append(tuple(given[0].shape))

    watched = restorer.model.nets["noise"].register_forward_pre_hook(counted)
    try:
        restorer.restore_batch([_picture(32, 32), _picture(33, 32), _picture(1, 30)])
    finally:
        watched.remove()
    assert passes == [(2, 3, 32, 32)] * 2 + [(1, 3, 64, 32)] * 2
    assert restorer.bucket(_picture(1, 30)) == restorer.bucket(_picture(32, 32)) == (32, 32)


def test_what_the_schedule_cannot_do_is_said(restorer: Restorer) -> None:
    options = Options(noise_level=0.02, noise_steps=50)
    for refuse in (restorer.check, lambda options: restorer.restore(_picture(4, 4), options)):
        with pytest.raises(UserError, match="50 sampling steps do not fit"):
            refuse(options)


def test_a_regression_takes_no_steps(tmp_path: Path) -> None:
    restorer = Restorer.from_folder(make_model(tmp_path, method="regression"))
    restorer.check(Options(seed=3, states=True))
    with pytest.raises(UserError, match="noise_steps: this model restores in one step"):
        restorer.check(Options(noise_steps=2))


def test_steps_and_level_change_the_way(restorer: Restorer) -> None:
    options = Options(residual_steps=3, noise_steps=1, noise_level=0.3, states=True)
    restored = restorer.restore(_picture(32, 32), options)
    names = [state.name for state in restored.states]
    assert names[1:] == [
        "de-residual 1",
        "de-residual 2",
        "de-residual 3",
        "estimate",
        "de-noise 1",
    ]
    own = restorer.model.sampling
    explicit = Options(own.residual_steps, own.noise_steps, own.noise_level)
    plain = restorer.restore(_picture(32, 32))
    assert np.array_equal(plain.output, restorer.restore(_picture(32, 32), explicit).output)
    assert not np.array_equal(plain.output, restored.output)
    assert plain.states == ()


def test_a_device_that_is_not_there_is_refused(restorer: Restorer) -> None:
    with pytest.raises(UserError, match="device 'moon'"):
        Restorer(restorer.model, "moon")


@pytest.mark.parametrize("name", VARIANTS)
def test_every_method_restores_in_tiles_too(tmp_path: Path, name: str) -> None:
    model = Restorer.from_folder(make_model(tmp_path, **VARIANTS[name])).model
    tiled = Restorer(model, tiles=Tiles(size=64, overlap=32, blend=16, measured=32, window=32))
    picture = _picture(70, 130)
    whole = Restorer(model).restore(picture, Options(states=True))
    pieces = tiled.restore(picture, Options(states=True))
    for one, other in zip(whole.states, pieces.states, strict=True):
        assert one.name == other.name
        assert other.pixels.shape == (70, 130, 3)
        assert np.abs(one.pixels.astype(int) - other.pixels).mean() < 2
    assert isinstance(pieces.states[-1], ShownState)
