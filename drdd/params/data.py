"""Corpora of clean images, paired corpora, and how both are taken in."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from drdd.settings import Count, Scale, Section

SYNTHETIC = PurePosixPath("data/synthetic")
"""The folder of drawn pictures: those of the entry NAME of `synthetic` are in data/synthetic/NAME."""


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
Side = Annotated[int, Field(ge=16, le=4096, description="pixels")]
Holdout = list[str] | Annotated[float, Field(ge=0, le=1)]
SOURCE = (
    "a folder, an s3:// prefix, a zip or tar archive, a list (.txt) or a table (.csv, .parquet)"
)


def drawn_by(source: str) -> str:
    """The name of the entry of `synthetic` that fills a source; "" for a source that none would fill."""
    path = PurePosixPath(source)
    return path.name if path.parent == SYNTHETIC else ""


class Synthetic(Section):
    """Clean pictures that are drawn, to be the source of a corpus."""

    kind: Literal["dead_leaves", "night_sky"] = Field(
        description="dead_leaves: overlapping shapes with the statistics of photographs; "
        "night_sky: stars, galaxies and nebulae on a dark ground"
    )
    count: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        description="pictures; more of them leave the first ones as they are"
    )
    width: Side = 384
    height: Side = 384
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="of the series of pictures")


class Origin(Section):
    """What clean and paired corpora have in common."""

    holdout: Holdout = Field(
        default=0.1,
        description="file stems (or keys of pairs) held out for evaluation, or the fraction chosen by "
        "content hash; 1.0 holds all out",
    )
    licence: str = Field(default="not stated", description="for the data card")
    obtain: str = Field(default="", description="where it is to be had: a URL or a sentence")


class Corpus(Origin):
    """Clean images of one domain."""

    source: str = Field(min_length=1, description=SOURCE)
    include: Pattern | None = Field(
        default=None,
        description="a regular expression that a file's path below the source must match",
    )
    column: str = Field(default="image", description="of a table: which column names the files")
    max_side: Count | None = Field(
        default=None, description="pixels, to take it in smaller; ingest.max_side, unless given"
    )


class Match(Section):
    """A file belongs to a side when its regular expression matches the path below the source.

    The groups that it captures, joined by "/", are the pair's key.
    """

    input: Pattern
    target: Pattern

    @model_validator(mode="after")
    def _captures(self) -> "Match":
        for side in ("input", "target"):
            if re.compile(getattr(self, side)).groups < 1:
                raise ValueError(f"{side}: needs a group (...) that captures the pair's key")
        return self


class Columns(Section):
    """Of a table: which columns name the files of each pair."""

    input: str = "input"
    target: str = "target"


class Paired(Origin):
    """Pairs of a degraded and a clean image. One target may serve several inputs."""

    input: str = Field(min_length=1, description=f"of degraded images: {SOURCE}")
    target: str = Field(min_length=1, description="of clean images; may be the same as input")
    match: Literal["stem", "row"] | Match = Field(
        default="stem",
        description="stem: equal file stems; row: the n-th of a list with the n-th of the other; or "
        "regular expressions {input, target}. The rows of a table are its pairs whatever stands here",
    )
    columns: Columns = Columns()
    scale: Scale = Field(
        default=1,
        description="how many times higher and wider each target is than its input; above 1, pictures are "
        "not scaled down to ingest.max_side",
    )
    aligned: bool = Field(
        default=True,
        description="false: inputs and targets show different scenes (cat to dog); they are then "
        "paired by content hash",
    )

    @model_validator(mode="after")
    def _enlarges_the_same_scene(self) -> "Paired":
        if self.scale > 1 and not self.aligned:
            raise ValueError(
                f"scale is {self.scale}, but aligned is false: other scenes have no common scale"
            )
        return self


class Ingest(Section):
    min_side: Count = Field(default=64, description="smaller images are set aside, pixels")
    max_side: Count = Field(
        default=768, description="larger images are scaled down to this, pixels"
    )
    max_pixels: Count = Field(
        default=100_000_000, description="images that claim more pixels are set aside undecoded"
    )
    near_duplicates: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.15,
        description="images whose thumbnails differ by at most this share of their contrast count as one "
        "picture; 0: only equal ones",
    )
