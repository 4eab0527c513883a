"""The registry of degradations: a function on batches of images and the schema of its settings."""

from collections.abc import Callable
from typing import TypeVar, get_args

from pydantic import Field

from drdd.degradations.deferred import Tensor
from drdd.settings import Fraction, Section

Function = TypeVar("Function", bound=Callable[..., Tensor])


class Step(Section):
    """The common fields of all degradations. A subclass narrows `kind` to a Literal."""

    probability: Fraction = Field(
        default=1.0, description="that the step is applied; else the image passes unchanged"
    )
    kind: str


SCHEMAS: dict[str, type[Step]] = {}
FUNCTIONS: dict[str, Callable[..., Tensor]] = {}
"""By kind, filled when the files of degradations are imported; `catalogue.py` imports all."""


def degradation(schema: type[Step]) -> Callable[[Function], Function]:
    """Register a function as the degradation of the schema's kind.

    The function takes x, (B, 3, H, W) in [0, 1] on any device, a generator on any device, and
    by keyword the schema's fields except kind and probability; it returns the same shape
    and range. Raises ValueError for a kind that is taken.
    """
    (kind,) = get_args(schema.model_fields["kind"].annotation)

    def declared(function: Function) -> Function:
        if kind in FUNCTIONS:
            raise ValueError(f"there are two degradations of kind {kind!r}")
        SCHEMAS[kind], FUNCTIONS[kind] = schema, function
        return function

    return declared
