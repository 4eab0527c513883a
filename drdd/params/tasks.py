"""Tasks: where their pairs come from, how many they may use, what they must reach."""

from typing import Literal

from pydantic import Field, model_validator

from drdd.degradations.catalogue import Degradation
from drdd.gates.catalogue import TaskBounds
from drdd.settings import Count, Fraction, Name, Section


class Pairs(Section):
    """Where a task's pairs come from: degradations of clean corpora, or paired corpora."""

    corpora: list[Name] = Field(
        default=[], description="clean corpora whose images are the targets"
    )
    degradation: list[Degradation] = Field(
        default=[], description="what makes the inputs of the corpora's images"
    )
    order: Literal["given", "random"] = Field(
        default="given", description="of the degradations; random: drawn anew for each picture"
    )
    paired: list[Name] = Field(default=[], description="paired corpora, instead of both above")
    variants: Count = Field(default=4, description="degraded versions of each training image")
    pairs: Fraction = Field(default=1.0, description="fraction of the training pairs that is used")

    @model_validator(mode="after")
    def _one_origin(self) -> "Pairs":
        if self.paired and (self.corpora or self.degradation):
            raise ValueError("give paired alone, or corpora with degradation")
        if not self.paired and not (self.corpora and self.degradation):
            raise ValueError("needs corpora and degradation, or paired")
        return self


class Task(TaskBounds, Pairs):
    """One image-to-image task: its pairs, and what evaluation must show of it."""
