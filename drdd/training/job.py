"""A training job: the params, data and initial weights of a stage, and the spec made from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from drdd.checkpoints.pretrained import read_pretrained
from drdd.checkpoints.starts import read_start
from drdd.data.library import Library, PicturePairs, Pictures
from drdd.data.pairs import Pair
from drdd.errors import UserError
from drdd.methods import find
from drdd.params import Params, PretrainedNetwork, TrainNoise, TrainResidual
from drdd.storage.versions import Address
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.settings import method_of, networks_of, sampling_of, stage_settings
from drdd.training.specs import InitialWeights, StageSpec, stage_spec
from drdd.training.validation import (
    Held,
    Validated,
    held_out,
    validate,
    with_corrupted_copies,
)

Groups = Mapping[str, Sequence[Pair]]
VALIDATED = (
    128  # pixels of a side of validation crops, rounded down to a multiple of the net's factor
)


@dataclass(frozen=True)
class Job:
    """All that a worker needs to train a stage; it can be pickled.

    pairs: by task, or one group of pairs that have targets only; held: held-out pairs of the same kind,
    for validation; shards: where their pictures are; init_from: the model folder or file to begin from, as
    checkpoints.starts or, for a pretrained network, checkpoints.pretrained reads it; None: random weights.
    """

    stage: str
    params: Params
    pairs: Groups
    held: Groups = field(default_factory=dict)
    shards: Sequence[Address] = ()
    init_from: Path | None = None


def build_spec(job: Job) -> StageSpec:
    """The spec of the job's stage. Unpaired noise stages train on targets; all others on pairs, by task."""
    params, library, settings = job.params, Library(job.shards), settings_of(job)
    samples: CleanSamples | PairSamples
    if isinstance(settings, TrainNoise) and settings.data == "unpaired":
        corrupted = settings.conditioning == "estimate"
        samples = CleanSamples(_pictures(job, library), settings.crop, params.seed, corrupted)
    else:
        pairs = {task: PicturePairs(library, found) for task, found in job.pairs.items()}
        shares = settings.shares if isinstance(settings, TrainResidual) else {}
        samples = PairSamples(pairs, settings.crop, params.seed, shares)
    initial = initial_weights_of(job)
    spec = stage_spec(job.stage, method_of(params), samples, settings, params.seed, initial)
    networks = initial.networks if initial else networks_of(params, job.stage)
    factor = max(network.factor for network in networks.values())
    contexts = any(network.context for network in networks.values())
    size = max(factor, VALIDATED // factor * factor)
    held = held_out(library, job.held, size, contexts=contexts)
    if isinstance(settings, TrainNoise) and settings.conditioning == "estimate":
        held = with_corrupted_copies(held, params.seed)
    return replace(spec, validate=_validation(job, held) if held else None)


def _validation(job: Job, held: Sequence[Held]) -> Callable[[nn.Module, torch.device], Validated]:
    """Validation by the stage's own part of the sampler, with eta = 0."""
    sampling = replace(sampling_of(job.params), eta=0.0)
    method, seed = find(sampling.method)(sampling), job.params.seed

    def validation(net: nn.Module, device: torch.device) -> Validated:
        return validate(net, partial(method.validate, job.stage), held, seed, device)

    return validation


def settings_of(job: Job) -> TrainNoise | TrainResidual:
    return stage_settings(job.params, job.stage)


def initial_weights_of(job: Job) -> InitialWeights | None:
    """None for random weights. Raises UserError when the stage cannot begin from what `init_from` holds."""
    if job.init_from is None:
        return None
    settings = settings_of(job)
    if isinstance(settings, TrainNoise) and isinstance(settings.network, PretrainedNetwork):
        return _pretrained(job.init_from, settings, settings.network.head_channels)
    networks = networks_of(job.params, job.stage)
    try:
        weights = read_start(job.init_from, job.stage, networks, method_of(job.params))
    except UserError as error:
        key = f"train.{job.stage}.start = {settings.start!r}"
        raise UserError(f"{key}: {error.sentence}", error.remedy) from None
    return InitialWeights(networks, weights)


def _pretrained(path: Path, settings: TrainNoise, head_channels: int) -> InitialWeights:
    channels = 3 if settings.conditioning == "none" else 6
    found = read_pretrained(path, settings.parameterization, channels, head_channels)
    if settings.crop % found.config.factor:
        raise UserError(
            f"train.noise.crop: {settings.crop} must be a multiple of {found.config.factor} for the "
            f"network of {settings.start}"
        )
    return InitialWeights({"noise": found.config}, {"noise": found.weights}, found.account)


def _pictures(job: Job, library: Library) -> Pictures:
    targets = (pair.target for pairs in job.pairs.values() for pair in pairs)
    return Pictures(library, list(dict.fromkeys(targets)))
