"""Tasks: where their pairs come from, how many they may use, what they must reach."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from drdd.degradations.catalogue import Degradation
from drdd.settings import Count, Fraction, Name, Section


class Task(Section):
    """One image-to-image task: degradations of clean corpora, or paired corpora."""

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
    min_psnr_gain: float = Field(
        default=0.0,
        description="dB over the degraded input that evaluation must show (aligned pairs alone)",
    )
    max_drop_vs_champion: Annotated[float, Field(ge=0)] = Field(
        default=0.5, description="dB that it may lose against the model that the alias points to"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "Task":
        if self.paired and (self.corpora or self.degradation):
            raise ValueError("give paired alone, or corpora with degradation")
        if not self.paired and not (self.corpora and self.degradation):
            raise ValueError("needs corpora and degradation, or paired")
        return self
