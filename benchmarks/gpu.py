"""Training steps of the paper's networks on a GPU, as the loop takes them: bf16, compiled or not.

It needs neither Ray nor prepared data: pictures are noise and lie in memory, as the loader's cache holds
those of a run.
"""

import gc
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.baseline_loop import LAP
from drdd.diffusion.process import Conditioning
from drdd.methods.drdd import Implementation as Drdd
from drdd.methods.method import Sampling
from drdd.nets.families import network_settings
from drdd.params import Diffusion, TimestepSampling, TrainNoise, TrainResidual
from drdd.pictures.pixels import Pixels
from drdd.training.history import Point, Progress
from drdd.training.learner import Worker
from drdd.training.loop import TrainerCallback, train
from drdd.training.samples import PairSamples
from drdd.training.specs import StageSpec, stage_spec

CROP, SIDE, PAIRS = 256, 384, 32
LARGEST = 32  # the batch that is tried first
LAPS = 5
CASES = ("noise, adm", "residual, rddm")


def measured(device: torch.device) -> dict[str, dict[str, Any]]:
    """By case; the batch is LARGEST, halved until a step fits, and then the same when compiled.

    images_per_second, waiting, utilisation and memory_gib are medians over the points but the first,
    whose time is first_lap_seconds: it warms up, or compiles. points: all of them, raw.
    """
    found: dict[str, dict[str, Any]] = {}
    for case in CASES:
        batch = LARGEST
        while (points := steps(case, batch, False, device)) is None:
            batch //= 2
        found[case] = summed_up(points, batch)
        print(case, batch, "images a step", flush=True)
        if compiled := steps(case, batch, True, device):
            found[f"{case}, compiled"] = summed_up(compiled, batch)
    return found


def summed_up(points: Sequence[Point], batch: int) -> dict[str, Any]:
    names = ("images_per_second", "waiting", "utilisation", "memory_gib")
    usual = {name: median(point[name] for point in points[1:]) for name in names}
    first = LAP * batch / points[0]["images_per_second"]
    return {"batch": batch, **usual, "first_lap_seconds": first, "points": list(points)}


def steps(case: str, batch: int, compiled: bool, device: torch.device) -> list[Point] | None:
    """The points of a run; None where it does not fit the device's memory."""
    if compiled:
        torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    spec, settings = stage(
        case, {"batch": batch, "images": LAPS * LAP * batch, "compile": compiled}
    )
    kept = _Kept()
    try:
        train(spec, settings, Worker(device=device), kept)
    except torch.OutOfMemoryError:
        if batch == 1:
            raise
        return None
    return kept.points


class _Kept(TrainerCallback):
    def __init__(self) -> None:
        self.points: list[Point] = []

    def report(self, progress: Progress) -> None:
        self.points.append(progress.point)


def stage(case: str, changes: Mapping[str, object]) -> tuple[StageSpec, TrainNoise | TrainResidual]:
    """One of CASES at the paper's sizes, learning from pairs; changes: to its settings."""
    plain: dict[str, object] = {
        "crop": CROP,
        "timestep_sampling": TimestepSampling(first=0.6, grid=0.3, uniform=0.1),
        "precision": "bf16",
        "validate_every": None,
        **changes,
    }
    if case == "noise, adm":
        plain = {"network": network_settings("adm"), **plain}
        noise = TrainNoise.model_validate({"conditioning": "input", "data": "pairs", **plain})
        samples = PairSamples({"noise": _pairs()}, noise.crop, 0)
        return stage_spec("noise", _method("input"), samples, noise, 0), noise
    plain = {"network": network_settings("rddm"), **plain}
    residual = TrainResidual.model_validate(plain)
    samples = PairSamples({"noise": _pairs()}, residual.crop, 0)
    return stage_spec("residual", _method("none"), samples, residual, 0), residual


def _method(conditioning: Conditioning) -> Drdd:
    plain = Diffusion().model_dump()
    return Drdd(Sampling("drdd", **plain, conditioning=conditioning, parameterization="paper"))


@cache
def _pairs() -> list[tuple[Pixels, Pixels]]:
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (PAIRS, 2, SIDE, SIDE, 3), dtype=np.uint8)
    return [(target, degraded) for target, degraded in pictures]
