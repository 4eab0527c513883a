"""The degradations that make a task's pairs: kinds, ranges, defaults, meanings.

A range [low, high] is drawn from uniformly, once for each degraded image.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from drdd.params.types import (
    Count,
    Degrees,
    Densities,
    Exponents,
    Factors,
    Fraction,
    Gradients,
    GreyLevels,
    Lengths,
    Photons,
    Qualities,
    Radii,
    Section,
    Shares,
)


class Step(Section):
    """What all degradations have in common."""

    probability: Fraction = Field(
        default=1.0, description="that the step is applied; else the image passes unchanged"
    )


class GaussianNoise(Step):
    kind: Literal["gaussian_noise"]
    sigma: GreyLevels = Field(
        default=[15, 50], description="standard deviation, grey levels of 255"
    )


class PoissonNoise(Step):
    """Shot noise: few photons."""

    kind: Literal["poisson_noise"]
    peak: Photons = Field(default=[10, 60], description="photons that white is counted as")


class SaltAndPepper(Step):
    kind: Literal["salt_and_pepper"]
    density: Shares = Field(default=[0.02, 0.1], description="share of white or black pixels")


class Speckle(Step):
    """Multiplicative noise, as of radar and ultrasound."""

    kind: Literal["speckle"]
    sigma: Shares = Field(default=[0.15, 0.4], description="standard deviation, parts of the value")


class LowLight(Step):
    kind: Literal["low_light"]
    gain: Shares = Field(default=[0.15, 0.4], description="brightness that is left")
    gamma: Exponents = Field(default=[1.0, 1.4], description="above 1 darkens the shadows more")
    sigma: GreyLevels = Field(default=[1, 5], description="sensor noise, grey levels of 255")


class Haze(Step):
    """Koschmieder's law."""

    kind: Literal["haze"]
    density: Densities = Field(default=[0.8, 2.0], description="optical depth of the far end")
    airlight: Shares = Field(default=[0.8, 1.0], description="grey of the haze itself")


class Rain(Step):
    kind: Literal["rain"]
    density: Shares = Field(default=[0.004, 0.008], description="drops per pixel")
    length: Lengths = Field(default=[11, 25], description="pixels")
    angle: Degrees = Field(default=[-30, 30], description="degrees from the vertical")
    strength: Shares = Field(default=[0.5, 0.9], description="brightness of a streak")


class Snow(Step):
    kind: Literal["snow"]
    density: Shares = Field(
        default=[0.001, 0.003], description="of the nearest flakes, a pixel; far ones are more"
    )
    size: Lengths = Field(default=[5, 9], description="diameter of the nearest flakes, pixels")
    strength: Shares = Field(default=[0.7, 1.0], description="opacity of a flake")


class GaussianBlur(Step):
    kind: Literal["gaussian_blur"]
    sigma: Radii = Field(default=[1.0, 3.0], description="pixels")


class MotionBlur(Step):
    kind: Literal["motion_blur"]
    length: Lengths = Field(default=[7, 21], description="pixels")
    angle: Degrees = Field(
        default=[-90, 90], description="degrees from the horizontal, anticlockwise"
    )


class DefocusBlur(Step):
    kind: Literal["defocus_blur"]
    radius: Radii = Field(default=[2.0, 5.0], description="of the disc, pixels")


class Downsample(Step):
    """Smaller, and back to the picture's size by bicubic interpolation."""

    kind: Literal["downsample"]
    factor: Factors = Field(default=[2, 4], description="times smaller along each side")
    methods: list[Literal["area", "bilinear", "bicubic"]] = Field(
        default=["area", "bilinear", "bicubic"],
        min_length=1,
        description="one is drawn for each image",
    )


class Jpeg(Step):
    """Baseline JPEG with 4:2:0 chroma."""

    kind: Literal["jpeg"]
    quality: Qualities = Field(default=[5, 30], description="the IJG's, 1 to 100")


class Mask(Step):
    """A part of the picture hidden under one grey."""

    area: Shares = Field(default=[0.1, 0.3], description="share of the picture that is hidden")
    fill: Shares = Field(default=[0.5, 0.5], description="its grey, from 0 (black) to 1 (white)")


class BoxMask(Mask):
    kind: Literal["box_mask"]


class BrushMask(Mask):
    kind: Literal["brush_mask"]
    strokes: Count = Field(default=4, le=100, description="winding brush strokes")


class BorderMask(Mask):
    """All but a box of the picture's own shape is hidden."""

    kind: Literal["border_mask"]
    area: Shares = Field(default=[0.3, 0.6], description="share of the picture that is hidden")


class Fading(Step):
    """An old colour print."""

    kind: Literal["fading"]
    saturation: Shares = Field(default=[0.2, 0.5], description="share of the colour that is left")
    contrast: Shares = Field(default=[0.4, 0.7], description="share of the contrast that is left")
    yellowing: Shares = Field(default=[0.1, 0.3], description="blue that the veil lacks")


class Grey(Step):
    """Luma alone, to be coloured."""

    kind: Literal["grey"]


class Edges(Step):
    """A line drawing, dark on white, to be turned into a photograph."""

    kind: Literal["edges"]
    sigma: Radii = Field(
        default=[0.8, 1.2], description="smoothing before edges are sought, pixels"
    )
    threshold: Gradients = Field(
        default=[0.02, 0.04], description="gradient at which a line begins, of white, a pixel"
    )


Degradation = Annotated[
    GaussianNoise
    | PoissonNoise
    | SaltAndPepper
    | Speckle
    | LowLight
    | Haze
    | Rain
    | Snow
    | GaussianBlur
    | MotionBlur
    | DefocusBlur
    | Downsample
    | Jpeg
    | BoxMask
    | BrushMask
    | BorderMask
    | Fading
    | Grey
    | Edges,
    Field(discriminator="kind"),
]

DEGRADATIONS: dict[Any, type[Section]] = {
    get_args(schema.model_fields["kind"].annotation)[0]: schema
    for schema in get_args(get_args(Degradation)[0])
}
"""The schema of each kind, in the order of the union."""
