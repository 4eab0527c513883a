"""A network, data and settings so small that a training run takes a second."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from drdd.diffusion.schedule import Schedule
from drdd.params import Network, TimeDraw, TrainResidual
from drdd.training.specs import NoiseSpec, ResidualSpec

SCHEDULE = Schedule.linear(0.15)
GENERATOR = np.random.default_rng(0)
PHOTOGRAPHS = [GENERATOR.integers(0, 256, (24, 28, 3), dtype=np.uint8) for _ in range(3)]
Pairs = Mapping[str, Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]]
PAIRS: Pairs = {
    "dark": [(photograph, photograph // 3) for photograph in PHOTOGRAPHS],
    "flat": [(photograph, photograph // 2 + 64) for photograph in PHOTOGRAPHS],
}


def settings(**changes: object) -> TrainResidual:
    defaults: dict[str, object] = {
        "images": 160,
        "batch": 4,
        "crop": 16,
        "network": Network(channels=[8, 16]),
        "time_draw": TimeDraw(start=0.6, grid=0.3, uniform=0.1),
        "precision": "float32",
        "checkpoint_every": 40,
    }
    return TrainResidual.model_validate({**defaults, **changes})


def noise_spec(**changes: object) -> NoiseSpec:
    return NoiseSpec(PHOTOGRAPHS, settings(**changes), SCHEDULE, 2, seed=0)


def residual_spec(**changes: object) -> ResidualSpec:
    return ResidualSpec(PAIRS, settings(**changes), SCHEDULE, 2, seed=0)
