"""What sections are made of: the base class, names, ranges."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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
Radii = Annotated[Bounds, _within(0.1, 50)]
Photons = Annotated[Bounds, _within(1, 100_000)]
Factors = Annotated[Bounds, _within(1, 16)]
Qualities = Annotated[Bounds, _within(1, 100)]
Gradients = Annotated[Bounds, _within(0.001, 1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
