"""Pictures for the report: scaled-down data URIs, and details at full resolution."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drdd.drawing.sheets import cover
from drdd.evaluation.trajectories import DENOISE, DERESIDUAL, ESTIMATE, WORST, Trajectory
from drdd.pictures.pixels import Pixels

WIDE, NARROW = 520, 400  # pixels in width, of the first pictures and of the worst
DETAIL = 128  # side of a detail, pixels of the picture
STATES = 12  # maximum number of states to show
QUALITY = 82


@dataclass(frozen=True)
class Figure:
    """A picture of the report. part: "residual", "noise" or "", the part of the model of this state."""

    name: str
    uri: str
    width: int
    height: int
    part: str = ""


@dataclass(frozen=True)
class Shown:
    """A trajectory for the page. details: all states from input to target, cropped to the same window."""

    trajectory: Trajectory
    input: Figure
    reference: Figure | None
    output: Figure
    target: Figure
    details: list[Figure]
    left_out: int


def shown(one: Trajectory) -> Shown:
    width = NARROW if one.kind == WORST else WIDE
    before, after, target = (
        fitted(name, pixels, width)
        for name, pixels in (
            ("input", one.input),
            ("output", one.output),
            ("target", one.target),
        )
    )
    reference, beside = None, []
    if one.reference is not None:
        reference = fitted("reference", one.reference, width)
        beside = [("reference", one.reference)]
    states = _spread(one.states)
    box = detail(one.output, one.target)
    path = [("input", one.input), *states, *beside, ("target", one.target)]
    details = [cut(name, pixels, box, _part(name)) for name, pixels in path]
    return Shown(one, before, reference, after, target, details, len(one.states) - len(states))


def detail(
    output: Pixels, target: Pixels, champion: Pixels | None = None, side: int = DETAIL
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the square with the largest error of the output.

    champion: its output, whose error is subtracted. The square is smaller than `side` if the picture is.
    """
    error = _squared(output, target)
    if champion is not None:
        error -= _squared(champion, target)
    height, width = (min(side, length) for length in error.shape)
    sums = np.pad(error, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    inside = (sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]) + sums[
        :-height, :-width
    ]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(left), int(top), int(left) + width, int(top) + height


def _squared(output: Pixels, target: Pixels) -> NDArray[np.float64]:
    """(H, W): the squared error of each pixel."""
    error: NDArray[np.float64] = ((output.astype(np.float64) - target) ** 2).sum(axis=2)
    return error


def picture_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def fitted(name: str, pixels: Pixels, width: int) -> Figure:
    """The picture, scaled down to at most `width` pixels in width."""
    image = Image.fromarray(pixels)
    if image.width > width:
        height = max(1, round(image.height * width / image.width))
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return Figure(name, picture_uri(image), image.width, image.height)


def cut(name: str, pixels: Pixels, box: tuple[int, int, int, int], part: str = "") -> Figure:
    """The square (left, top, right, bottom) of the picture, DETAIL pixels a side."""
    left, top, right, bottom = box
    image = cover(pixels[top:bottom, left:right], (DETAIL, DETAIL))
    return Figure(name, picture_uri(image), image.width, image.height, part)


def _spread(states: Sequence[tuple[str, Pixels]]) -> list[tuple[str, Pixels]]:
    """At most STATES states, evenly spaced, with the first and the last."""
    kept = np.linspace(0, len(states) - 1, min(STATES, len(states))).round().astype(int)
    return [states[index] for index in kept]


def _part(name: str) -> str:
    if name == ESTIMATE or name.startswith(DERESIDUAL):
        return "residual"
    return "noise" if name.startswith(DENOISE) else ""
