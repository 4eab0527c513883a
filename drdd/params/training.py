"""The diffusion, the networks, and the training of each stage."""

from functools import reduce
from operator import or_
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from drdd.nets.families import SETTINGS, NetworkSettings, network_settings
from drdd.settings import Count, Fraction, Name, Positive, Section


class Diffusion(Section):
    steps: Annotated[int, Field(ge=2, le=10_000)] = 1000
    beta_start: Fraction = 1e-4
    beta_end: Fraction = 0.02
    normalise_residual: bool = Field(
        default=True,
        description="a_T = 1, so the residual is removed completely; false as published",
    )
    noise_level: Fraction = Field(default=0.15, description="s of the fixed-noise domain")
    residual_steps: Count = Field(default=2, description="sampling steps of the residual part")
    noise_steps: Count = Field(default=2, description="sampling steps of the noise part")
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0


class PretrainedNetwork(NetworkSettings):
    """The network of the checkpoint that train.noise.start names, at its sizes."""

    family: Literal["pretrained"]
    head_channels: Annotated[int, Field(ge=1)] = Field(
        default=64, description="of guided diffusion's attention: its weights do not tell"
    )

    @property
    def factor(self) -> int:
        """Not known before the checkpoint is read; the stage itself looks then."""
        return 1


NETWORKS: dict[str, type[NetworkSettings]] = {**SETTINGS, "pretrained": PretrainedNetwork}

if TYPE_CHECKING:
    Network = NetworkSettings
else:
    _union: Any = reduce(or_, NETWORKS.values())
    Network = Annotated[_union, Field(discriminator="family")]

BASE, SCRATCH = "base", "scratch"
PRETRAINED = PurePosixPath("pretrained")
"""The folder of the user's own weights: what DVC watches, so that a changed start is seen."""


def is_path(start: str) -> bool:
    """Whether a start is a file or folder below PRETRAINED, and no published model."""
    return "/" in start


def _watched(start: str) -> str:
    path = PurePosixPath(start)
    if is_path(start) and (PRETRAINED not in path.parents or ".." in path.parts):
        raise ValueError(
            f"{start!r} is not below {PRETRAINED}/, where DVC sees when it changes: copy it there, or "
            "name a published model by its alias or id alone"
        )
    return start


class TimestepSampling(Section):
    """A mixture of three distributions of t: train where sampling happens."""

    first: Annotated[float, Field(ge=0, le=1)] = Field(description="the first sampling step")
    grid: Annotated[float, Field(ge=0, le=1)] = Field(description="any sampling step")
    uniform: Annotated[float, Field(ge=0, le=1)] = Field(description="any step of the stage")

    @model_validator(mode="after")
    def _sums_to_one(self) -> "TimestepSampling":
        total = self.first + self.grid + self.uniform
        if abs(total - 1) > 1e-6:
            raise ValueError(f"first + grid + uniform must be 1, got {total:g}")
        return self


class TrainStage(Section):
    """One stage's training; both stages run through the same loop."""

    images: Count = Field(description="budget: training crops seen")
    minutes: Positive | None = Field(
        default=None,
        description="a second budget: whichever ends first. Learning rates follow it too, so such a "
        "run is only as reproducible as the machine's speed",
    )
    batch: Count = Field(default=16, description="crops a step, over all workers")
    micro_batch: Count | None = Field(
        default=None,
        description="crops that a worker computes at once, the gradients of the rest of its share "
        "being accumulated; all at once, unless given",
    )
    crop: Annotated[int, Field(ge=16)] = Field(default=64, description="pixels")
    network: Network = network_settings("compact")
    start: Annotated[str, AfterValidator(_watched)] = Field(
        default=BASE,
        min_length=1,
        description="where the weights begin: base, which ships with drdd; scratch, random; a published "
        "model (an alias such as champion, or a version's id, which a later run reproduces); or a model "
        "folder or file below pretrained/",
    )
    timestep_sampling: TimestepSampling
    loss: Literal["squared", "charbonnier", "log_squared"] = Field(
        default="log_squared",
        description="of a sample's error: squared; charbonnier, nearly absolute; log_squared, "
        "whose mean is the mean PSNR",
    )
    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        default="adamw", description="PyTorch's own; sgd has the first of betas as its momentum"
    )
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=[0.9, 0.99], min_length=2, max_length=2
    )
    learning_rate: Positive = 1e-3
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="how the learning rate goes after warmup; the first two to 0"
    )
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.1, description="of the budget")
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    clip: Positive = Field(default=1.0, description="gradient norm")
    max_skipped: Annotated[int, Field(ge=0)] = Field(
        default=10,
        description="steps whose loss or gradient is not finite are skipped; one more of them than "
        "this stops the run",
    )
    precision: Literal["auto", "bf16", "float32"] = Field(
        default="auto", description="auto: bf16 where the processor computes in it"
    )
    compile: bool = Field(default=False, description="torch.compile the network")
    workers: Count = Field(default=1, description="Ray Train workers")
    min_workers: Count | None = Field(
        default=None,
        description="go on with as few, while the cluster has no room for all; never, unless given",
    )
    threads: Count = Field(default=1, description="CPU threads, and Ray CPUs, a worker")
    gpus: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="a worker; a fraction shares a GPU with another stage"
    )
    restarts: Annotated[int, Field(ge=0)] = Field(
        default=8, description="how often lost workers or nodes are replaced before the run fails"
    )
    checkpoint_every: Count = Field(default=3200, description="images between checkpoints")
    keep: Count = Field(default=2, description="newest checkpoints kept, beside the best one")
    validate_every: Count | None = Field(
        default=3200,
        description="images between validations on held-out pictures; none, if null",
    )

    @model_validator(mode="after")
    def _divides(self) -> "TrainStage":
        if self.batch % self.workers:
            raise ValueError(f"batch {self.batch} does not divide among {self.workers} workers")
        share = self.batch // self.workers
        if self.micro_batch is not None and share % self.micro_batch:
            raise ValueError(
                f"a worker's share of the batch, {share}, does not divide into micro_batch "
                f"{self.micro_batch}"
            )
        factor = self.network.factor
        if self.crop % factor:
            raise ValueError(f"crop {self.crop} must be a multiple of {factor} for this network")
        if self.images < self.batch:
            raise ValueError(f"images {self.images} is less than one batch of {self.batch}")
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers {self.min_workers} is more than workers {self.workers}")
        if 0 < self.gpus < 1 and self.workers > 1:
            raise ValueError(
                f"gpus {self.gpus:g} with {self.workers} workers: each needs a whole GPU"
            )
        return self


class TrainNoise(TrainStage):
    conditioning: Literal["none", "input", "estimate"] = Field(
        default="none",
        description="what the noise net sees beside the noisy image. none: nothing; input: the "
        "degraded image, needs pairs; estimate: the residual stage's estimate, needs no pairs",
    )
    data: Literal["unpaired", "pairs"] = Field(
        default="unpaired",
        description="clean images, or pairs for the conditioning that needs them",
    )
    corpora: list[Name] | None = Field(
        default=None,
        min_length=1,
        description="the clean corpora it learns from; all, unless given",
    )
    parameterization: Literal["paper", "vp_epsilon", "vp_v", "vp_x0", "edm", "flow"] = Field(
        default="paper", description="what the network predicts, and of which diffusion"
    )

    @model_validator(mode="after")
    def _starts(self) -> "TrainNoise":
        pretrained = isinstance(self.network, PretrainedNetwork)
        if pretrained and not is_path(self.start):
            raise ValueError(
                "network.family 'pretrained' needs a checkpoint of guided diffusion or diffusers: set "
                f"start to its path below {PRETRAINED}/"
            )
        if pretrained and not self.parameterization.startswith("vp_"):
            raise ValueError(
                f"a pretrained start is a VP diffusion, not {self.parameterization!r}: set "
                "parameterization to vp_epsilon (or vp_v, vp_x0), as it was trained"
            )
        return self

    @model_validator(mode="after")
    def _has_its_data(self) -> "TrainNoise":
        needed = "pairs" if self.conditioning == "input" else "unpaired"
        if self.data != needed:
            raise ValueError(
                f"conditioning {self.conditioning!r} learns from {needed}, not from {self.data}: "
                f"set data to {needed}"
            )
        return self


class TrainResidual(TrainStage):
    rollout: bool = Field(
        default=True,
        description="at the sampler's later steps, train on the state that the sampler itself "
        "reaches instead of the true one (drdd alone)",
    )
    balance: Literal["relative", "none"] = Field(
        default="relative",
        description="relative: each sample's loss is divided by its residual's own energy, so that "
        "tasks with large residuals do not starve the others",
    )
    shares: dict[Name, Annotated[int, Field(ge=1, le=100)]] = Field(
        default={},
        description="by task: samples in each round of all tasks, 1 unless given: more for one that "
        "learns slowly",
    )

    @model_validator(mode="after")
    def _is_trained_here(self) -> "TrainResidual":
        if isinstance(self.network, PretrainedNetwork):
            raise ValueError("network.family 'pretrained' is for the noise stage alone")
        return self


class Train(Section):
    noise: TrainNoise
    residual: TrainResidual
