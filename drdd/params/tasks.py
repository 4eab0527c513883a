"""Corpora, tasks and the degradations that make a task's pairs."""

from typing import Annotated, Any, Literal

from pydantic import Field

from drdd.params.types import (
    Count,
    Degrees,
    Densities,
    Exponents,
    Fraction,
    GreyLevels,
    Lengths,
    Name,
    Section,
    Shares,
)


class Corpus(Section):
    """Clean images of one domain."""

    source: str = Field(min_length=1, description="a folder or s3:// prefix of images")
    holdout: list[str] | Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1,
        description="file stems held out for evaluation, or the fraction chosen by content hash",
    )


class Ingest(Section):
    min_side: Count = Field(default=64, description="smaller images are set aside, pixels")
    max_side: Count = Field(
        default=768, description="larger images are scaled down to this, pixels"
    )
    max_pixels: Count = Field(
        default=100_000_000, description="images that claim more pixels are set aside undecoded"
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


class Task(Section):
    """One image-to-image task: where its pairs come from and what it must reach."""

    corpora: list[Name] = Field(min_length=1, description="whose images are the targets")
    degradation: list[Degradation] = Field(min_length=1, description="applied in this order")
    variants: Count = Field(default=4, description="degraded versions of each training image")
    pairs: Fraction = Field(default=1.0, description="fraction of the training pairs that is used")
    min_psnr_gain: float = Field(
        default=0.0, description="dB over the degraded input that evaluation must show"
    )
