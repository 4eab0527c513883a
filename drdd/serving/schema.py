"""The schemas of requests and answers of the API."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from drdd.formats.carried import Depth, Keeping
from drdd.inference.options import MOST_SAMPLES, Options
from drdd.metrics.catalogue import listed
from drdd.pictures.uncertainty import GREYS
from drdd.serving.jobs import Told
from drdd.serving.service import ServedModel
from drdd.settings import Scale

Format = Literal["png", "jpeg", "webp"]
Steps = Annotated[int, Field(ge=1, le=20)]
BODIES = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")
NOTES = "X-Notes"
NOTED = {
    NOTES: {
        "description": "what was converted or left out without a request, in words",
        "schema": {"type": "string"},
    }
}
BINARY = {"schema": {"type": "string", "format": "binary"}}


class RestoreQuery(BaseModel):
    """How to restore; as the model was evaluated, unless given."""

    model_config = ConfigDict(extra="forbid")
    steps: Steps | None = Field(default=None, description="of the residual and of the noise part")
    residual_steps: Steps | None = Field(default=None, description="instead of steps")
    noise_steps: Steps | None = Field(default=None, description="instead of steps")
    noise_level: float | None = Field(
        default=None, gt=0, le=1, allow_inf_nan=False, description="s of the fixed-noise domain"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="another one, another noise")
    samples: int = Field(
        default=1,
        ge=1,
        le=MOST_SAMPLES,
        description="restore with so many seeds, from `seed` on; the answer is their mean",
    )
    scale: Scale | None = Field(
        default=None,
        description="how many times higher and wider the output is, of those that the model's tasks have; "
        "1 if it has such a task, else the only one that it has, unless given",
    )
    model: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="an alias or a version that is served",
    )
    format: Format = Field(default="png", description="of the answer; PNG loses nothing")
    metadata: Literal["all", "anonymous", "none"] = Field(
        default="all",
        description="EXIF and XMP of the answer: all that the picture has; anonymous: what identifies "
        "neither a person, a place nor a single device; or none",
    )
    profile: Literal["srgb", "keep"] = Field(
        default="srgb",
        description="of the answer: sRGB; or that of the picture, if colours can be converted to it",
    )
    depth: Literal["8", "16", "input"] = Field(
        default="input",
        description="bits a channel of the answer; input: those of the picture, if the format holds them",
    )
    states: bool = Field(
        default=False, description="answer in JSON, with every state on the way as a PNG"
    )
    answer: Literal["picture", "uncertainty", "json"] = Field(
        default="picture",
        description="the restored picture; how much the samples differ, as a grey PNG; or both in JSON",
    )

    @field_validator("answer")
    @classmethod
    def _is_there(cls, answer: str, info: ValidationInfo) -> str:
        """A map of uncertainty needs samples, and is a PNG. Fields that are wrong themselves are absent."""
        if answer == "uncertainty":
            if info.data.get("samples") == 1:
                raise PydanticCustomError("samples", "one sample has no uncertainty: add samples=8")
            if info.data.get("states"):
                raise PydanticCustomError(
                    "states", "states=true answers in JSON, with the map in it"
                )
            if info.data.get("format", "png") != "png":
                raise PydanticCustomError("format", "the map is a PNG: leave format out")
        return answer

    @property
    def in_json(self) -> bool:
        return self.states or self.answer == "json"

    @property
    def written(self) -> str:
        """The format of the output's file, as Pillow calls it; within JSON it is a PNG."""
        return "PNG" if self.in_json else self.format.upper()

    def keeping(self) -> Keeping:
        depth: Depth = "input" if self.depth == "input" else 16 if self.depth == "16" else 8
        return Keeping(self.metadata, self.profile, depth)

    def options(self) -> Options:
        return Options(
            residual_steps=self.residual_steps or self.steps,
            noise_steps=self.noise_steps or self.steps,
            noise_level=self.noise_level,
            seed=self.seed,
            states=self.states,
            samples=self.samples,
            scale=self.scale,
        )


def once(request: Request) -> None:
    """A dependency that raises RequestValidationError for an option given twice."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": "given more than once"} for name in twice]
        )


def only(*known: str) -> Callable[[Request], None]:
    """A dependency that raises RequestValidationError for other options, and as `once`."""

    def check(request: Request) -> None:
        once(request)
        unknown = sorted(request.query_params.keys() - set(known))
        if unknown:
            may = f"has only {', '.join(known)}" if known else "has no options"
            raise RequestValidationError(
                [{"loc": ("query", name), "msg": f"this request {may}"} for name in unknown]
            )

    return check


class StateOut(BaseModel):
    name: str = Field(examples=["noised input"])
    image: str = Field(description="a data URI, PNG of 8 bits in sRGB, without transparency")


class ModelRef(BaseModel):
    alias: str
    version: str


class UncertaintyOut(BaseModel):
    """How much the samples differ: the standard deviation of each pixel, in levels of 255."""

    image: str = Field(description="a data URI, PNG, grey")
    greys: int = Field(default=GREYS, description="grey levels of the image for one level of 255")
    samples: int
    mean: float
    largest: float = Field(description="0: all samples are equal")


class RestoredOut(BaseModel):
    """The answer in JSON."""

    output: str = Field(description="a data URI, PNG; the mean of the samples")
    notes: list[str] = Field(description="what was converted or left out, in words")
    uncertainty: UncertaintyOut | None = Field(description="null for one sample")
    states: list[StateOut] = Field(description="of the first sample, with states=true")
    model: ModelRef
    seconds: float = Field(description="of inference")
    waited: float = Field(description="seconds before it")
    width: int
    height: int
    request: str


class TaskOut(BaseModel):
    scale: int = Field(description="how many times higher and wider than the input its output is")


class ServedOut(BaseModel):
    alias: str
    version: str
    tasks: dict[str, TaskOut] = Field(description="by name")
    loaded: str = Field(description="ISO 8601, UTC")
    metrics: dict[str, Any] = Field(description="metrics.json of the version")
    problem: str | None = Field(description="why what the alias points to now is not served")

    @classmethod
    def of(cls, one: ServedModel) -> "ServedOut":
        return cls(
            alias=one.alias,
            version=one.version,
            tasks={name: TaskOut(scale=scale) for name, scale in one.tasks.items()},
            loaded=one.loaded,
            metrics=dict(one.metrics),
            problem=one.problem,
        )


class LimitsOut(BaseModel):
    max_megabytes: float
    max_pixels: int
    api_keys: bool = Field(description="whether requests must carry one")


class MetricOut(BaseModel):
    """How a metric of metrics.json is shown."""

    name: str = Field(examples=["psnr_rgb"])
    heading: str = Field(examples=["PSNR, RGB (dB)"])
    digits: int

    @classmethod
    def listed(cls) -> "list[MetricOut]":
        return [
            cls(name=name, heading=metric.heading, digits=metric.digits)
            for name, metric in listed().items()
        ]


class ModelsOut(BaseModel):
    models: list[ServedOut]
    metrics: list[MetricOut] = Field(
        default_factory=MetricOut.listed, description="those of single pictures, in order"
    )
    default: str
    limits: LimitsOut


class LinksOut(BaseModel):
    """Paths: ask here, fetch the result here; DELETE the first to cancel."""

    self: str
    result: str


class JobOut(BaseModel):
    id: str
    status: Literal["waiting", "running", "done", "failed", "cancelled"]
    progress: float = Field(ge=0, le=100, description="per cent of the restoring")
    position: int | None = Field(description="jobs before it, while it waits")
    created: str | None = Field(description="ISO 8601, UTC")
    expires: str | None = Field(
        description="until when the result is kept; null before it is there"
    )
    version: str | None = Field(description="of the model when the job was sent")
    links: LinksOut

    @classmethod
    def of(cls, told: Told) -> "JobOut":
        place = f"/v1/jobs/{told.id}"
        links = LinksOut(self=place, result=f"{place}/result")
        return cls.model_validate({**asdict(told), "links": links})


class StatusOut(BaseModel):
    status: str


class ReadyOut(StatusOut):
    max_bytes: int = Field(description="of the largest body that is accepted")


def request_body() -> dict[str, Any]:
    """The OpenAPI description of the body of POST /v1/restore."""
    mask = {
        **BINARY["schema"],
        "description": "a picture of the same size: white is filled, black is kept",
    }
    form = {
        "type": "object",
        "required": ["image"],
        "properties": {"image": BINARY["schema"], "mask": mask},
    }
    return {
        "required": True,
        "content": {**dict.fromkeys(BODIES, BINARY), "multipart/form-data": {"schema": form}},
    }
