"""Loss of resolution: (B, 3, H, W) in [0, 1] -> the same shape and range."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from drdd.degradations.deferred import F, Generator, Tensor, torch
from drdd.degradations.draws import Range, draw, uniform
from drdd.degradations.ranges import Factors
from drdd.degradations.registry import Step, degradation


class Downsample(Step):
    kind: Literal["downsample"]
    factor: Factors = Field(default=[2, 4], description="times smaller along each side")
    methods: list[Literal["area", "bilinear", "bicubic"]] = Field(
        default=["area", "bilinear", "bicubic"],
        min_length=1,
        description="one is drawn for each image",
    )


@degradation(Downsample)
def downsample(x: Tensor, rng: Generator, *, factor: Range, methods: Sequence[str]) -> Tensor:
    """Scale down by `factor` with one of `methods`, and back by bicubic interpolation.

    methods: some of area (the mean of the replaced pixels), bilinear and bicubic (both with anti-aliasing);
    one is drawn for each image. The smaller side is round(side / factor), at least 1.
    """
    factors = draw(x, rng, factor).flatten().tolist()
    choices = (uniform((len(x),), x, rng) * len(methods)).long().tolist()
    images = [
        _there_and_back(image[None], by, methods[choice])
        for image, by, choice in zip(x, factors, choices, strict=True)
    ]
    return torch.cat(images)


def _there_and_back(x: Tensor, factor: float, method: str) -> Tensor:
    height, width = x.shape[-2:]
    size = (max(1, round(height / factor)), max(1, round(width / factor)))
    if method == "area":
        small = F.interpolate(x, size, mode="area")
    else:
        small = F.interpolate(x, size, mode=method, align_corners=False, antialias=True)
    back = F.interpolate(small, (height, width), mode="bicubic", align_corners=False)
    return back.clamp(0, 1)
