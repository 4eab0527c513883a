"""Tasks: where their pairs come from, how many they may use, what they must reach."""

from typing import Literal

from pydantic import Field, model_validator

from drdd.degradations.catalogue import Degradation
from drdd.degradations.masks import Mask
from drdd.gates.catalogue import TaskBounds
from drdd.references.catalogue import ENLARGED, reference_of
from drdd.settings import Count, Fraction, Name, Scale, Section


class Pairs(Section):
    """Where a task's pairs come from: degradations of clean corpora, or paired corpora."""

    corpora: list[Name] = Field(
        default=[], description="clean corpora whose images are the targets"
    )
    degradation: list[Degradation] = Field(
        default=[], description="what makes the inputs of the corpora's images"
    )
    scale: Scale = Field(
        default=1,
        description="how many times higher and wider the target is than its input, which the network sees "
        "enlarged; of corpora, the picture is made smaller before it is degraded",
    )
    order: Literal["given", "random"] = Field(
        default="given", description="of the degradations; random: drawn anew for each picture"
    )
    paired: list[Name] = Field(default=[], description="paired corpora, instead of both above")
    variants: Count = Field(default=4, description="degraded versions of each training image")
    pairs: Fraction = Field(default=1.0, description="fraction of the training pairs that is used")

    def inputs(self) -> int:
        """How many inputs are made of a training image: without a degradation, all would be the same."""
        return self.variants if self.degradation else 1

    @model_validator(mode="after")
    def _one_origin(self) -> "Pairs":
        if self.paired and (self.corpora or self.degradation):
            raise ValueError("give paired alone, or corpora with degradation")
        if not self.paired and not (self.corpora and (self.degradation or self.scale > 1)):
            raise ValueError("needs corpora and degradation (or a scale above 1), or paired")
        return self


class Task(TaskBounds, Pairs):
    """One image-to-image task: its pairs, and what evaluation must show of it."""

    reference: str | None = Field(
        default=None,
        description="what restores the held-out pictures without training, to be compared with; none: "
        "nothing; by default it is the reference of the one degradation that has one",
    )

    @model_validator(mode="after")
    def _has_an_able_reference(self) -> "Task":
        self.reference_name()
        return self

    @model_validator(mode="after")
    def _is_gated_by_what_it_has(self) -> "Task":
        if self.min_gain_over_reference and self.reference_name() is None:
            raise ValueError(
                f"min_gain_over_reference is {self.min_gain_over_reference:g}, but the task has no "
                "reference; name one, or leave it out"
            )
        return self

    def fill(self) -> float | None:
        """The one grey, in [0, 1], under which its degradations hide pixels; None if there is no such.

        None too for a task that enlarges: the edges of its holes are blurred.
        """
        if self.scale > 1:
            return None
        greys = {grey for step in self.degradation if isinstance(step, Mask) for grey in step.fill}
        return greys.pop() if len(greys) == 1 else None

    def reference_name(self) -> str | None:
        """The name in drdd.references.catalogue; None: the task has no reference."""
        kinds = [step.kind for step in self.degradation]
        return reference_of(self.reference, [*kinds, *([ENLARGED] if self.scale > 1 else [])])
