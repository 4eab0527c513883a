"""The contact sheet: labelled thumbnails in rows."""

from collections.abc import Sequence
from math import ceil

from PIL import Image, ImageDraw, ImageFont

from drdd.drawing.sheets import GAP, INK, PAPER
from drdd.pictures.pixels import Pixels

TILE = (240, 180)
LINE = 24


def contact_sheet(tiles: Sequence[tuple[Pixels, str]], columns: int = 6) -> Image.Image:
    """Draw `columns` tiles per row, in order; the same tiles give the same pixels.

    tiles: (H, W, 3) uint8 with a label, which is cut to fit below the tile. Pictures larger than TILE are
    scaled down.
    """
    shown = max(1, min(columns, len(tiles)))
    rows = ceil(len(tiles) / shown)
    step = TILE[0] + GAP, TILE[1] + LINE + GAP
    sheet = Image.new("RGB", (GAP + shown * step[0], GAP + rows * step[1]), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for position, (pixels, label) in enumerate(tiles):
        row, column = divmod(position, shown)
        left, top = GAP + column * step[0], GAP + row * step[1]
        thumbnail = Image.fromarray(pixels)
        thumbnail.thumbnail(TILE, Image.Resampling.LANCZOS)
        margin = (TILE[0] - thumbnail.width) // 2, (TILE[1] - thumbnail.height) // 2
        sheet.paste(thumbnail, (left + margin[0], top + margin[1]))
        middle = left + TILE[0] // 2, top + TILE[1] + LINE // 2
        draw.text(middle, _cut(label, font), font=font, fill=INK, anchor="mm")
    return sheet


def _cut(label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The label, cut to fit below a tile."""
    if font.getlength(label) <= TILE[0]:
        return label
    kept = next(n for n in range(len(label), -1, -1) if font.getlength(f"{label[:n]}…") <= TILE[0])
    return f"{label[:kept]}…"
