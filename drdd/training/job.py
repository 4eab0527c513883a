"""What is trained: a stage's params, its data and its start, and the spec that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from drdd.checkpoints.pretrained import Start, read_start
from drdd.checkpoints.warm_start import Weights, read_warm_start
from drdd.data.library import Library, PicturePairs, Pictures
from drdd.data.pairs import Pair
from drdd.errors import UserError
from drdd.params import Params, PretrainedNetwork, TrainNoise, TrainResidual
from drdd.storage.versions import Address
from drdd.training.networks import noise_channels, residual_networks, sampling_of
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.specs import StageSpec, noise_spec, residual_spec
from drdd.training.validation import (
    Held,
    Restore,
    Validated,
    coupled_restore,
    held_out,
    noise_restore,
    regression_restore,
    residual_restore,
    validate,
    with_corrupted_copies,
)

Groups = Mapping[str, Sequence[Pair]]
VALIDATED = 128  # pixels of a side of a validation's crops, rounded to what the network takes


@dataclass(frozen=True)
class Job:
    """What a worker needs, wherever it runs.

    pairs: by task, or of one group that has targets alone; held: the same kind, on which the stage is
    validated; shards: where their pictures are; start: what the stage begins from instead of random
    weights: a pretrained checkpoint (noise), or the folder of a published model (residual).
    """

    stage: str
    params: Params
    pairs: Groups
    held: Groups = field(default_factory=dict)
    shards: Sequence[Address] = ()
    start: Path | None = None


def build_spec(job: Job) -> StageSpec:
    """Unpaired noise stages see targets; everything else sees pairs, by task."""
    params, library = job.params, Library(job.shards)
    diffusion, seed, settings = params.diffusion, params.seed, settings_of(job)
    schedule = sampling_of(params).schedule()
    samples: CleanSamples | PairSamples
    if isinstance(settings, TrainNoise):
        if settings.data == "pairs":
            samples = _pairs(job, library, settings.crop)
        else:
            corrupted = settings.conditioning == "estimate"
            samples = CleanSamples(_pictures(job, library), settings.crop, seed, corrupted)
        start = start_of(job)
        spec = noise_spec(samples, settings, diffusion, schedule, seed, start)
        factor = start.config.factor if start else settings.network.factor
        restore = noise_restore(schedule, diffusion.noise_steps, settings.conditioning)
    else:
        samples, weights = _pairs(job, library, settings.crop), warm_start_of(job)
        spec = residual_spec(samples, settings, diffusion, schedule, seed, params.method, weights)
        factor, restore = settings.network.factor, _restore_of(job)
    held = held_out(library, job.held, max(factor, VALIDATED // factor * factor))
    if isinstance(settings, TrainNoise) and settings.conditioning == "estimate":
        held = with_corrupted_copies(held, seed)
    return replace(spec, validate=partial(_validated, restore, held, seed) if held else None)


def _restore_of(job: Job) -> Restore:
    """How the network that learns from pairs restores."""
    diffusion, schedule = job.params.diffusion, sampling_of(job.params).schedule()
    steps = diffusion.residual_steps
    if job.params.method == "regression":
        return regression_restore(schedule)
    if job.params.method == "coupled":
        return coupled_restore(schedule, steps + diffusion.noise_steps)
    return residual_restore(schedule, steps)


def _validated(
    restore: Restore, held: Sequence[Held], seed: int, net: nn.Module, device: torch.device
) -> Validated:
    return validate(net, restore, held, seed, device)


def settings_of(job: Job) -> TrainNoise | TrainResidual:
    """The stage's settings. A rival's one network has the budget of both stages."""
    noise, residual = job.params.train.noise, job.params.train.residual
    if job.stage == "noise":
        return noise
    if job.params.method == "drdd":
        return residual
    return residual.model_copy(update={"images": noise.images + residual.images})


def start_of(job: Job) -> Start | None:
    """Raises UserError when the checkpoint cannot be what the noise stage begins from."""
    settings = job.params.train.noise
    if job.start is None or not isinstance(settings.network, PretrainedNetwork):
        return None
    channels, heads = noise_channels(settings), settings.network.head_channels
    start = read_start(job.start, settings.parameterization, channels, heads)
    if settings.crop % start.config.factor:
        raise UserError(
            f"train.noise.crop: {settings.crop} must be a multiple of {start.config.factor} for the "
            f"network of {settings.start}"
        )
    return start


def warm_start_of(job: Job) -> Weights | None:
    """Raises UserError when the model cannot be what the residual stage begins from."""
    if job.start is None:
        return None
    params = job.params
    networks = residual_networks(params.train.residual, params.diffusion, params.method)
    return read_warm_start(job.start, networks, params.method)


def _pictures(job: Job, library: Library) -> Pictures:
    targets = (pair.target for pairs in job.pairs.values() for pair in pairs)
    return Pictures(library, list(dict.fromkeys(targets)))


def _pairs(job: Job, library: Library, crop: int) -> PairSamples:
    pairs = {task: PicturePairs(library, found) for task, found in job.pairs.items()}
    return PairSamples(pairs, crop, job.params.seed)
