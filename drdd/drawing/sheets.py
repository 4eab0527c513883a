"""Sheets of pictures: rows of a name and of captioned cells."""

from collections.abc import Sequence
from math import ceil
from textwrap import fill

from PIL import Image, ImageDraw, ImageFont

from drdd.pictures.pixels import Pixels

CELL = (300, 220)
GAP, LABEL, HEADING, CAPTION = 8, 110, 34, 24
LETTERS = 11  # per line of a row's name
INK, FAINT, PAPER = "#1c2330", "#66707f", "#ffffff"

Cell = tuple[Pixels, str] | None  # (H, W, 3), and the caption below it; None: an empty cell


def sheet(
    columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Cell]]], size: tuple[int, int] = CELL
) -> Image.Image:
    """Draw rows of a name and one cell per column; the same rows give the same pixels.

    size: (width, height) of a cell, which shows the centre of its picture, see `cover`.
    """
    step = size[0] + GAP, size[1] + CAPTION + GAP
    drawn = Image.new("RGB", (LABEL + len(columns) * step[0], HEADING + len(rows) * step[1]), PAPER)
    draw = ImageDraw.Draw(drawn)
    heading, label, caption = (ImageFont.load_default(size) for size in (18, 18, 15))
    centres = [LABEL + column * step[0] + size[0] // 2 for column in range(len(columns))]
    for centre, name in zip(centres, columns, strict=True):
        _centred(draw, centre, HEADING // 2, name, heading, INK)
    for row, (name, cells) in enumerate(rows):
        top = HEADING + row * step[1]
        lines = fill(name.replace("_", " "), LETTERS)
        _centred(draw, LABEL // 2, top + size[1] // 2, lines, label, INK)
        for centre, cell in zip(centres, cells, strict=True):
            if cell is None:
                continue
            pixels, said = cell
            drawn.paste(cover(pixels, size), (centre - size[0] // 2, top))
            _centred(draw, centre, top + size[1] + CAPTION // 2, said, caption, FAINT)
    return drawn


def cover(pixels: Pixels, size: tuple[int, int]) -> Image.Image:
    """The centre of a picture at its own resolution, scaled up only if it is smaller than `size`.

    Scaling down would remove noise and fine detail.
    """
    image = Image.fromarray(pixels)
    scale = max(1.0, size[0] / image.width, size[1] / image.height)
    if scale > 1:
        image = image.resize(
            (ceil(image.width * scale), ceil(image.height * scale)), Image.Resampling.BICUBIC
        )
    left, top = (image.width - size[0]) // 2, (image.height - size[1]) // 2
    return image.crop((left, top, left + size[0], top + size[1]))


def _centred(
    draw: ImageDraw.ImageDraw, x: int, y: int, text: str, font: object, colour: str
) -> None:
    draw.text((x, y), text, font=font, fill=colour, anchor="mm", align="center")  # type: ignore[arg-type]
