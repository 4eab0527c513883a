"""The whole of params.yaml."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from drdd.gates.catalogue import RunBounds
from drdd.methods import names
from drdd.params.data import Corpus, Ingest, Paired, Synthetic, drawn_by
from drdd.params.errors import nearest
from drdd.params.tasks import Task
from drdd.params.training import BASE, SCRATCH, Diffusion, Train
from drdd.settings import AliasName, Count, Name, Positive, Section, is_alias, no_alias

BASE_METHOD = "drdd"  # of the base that ships


def _known_method(name: str) -> str:
    if name not in (known := names()):
        raise ValueError(f"unknown{nearest(name, known)}; there are {', '.join(known)}")
    return name


class Metrics(Section):
    crop_border: Annotated[int, Field(ge=0)] = Field(default=0, description="pixels left out")
    weights: str | None = Field(
        default=None,
        min_length=1,
        description="a folder with the downloaded networks of LPIPS (alexnet-owt-7be5be79.pth), FID and "
        "KID (inception-2015-12-05.pt); a metric whose file is not there is not computed",
    )


class Gates(RunBounds, Section):
    """What the whole run must reach; what a task must reach is in tasks."""


class Serve(Section):
    threads: Count = Field(default=2, description="CPU threads of a replica")
    gpus: Annotated[float, Field(ge=0, le=1)] = Field(default=0.0, description="of a replica")
    max_batch: Count = Field(default=8, description="pictures restored together")
    replicas: Count = Field(default=1, description="at least")
    max_replicas: Count | None = Field(
        default=None,
        description="at most, as the load asks for them; always replicas, unless given",
    )
    models: list[AliasName] = Field(
        default=["champion"],
        min_length=1,
        description="the aliases that are served and followed as they move; the first by default",
    )
    follow_s: Positive = Field(default=5.0, description="seconds between looks at the aliases")
    max_waiting: Count = Field(
        default=64, description="requests that may wait for a replica; more are told to come back"
    )
    timeout_s: Positive = Field(default=600.0, description="seconds that a request may take")
    max_megabytes: Positive = Field(default=32.0, description="of a request's body")
    max_pixels: Count = Field(
        default=50_000_000, description="of a picture that is sent, times its samples"
    )
    jobs: Count = Field(default=64, description="jobs that are kept, with their results")
    jobs_megabytes: Positive = Field(default=1024.0, description="of all jobs together")
    jobs_keep_s: Positive = Field(default=600.0, description="seconds that a job's result is kept")
    job_timeout_s: Positive = Field(default=3600.0, description="seconds of restoring a job")
    api_keys: str | None = Field(
        default=None,
        min_length=1,
        description="a file with a key a line, outside of git; requests must carry one. Open without",
    )
    keyless: list[Literal["metrics", "docs"]] = Field(
        default=[], description="what needs no key although api_keys is set"
    )

    @model_validator(mode="after")
    def _grows(self) -> "Serve":
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(
                f"max_replicas {self.max_replicas} is less than replicas {self.replicas}"
            )
        return self


def _free(alias: str) -> str:
    if not is_alias(alias):
        raise ValueError(no_alias(alias))
    if alias in (BASE, SCRATCH):
        raise ValueError(f"{alias!r} is a start of training, so no alias can have this name")
    return alias


class Publish(Section):
    registry: str = Field(min_length=1, description="s3://bucket/prefix or a folder")
    alias: Annotated[Name, AfterValidator(_free)] = Field(
        default="champion", description="moved when the gate is passed"
    )
    promote: bool = Field(default=True, description="whether it is moved at all")


def _refuse(wrong: Sequence[str]) -> None:
    """Raises ValueError, which says all that is wrong."""
    if wrong:
        raise ValueError("; ".join(wrong))


class Params(Section):
    seed: Annotated[int, Field(ge=0)] = 0
    photographs: dict[Name, list[str]] = Field(
        default={}, description="photographs that installed packages bundle, by folder to be made"
    )
    synthetic: dict[Name, Synthetic] = Field(
        default={}, description="clean pictures to be drawn, by folder to be made"
    )
    corpora: dict[Name, Corpus] = Field(description="of clean images; may be {}")
    paired: dict[Name, Paired] = Field(description="corpora of pairs; may be {}")
    ingest: Ingest = Ingest()
    tasks: dict[Name, Task] = Field(min_length=1)
    method: Annotated[str, AfterValidator(_known_method)] = Field(
        default="drdd",
        description="drdd, or a baseline on the same data: a file of drdd/methods; a baseline is trained "
        "on pairs for the images of both stages",
    )
    diffusion: Diffusion = Diffusion()
    train: Train
    metrics: Metrics = Metrics()
    gates: Gates = Gates()
    serve: Serve = Serve()
    publish: Publish

    @model_validator(mode="after")
    def _references(self) -> "Params":
        wrong = [
            f"{key}: {name!r} is no entry of {section}{nearest(name, known)}"
            for key, section, known, names in self._named()
            for name in names
            if name not in known
        ]
        wrong += [
            f"paired.{name}: corpora has an entry of this name too; rename one"
            for name in sorted(self.corpora.keys() & self.paired.keys())
        ]
        _refuse(wrong)
        return self

    @model_validator(mode="after")
    def _one_scale(self) -> "Params":
        wrong = [
            f"tasks.{name}.scale is {task.scale}, but paired.{corpus}.scale is "
            f"{self.paired[corpus].scale}; set both to how many times larger the targets are"
            for name, task in self.tasks.items()
            for corpus in task.paired
            if self.paired[corpus].scale != task.scale
        ]
        _refuse(wrong)
        return self

    @model_validator(mode="after")
    def _leaves_pixels(self) -> "Params":
        wrong = [
            f"tasks.{name}.scale is {task.scale}, but ingest.min_side is {self.ingest.min_side}: of the "
            f"smallest pictures no pixel would be left; raise ingest.min_side"
            for name, task in self.tasks.items()
            if task.corpora and task.scale > self.ingest.min_side
        ]
        _refuse(wrong)
        return self

    @model_validator(mode="after")
    def _begins_from_its_method(self) -> "Params":
        if self.method != BASE_METHOD and self.train.residual.start == BASE:
            raise ValueError(
                f"train.residual.start: {BASE!r} is a model of method {BASE_METHOD!r}, but method is "
                f"{self.method!r}; set train.residual.start: {SCRATCH}"
            )
        return self

    @model_validator(mode="after")
    def _drawn_large_enough(self) -> "Params":
        wrong = []
        for name in self.corpora:
            if (drawn := self.synthetic_of(name)) is None:
                continue
            most = self.corpora[name].max_side or self.ingest.max_side
            scale = min(1, most / max(drawn.width, drawn.height))
            side = round(min(drawn.width, drawn.height) * scale)
            wrong += [
                f"corpora.{name}: its drawn pictures have a side of {side} pixels, less than {key} = "
                f"{least}; raise synthetic.{drawn_by(self.corpora[name].source)}.width and height"
                for key, least in self._least_sides(name)
                if side < least
            ]
        _refuse(wrong)
        return self

    def _least_sides(self, corpus: str) -> Iterator[tuple[str, int]]:
        """(key, pixels) of the settings that a corpus's pictures must not fall below."""
        yield "ingest.min_side", self.ingest.min_side
        if corpus in (self.train.noise.corpora or self.corpora):
            yield "train.noise.crop", self.train.noise.crop
        if any(corpus in task.corpora for task in self.tasks.values()):
            yield "train.residual.crop", self.train.residual.crop

    def synthetic_of(self, corpus: str) -> Synthetic | None:
        """What is drawn to be the source of a corpus; None for one that has files of its own."""
        return self.synthetic.get(drawn_by(self.corpora[corpus].source))

    def _named(self) -> Iterator[tuple[str, str, Collection[str], Sequence[str]]]:
        """(key, the section it refers to, that section's names, the names it holds)."""
        for name, task in self.tasks.items():
            yield f"tasks.{name}.corpora", "corpora", self.corpora, task.corpora
            yield f"tasks.{name}.paired", "paired", self.paired, task.paired
        noise = self.train.noise.corpora
        if noise is not None:
            yield "train.noise.corpora", "corpora", self.corpora, noise
        yield "train.residual.shares", "tasks", self.tasks, list(self.train.residual.shares)
