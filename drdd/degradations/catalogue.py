"""All degradations by kind, and the union of their schemas, which types the steps of a task."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from drdd.degradations import blur, jpeg, masks, noise, resampling, tone, weather
from drdd.degradations.registry import FUNCTIONS, SCHEMAS, Step

__all__ = ["FAMILIES", "FUNCTIONS", "SCHEMAS", "Degradation"]

FAMILIES = (blur, jpeg, masks, noise, resampling, tone, weather)

if TYPE_CHECKING:
    Degradation = Step
else:
    _union: Any = reduce(or_, SCHEMAS.values())
    Degradation = Annotated[_union, Field(discriminator="kind")]
