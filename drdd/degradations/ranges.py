"""Ranges [low, high] of settings: a value is drawn uniformly from one for each degraded image."""

from typing import Annotated

from pydantic import AfterValidator, Field


def within(lowest: float, highest: float) -> AfterValidator:
    """Of Bounds: both in [lowest, highest], in order."""

    def ordered(bounds: list[float]) -> list[float]:
        low, high = bounds
        if not lowest <= low <= high <= highest:
            raise ValueError(
                f"{bounds} must be [low, high] with {lowest:g} <= low <= high <= {highest:g}"
            )
        return bounds

    return AfterValidator(ordered)


Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]
GreyLevels = Annotated[Bounds, within(0, 255)]
Shares = Annotated[Bounds, within(0, 1)]
Exponents = Annotated[Bounds, within(0.1, 10)]
Densities = Annotated[Bounds, within(0, 10)]
Lengths = Annotated[Bounds, within(1, 200)]
Degrees = Annotated[Bounds, within(-90, 90)]
Radii = Annotated[Bounds, within(0.1, 50)]
Photons = Annotated[Bounds, within(1, 100_000)]
Factors = Annotated[Bounds, within(1, 16)]
Qualities = Annotated[Bounds, within(1, 100)]
Gradients = Annotated[Bounds, within(0.001, 1)]
