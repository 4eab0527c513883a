"""The degradations that make a task's pairs: kinds, ranges, defaults, meanings."""

from typing import Annotated, Any, Literal

from pydantic import Field

from drdd.params.types import (
    Degrees,
    Densities,
    Exponents,
    GreyLevels,
    Lengths,
    Section,
    Shares,
)


class GaussianNoise(Section):
    kind: Literal["gaussian_noise"]
    sigma: GreyLevels = Field(description="standard deviation, grey levels of 255")


class LowLight(Section):
    kind: Literal["low_light"]
    gain: Shares
    gamma: Exponents
    sigma: GreyLevels = Field(description="sensor noise, grey levels of 255")


class Haze(Section):
    kind: Literal["haze"]
    density: Densities
    airlight: Shares


class Rain(Section):
    kind: Literal["rain"]
    density: Shares = Field(description="drops per pixel")
    length: Lengths = Field(description="pixels")
    angle: Degrees = Field(description="degrees from the vertical")
    strength: Shares


DEGRADATIONS: dict[Any, type[Section]] = {
    "gaussian_noise": GaussianNoise,
    "low_light": LowLight,
    "haze": Haze,
    "rain": Rain,
}

Degradation = Annotated[GaussianNoise | LowLight | Haze | Rain, Field(discriminator="kind")]
