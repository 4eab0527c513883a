"""The whole of params.yaml."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from drdd.params.data import Corpus, Ingest, Paired
from drdd.params.errors import nearest
from drdd.params.tasks import Task
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
    corpora: dict[Name, Corpus] = Field(description="of clean images; may be {}")
    paired: dict[Name, Paired] = Field(description="corpora of pairs; may be {}")
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
            f"{key}: {name!r} is no entry of {section}{nearest(name, known)}"
            for key, section, known, names in self._named()
            for name in names
            if name not in known
        ]
        wrong += [
            f"paired.{name}: corpora has an entry of this name too; rename one"
            for name in sorted(self.corpora.keys() & self.paired.keys())
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _named(self) -> Iterator[tuple[str, str, Collection[str], Sequence[str]]]:
        """(key, the section it refers to, that section's names, the names it holds)."""
        for name, task in self.tasks.items():
            yield f"tasks.{name}.corpora", "corpora", self.corpora, task.corpora
            yield f"tasks.{name}.paired", "paired", self.paired, task.paired
        noise = self.train.noise.corpora
        if noise is not None:
            yield "train.noise.corpora", "corpora", self.corpora, noise
