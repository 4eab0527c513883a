"""What is trained: a stage's params, its data and its start, and the spec that they make."""

from collections.abc import Callable, Mapping, Sequence
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
from drdd.methods import find
from drdd.params import Params, PretrainedNetwork, TrainNoise, TrainResidual
from drdd.storage.versions import Address
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.settings import method_of, networks_of, sampling_of, stage_settings
from drdd.training.specs import Begins, StageSpec, stage_spec
from drdd.training.validation import (
    Held,
    Validated,
    held_out,
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
    params, library, settings = job.params, Library(job.shards), settings_of(job)
    samples: CleanSamples | PairSamples
    if isinstance(settings, TrainNoise) and settings.data == "unpaired":
        corrupted = settings.conditioning == "estimate"
        samples = CleanSamples(_pictures(job, library), settings.crop, params.seed, corrupted)
    else:
        samples = _pairs(job, library, settings.crop)
    begins = begins_of(job)
    spec = stage_spec(job.stage, method_of(params), samples, settings, params.seed, begins)
    networks = begins.networks if begins else networks_of(params, job.stage)
    factor = max(network.factor for network in networks.values())
    held = held_out(library, job.held, max(factor, VALIDATED // factor * factor))
    if isinstance(settings, TrainNoise) and settings.conditioning == "estimate":
        held = with_corrupted_copies(held, params.seed)
    return replace(spec, validate=_validation(job, held) if held else None)


def _validation(job: Job, held: Sequence[Held]) -> Callable[[nn.Module, torch.device], Validated]:
    """By the stage's own part of the sampler, without fresh noise."""
    sampling = replace(sampling_of(job.params), eta=0.0)
    method, seed = find(sampling.method)(sampling), job.params.seed

    def validation(net: nn.Module, device: torch.device) -> Validated:
        return validate(net, partial(method.validate, job.stage), held, seed, device)

    return validation


def settings_of(job: Job) -> TrainNoise | TrainResidual:
    return stage_settings(job.params, job.stage)


def begins_of(job: Job) -> Begins | None:
    """Raises UserError when the checkpoint or model cannot be what the stage begins from."""
    if job.stage == "noise":
        start = start_of(job)
        return Begins({"noise": start.config}, {"noise": start.weights}) if start else None
    weights = warm_start_of(job)
    return Begins(networks_of(job.params, job.stage), weights) if weights else None


def start_of(job: Job) -> Start | None:
    """Raises UserError when the checkpoint cannot be what the noise stage begins from."""
    settings = job.params.train.noise
    if job.start is None or not isinstance(settings.network, PretrainedNetwork):
        return None
    channels = 3 if settings.conditioning == "none" else 6
    heads = settings.network.head_channels
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
    return read_warm_start(job.start, networks_of(job.params, job.stage), job.params.method)


def _pictures(job: Job, library: Library) -> Pictures:
    targets = (pair.target for pairs in job.pairs.values() for pair in pairs)
    return Pictures(library, list(dict.fromkeys(targets)))


def _pairs(job: Job, library: Library, crop: int) -> PairSamples:
    pairs = {task: PicturePairs(library, found) for task, found in job.pairs.items()}
    return PairSamples(pairs, crop, job.params.seed)
