"""A network, data and settings so small that a training run takes a second."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from drdd.checkpoints.pretrained import Start
from drdd.diffusion.methods import Method
from drdd.diffusion.schedule import Schedule
from drdd.nets.families import network_settings
from drdd.params import Diffusion, TimestepSampling, TrainNoise, TrainResidual
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.specs import StageSpec, noise_spec, residual_spec

SCHEDULE = Schedule.linear(0.15)
GENERATOR = np.random.default_rng(0)
PHOTOGRAPHS = [GENERATOR.integers(0, 256, (24, 28, 3), dtype=np.uint8) for _ in range(3)]
Pairs = Mapping[str, Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]]
PAIRS: Pairs = {
    "dark": [(photograph, photograph // 3) for photograph in PHOTOGRAPHS],
    "flat": [(photograph, photograph // 2 + 64) for photograph in PHOTOGRAPHS],
}


TINY: dict[str, object] = {
    "images": 160,
    "batch": 4,
    "crop": 16,
    "network": network_settings("compact", channels=[8, 16]),
    "timestep_sampling": TimestepSampling(first=0.6, grid=0.3, uniform=0.1),
    "precision": "float32",
    "checkpoint_every": 40,
}


def settings(**changes: object) -> TrainResidual:
    return TrainResidual.model_validate({**TINY, **changes})


def noise(conditioning: str = "none", begins: Start | None = None, **changes: object) -> StageSpec:
    """The noise stage, on what its conditioning learns from."""
    data = "pairs" if conditioning == "input" else "unpaired"
    tiny = TrainNoise.model_validate(
        {**TINY, **changes, "conditioning": conditioning, "data": data}
    )
    samples = (
        PairSamples(PAIRS, tiny.crop, seed=0)
        if data == "pairs"
        else CleanSamples(PHOTOGRAPHS, tiny.crop, 0, corrupted=conditioning == "estimate")
    )
    return noise_spec(samples, tiny, Diffusion(), SCHEDULE, 0, begins)


def residual(method: Method = "drdd", coupled_networks: int = 1, **changes: object) -> StageSpec:
    """The residual stage, or a rival."""
    diffusion = Diffusion.model_validate({"coupled_networks": coupled_networks})
    tiny = settings(**changes)
    samples = PairSamples(PAIRS, tiny.crop, seed=0)
    return residual_spec(samples, tiny, diffusion, SCHEDULE, 0, method)
