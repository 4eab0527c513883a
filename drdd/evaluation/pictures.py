"""The picture grid: one row a task, input | after de-residual | output | target."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

COLUMNS = ("input", "after de-residual", "output", "target")
CELL = (300, 220)
GAP, LABEL, HEADING, CAPTION = 8, 110, 34, 24
INK, FAINT, PAPER = "#1c2330", "#66707f", "#ffffff"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """A held-out picture's way through the model, (H, W, 3) uint8 each; psnr in dB, RGB."""

    task: str
    image: str
    input: Pixels
    deresidual: Pixels
    output: Pixels
    target: Pixels
    input_psnr: float
    deresidual_psnr: float
    output_psnr: float

    @property
    def cells(self) -> list[tuple[Pixels, str]]:
        """Pixels and caption, in the order of COLUMNS."""
        return [
            (self.input, f"{self.input_psnr:.1f} dB"),
            (self.deresidual, f"{self.deresidual_psnr:.1f} dB"),
            (self.output, f"{self.output_psnr:.1f} dB"),
            (self.target, ""),
        ]


def grid(examples: Sequence[Example]) -> Image.Image:
    """One row an example, about 1360 pixels wide; the same examples give the same pixels."""
    width = LABEL + len(COLUMNS) * (CELL[0] + GAP)
    height = HEADING + len(examples) * (CELL[1] + CAPTION + GAP)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    heading, label, caption = (ImageFont.load_default(size) for size in (18, 18, 15))
    for column, name in enumerate(COLUMNS):
        _centred(draw, _left(column) + CELL[0] // 2, HEADING // 2, name, heading, INK)
    for row, example in enumerate(examples):
        top = HEADING + row * (CELL[1] + CAPTION + GAP)
        name = example.task.replace("_", " ")
        _centred(draw, LABEL // 2, top + CELL[1] // 2, name, label, INK)
        for column, (pixels, said) in enumerate(example.cells):
            sheet.paste(cover(pixels, CELL), (_left(column), top))
            centre = _left(column) + CELL[0] // 2
            _centred(draw, centre, top + CELL[1] + CAPTION // 2, said, caption, FAINT)
    return sheet


def cover(pixels: Pixels, size: tuple[int, int]) -> Image.Image:
    """The middle of a picture at its own resolution, scaled up only if it is smaller than `size`.

    Noise and fine detail would vanish in a scaled-down picture.
    """
    image = Image.fromarray(pixels)
    scale = max(1.0, size[0] / image.width, size[1] / image.height)
    if scale > 1:
        image = image.resize(
            (ceil(image.width * scale), ceil(image.height * scale)), Image.Resampling.BICUBIC
        )
    left, top = (image.width - size[0]) // 2, (image.height - size[1]) // 2
    return image.crop((left, top, left + size[0], top + size[1]))


def _left(column: int) -> int:
    return LABEL + column * (CELL[0] + GAP)


def _centred(draw: ImageDraw.ImageDraw, x: int, y: int, text: str, font: object, fill: str) -> None:
    draw.text((x, y), text, font=font, fill=fill, anchor="mm")  # type: ignore[arg-type]
