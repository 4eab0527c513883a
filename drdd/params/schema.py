"""The whole of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from drdd.params.errors import nearest
from drdd.params.tasks import Corpus, Ingest, Task
from drdd.params.training import Diffusion, Train
from drdd.params.types import Count, Name, Section


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
    method: Literal["drdd", "coupled", "regression"] = Field(
        default="drdd",
        description="drdd, or a rival on the same data; a rival's one network is trained on pairs for "
        "the images of both stages",
    )
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
