"""The schema of params.yaml: every setting, its type, range, default and meaning, in one place.

`load` refuses a file with all its errors at once, worded by params_errors.py. OmegaConf reads the
file (interpolation, overrides); pydantic validates it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from yaml import YAMLError

from drdd.errors import UserError
from drdd.params_errors import explain, nearest

FILE = "params.yaml"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


def _within(lowest: float, highest: float) -> AfterValidator:
    """Of [low, high], from which a value is drawn uniformly for each image."""

    def ordered(bounds: list[float]) -> list[float]:
        low, high = bounds
        if not lowest <= low <= high <= highest:
            raise ValueError(
                f"{bounds} must be [low, high] with {lowest:g} <= low <= high <= {highest:g}"
            )
        return bounds

    return AfterValidator(ordered)


Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]
GreyLevels = Annotated[Bounds, _within(0, 255)]
Shares = Annotated[Bounds, _within(0, 1)]
Exponents = Annotated[Bounds, _within(0.1, 10)]
Densities = Annotated[Bounds, _within(0, 10)]
Lengths = Annotated[Bounds, _within(1, 200)]
Degrees = Annotated[Bounds, _within(-90, 90)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Corpus(Section):
    """Clean images of one domain."""

    source: str = Field(min_length=1, description="a folder or s3:// prefix of images")
    holdout: list[str] | Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1,
        description="file stems held out for evaluation, or the fraction chosen by content hash",
    )


class Ingest(Section):
    min_side: Count = Field(default=64, description="smaller images are set aside, pixels")
    max_side: Count = Field(
        default=768, description="larger images are scaled down to this, pixels"
    )
    max_pixels: Count = Field(
        default=100_000_000, description="images that claim more pixels are set aside undecoded"
    )


class GaussianNoise(Section):
    kind: Literal["gaussian_noise"]
    sigma: GreyLevels = Field(description="standard deviation, grey levels of 255")


class LowLight(Section):
    kind: Literal["low_light"]
    gain: Shares
    gamma: Exponents
    sigma: GreyLevels = Field(description="sensor noise, grey levels of 255")


class Haze(Section):
    kind: Literal["haze"]
    density: Densities
    airlight: Shares


class Rain(Section):
    kind: Literal["rain"]
    density: Shares = Field(description="drops per pixel")
    length: Lengths = Field(description="pixels")
    angle: Degrees = Field(description="degrees from the vertical")
    strength: Shares


DEGRADATIONS: dict[Any, type[Section]] = {
    "gaussian_noise": GaussianNoise,
    "low_light": LowLight,
    "haze": Haze,
    "rain": Rain,
}

Degradation = Annotated[GaussianNoise | LowLight | Haze | Rain, Field(discriminator="kind")]


class Task(Section):
    """One image-to-image task: where its pairs come from and what it must reach."""

    corpora: list[Name] = Field(min_length=1, description="whose images are the targets")
    degradation: list[Degradation] = Field(min_length=1, description="applied in this order")
    variants: Count = Field(default=4, description="degraded versions of each training image")
    pairs: Fraction = Field(default=1.0, description="fraction of the training pairs that is used")
    min_psnr_gain: float = Field(
        default=0.0, description="dB over the degraded input that evaluation must show"
    )


class Diffusion(Section):
    steps: Annotated[int, Field(ge=2, le=10_000)] = 1000
    beta_start: Fraction = 1e-4
    beta_end: Fraction = 0.02
    noise_level: Fraction = Field(default=0.15, description="s of the fixed-noise domain")
    residual_steps: Count = Field(default=2, description="sampling steps of the residual part")
    noise_steps: Count = Field(default=2, description="sampling steps of the noise part")
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0


class Network(Section):
    """The compact UNet."""

    channels: list[Annotated[int, Field(ge=8, multiple_of=8)]] = Field(
        default=[48, 96, 160], min_length=1, max_length=6
    )
    blocks: Annotated[int, Field(ge=1, le=8)] = 1


class TimeDraw(Section):
    """A mixture of three distributions of t: train where sampling happens."""

    start: Annotated[float, Field(ge=0, le=1)] = Field(description="the first sampling step")
    grid: Annotated[float, Field(ge=0, le=1)] = Field(description="any sampling step")
    uniform: Annotated[float, Field(ge=0, le=1)] = Field(description="any step of the stage")

    @model_validator(mode="after")
    def _sums_to_one(self) -> "TimeDraw":
        total = self.start + self.grid + self.uniform
        if abs(total - 1) > 1e-6:
            raise ValueError(f"start + grid + uniform must be 1, got {total:g}")
        return self


class TrainStage(Section):
    """One stage's training; both stages run through the same loop."""

    images: Count = Field(description="budget: training crops seen")
    batch: Count = Field(default=16, description="crops a step, over all workers")
    crop: Annotated[int, Field(ge=16)] = Field(default=64, description="pixels")
    network: Network = Network()
    time_draw: TimeDraw
    learning_rate: Positive = 1e-3
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.1, description="of the budget")
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    clip: Positive = Field(default=1.0, description="gradient norm")
    precision: Literal["auto", "bf16", "float32"] = Field(
        default="auto", description="auto: bf16 where the processor computes in it"
    )
    workers: Count = Field(default=1, description="Ray Train workers")
    threads: Count = Field(default=1, description="CPU threads, and Ray CPUs, a worker")
    use_gpu: bool = False
    checkpoint_every: Count = Field(default=3200, description="images between checkpoints")

    @model_validator(mode="after")
    def _divides(self) -> "TrainStage":
        if self.batch % self.workers:
            raise ValueError(f"batch {self.batch} does not divide among {self.workers} workers")
        factor = 2 ** len(self.network.channels)
        if self.crop % factor:
            raise ValueError(
                f"crop {self.crop} must be a multiple of {factor} for a network of "
                f"{len(self.network.channels)} levels"
            )
        if self.images < self.batch:
            raise ValueError(f"images {self.images} is less than one batch of {self.batch}")
        return self


class TrainResidual(TrainStage):
    balance: Literal["relative", "none"] = Field(
        default="relative",
        description="relative: each sample's loss is divided by its residual's own energy, so that "
        "tasks with large residuals do not starve the others",
    )


class Train(Section):
    noise: TrainStage
    residual: TrainResidual


class Evaluate(Section):
    crop_border: Annotated[int, Field(ge=0)] = Field(default=0, description="pixels left out")


class Serve(Section):
    threads: Count = Field(default=2, description="CPU threads of a replica")


class Publish(Section):
    registry: str = Field(min_length=1, description="s3://bucket/prefix or a folder")
    alias: Name = Field(default="champion", description="moved when the gate is passed")


class Params(Section):
    seed: Annotated[int, Field(ge=0)] = 0
    photographs: dict[Name, list[str]] = Field(
        default={}, description="photographs that installed packages bundle, by folder to be made"
    )
    corpora: dict[Name, Corpus] = Field(min_length=1)
    ingest: Ingest = Ingest()
    tasks: dict[Name, Task] = Field(min_length=1)
    diffusion: Diffusion = Diffusion()
    train: Train
    evaluate: Evaluate = Evaluate()
    serve: Serve = Serve()
    publish: Publish

    @model_validator(mode="after")
    def _references(self) -> "Params":
        wrong = [
            f"tasks.{name}.corpora: {corpus!r} is no corpus{nearest(corpus, self.corpora)}"
            for name, task in self.tasks.items()
            for corpus in task.corpora
            if corpus not in self.corpora
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def load(path: Path | str = FILE, overrides: Sequence[str] = ()) -> Params:
    """Read and validate params, after applying overrides of the form "train.noise.images=100".

    Raises UserError that lists every error of the file at once.
    """
    return validate(read(path, overrides), str(path))


def read(path: Path | str = FILE, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The file's plain content with overrides applied; an override's key must exist in the file."""
    try:
        config = OmegaConf.load(path)
        keys = _leaf_keys(OmegaConf.to_container(config))
        for override in overrides:
            key = override.partition("=")[0].strip()
            if "=" not in override:
                raise UserError(f"override {override!r}: write it as key=value")
            if key not in keys:
                raise UserError(f"override {override!r}: {path} has no {key!r}{nearest(key, keys)}")
        merged = OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides)))
        content = OmegaConf.to_container(merged, resolve=True)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run this in the project's folder") from None
    except (OmegaConfBaseException, YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of sections, not {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def overridden(path: Path | str, overrides: Sequence[str]) -> str:
    """The text of a valid params.yaml that has the overrides in it. Raises UserError as `load`."""
    content = read(path, overrides)
    validate(content, str(path))
    return OmegaConf.to_yaml(OmegaConf.create(content))


def validate(content: dict[str, Any], origin: str = FILE) -> Params:
    """Check plain content against the schema."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        lines = explain(error, content, Params, DEGRADATIONS)
        listed = "\n  ".join(lines)
        raise UserError(f"{origin}: {len(lines)} error(s)\n  {listed}") from None


def _leaf_keys(content: Any, prefix: str = "") -> set[str]:
    keys: set[str] = set()
    if isinstance(content, dict):
        for key, value in content.items():
            keys |= {f"{prefix}{key}"} | _leaf_keys(value, f"{prefix}{key}.")
    return keys
