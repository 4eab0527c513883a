"""Degradations by their statistics and closed forms; each is a pure function of its key."""

import numpy as np
import pytest
import torch

from drdd.diffusion.keyed import keyed_generator
from drdd.params import load
from drdd.params.degradations import DEGRADATIONS as SCHEMAS
from drdd.tasks import degradations
from drdd.tasks.catalogue import DEGRADATIONS, degrade
from tests.conftest import ROOT

GREY = np.full((96, 128, 3), 128, dtype=np.uint8)
TASKS = {
    name: [step.model_dump() for step in task.degradation]
    for name, task in load(ROOT / "params.yaml").tasks.items()
}


def _photo() -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (50, 70, 3), dtype=np.uint8)


def test_params_and_code_know_the_same_degradations() -> None:
    assert set(SCHEMAS) == set(DEGRADATIONS)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_each_task_is_a_function_of_its_key_alone(task: str) -> None:
    photo = _photo()
    first = degrade(photo, TASKS[task], 0, task, 1)
    torch.manual_seed(99)
    assert np.array_equal(first, degrade(photo, TASKS[task], 0, task, 1))
    assert not np.array_equal(first, degrade(photo, TASKS[task], 0, task, 2))
    assert first.dtype == np.uint8
    assert first.shape == photo.shape


def test_gaussian_noise_has_the_sigma_it_is_asked_for() -> None:
    noisy = degrade(GREY, [{"kind": "gaussian_noise", "sigma": (25, 25)}], 0)
    difference = noisy.astype(float) - GREY
    assert abs(difference.mean()) < 0.5
    assert difference.std() == pytest.approx(25, rel=0.02)


def test_low_light_is_gain_times_a_power() -> None:
    x = torch.linspace(0, 1, 3 * 64).view(1, 3, 8, 8)
    dark = degradations.low_light(
        x, keyed_generator(0), gain=(0.3, 0.3), gamma=(1.2, 1.2), sigma=(0, 0)
    )
    torch.testing.assert_close(dark, 0.3 * x**1.2)


def test_haze_obeys_koschmieders_law() -> None:
    """Two scenes in one haze: their difference shrinks by the transmission, the rest is airlight."""

    def hazy(value: float) -> torch.Tensor:
        return degradations.haze(
            torch.full((1, 3, 32, 32), value),
            keyed_generator("haze"),
            density=(1.0, 1.0),
            airlight=(0.9, 0.9),
        )

    black, white = hazy(0.0), hazy(1.0)
    transmission = white - black
    torch.testing.assert_close(black, 0.9 * (1 - transmission))
    depth = -transmission.log()
    assert float(depth.min()) >= 0.35 - 1e-4
    assert float(depth.max()) <= 1.0 + 1e-4
    assert float(depth[..., 0, :].mean()) > float(depth[..., -1, :].mean())  # the top is far away


def test_rain_only_brightens_and_falls_along_its_angle() -> None:
    x = torch.full((1, 3, 64, 64), 0.2)
    wet = degradations.rain(
        x,
        keyed_generator(1),
        density=(0.002, 0.002),  # sparse, so that streaks rarely cross
        length=(21, 21),
        angle=(0, 0),
        strength=(0.8, 0.8),
    )
    assert bool((wet >= x - 1e-6).all())
    assert float((wet > x + 0.05).float().mean()) > 0.02
    streaks = (wet - x)[0, 0]
    along = (streaks[1:] * streaks[:-1]).mean()
    across = (streaks[:, 1:] * streaks[:, :-1]).mean()
    assert float(along) > 2 * float(across)


def test_degradations_chain_in_order() -> None:
    dark = {"kind": "low_light", "gain": (0.2, 0.2), "gamma": (1, 1), "sigma": (0, 0)}
    fog = {"kind": "haze", "density": (5, 5), "airlight": (1, 1)}
    assert degrade(GREY, [fog, dark], 0).mean() < 60 < degrade(GREY, [dark, fog], 0).mean()
