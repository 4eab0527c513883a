"""A network, data and settings so small that a training run takes a second."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from drdd.diffusion.process import Conditioning
from drdd.diffusion.schedule import Schedule
from drdd.methods import find
from drdd.nets.families import network_settings
from drdd.params import TimestepSampling, TrainNoise, TrainResidual
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.specs import InitialWeights, StageSpec, stage_spec
from tests.nets.tiny import sampling

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


def noise(
    conditioning: Conditioning = "none", initial: InitialWeights | None = None, **changes: object
) -> StageSpec:
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
    method = find("drdd")(
        sampling(conditioning=conditioning, parameterization=tiny.parameterization)
    )
    return stage_spec("noise", method, samples, tiny, 0, initial)


def residual(method: str = "drdd", **changes: object) -> StageSpec:
    """The residual stage, or a baseline."""
    tiny = settings(**changes)
    samples = PairSamples(PAIRS, tiny.crop, seed=0)
    return stage_spec("residual", find(method)(sampling(method=method)), samples, tiny, 0)
