"""What a mask's hole becomes: by a grey, by the smooth surface, by a biharmonic one, and by the base.

python -m benchmarks.holes

PSNR in dB, in the hole alone: the mean of three photographs of scikit-image, from which the base has
learned too. It prints a table and writes benchmarks/results/holes.json.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from skimage.restoration import inpaint_biharmonic

from drdd.files import write_json
from drdd.inference import holes
from drdd.inference.engine import Restorer
from drdd.inference.given import taken
from drdd.pictures.pixels import Hole, Pixels

RESULTS = Path(__file__).parent / "results" / "holes.json"
PHOTOGRAPHS = {"chelsea": data.chelsea, "coffee": data.coffee, "astronaut": data.astronaut}
SIZE = (288, 416)


def main() -> None:
    restorer = Restorer.from_pretrained("base")
    photographs = [make()[: SIZE[0], : SIZE[1], :3] for make in PHOTOGRAPHS.values()]
    table: dict[str, dict[str, float]] = {}
    for name, hole in _holes():
        columns: dict[str, list[float]] = {}
        for pixels in photographs:
            for column, filled in _fillings(restorer, pixels, hole).items():
                columns.setdefault(column, []).append(_psnr(filled, pixels, hole))
        table[name] = {column: round(float(np.mean(each)), 2) for column, each in columns.items()}
    names = list(next(iter(table.values())))
    print("| hole | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{row[column]:.1f}" for column in names) + " |")
    write_json(RESULTS, table)


def _fillings(restorer: Restorer, pixels: Pixels, hole: Hole) -> dict[str, Pixels]:
    biharmonic = inpaint_biharmonic(pixels, hole, channel_axis=-1) * 255
    steps = holes.STEPS
    try:
        holes.STEPS = 4 * steps
        longer = taken(pixels, hole).seen
    finally:
        holes.STEPS = steps
    return {
        "grey": taken(pixels, hole, fill=0.5).seen,
        "smooth": taken(pixels, hole).seen,
        "smooth, 4 x the steps": longer,
        "biharmonic": biharmonic.clip(0, 255).round().astype(np.uint8),
        "base": restorer.restore(pixels, mask=hole).output,
        "base, of grey": restorer.restore(taken(pixels, hole, fill=0.5).seen).output,
    }


def _holes() -> Iterator[tuple[str, Hole]]:
    """Names and (H, W) masks; the same in each run."""
    rng = np.random.default_rng(0)
    height, width = SIZE
    image = Image.new("L", (width, height))
    for _ in range(10):
        points = rng.uniform(0, 1, (5, 2)) * (width, height)
        ImageDraw.Draw(image).line([tuple(point) for point in points], fill=255, width=3)
    yield "scratches of 3 pixels", np.asarray(image) > 0
    image = Image.new("L", (width, height))
    font = ImageFont.load_default(30)
    for top in range(10, height, 60):
        ImageDraw.Draw(image).text((10, top), "letters over a photograph", fill=255, font=font)
    yield "letters", np.asarray(image) > 127
    for side, count in ((24, 8), (96, 1)):
        hole = np.zeros(SIZE, bool)
        for top, left in (rng.uniform(0, 1, (count, 2)) * (height - side, width - side)).astype(
            int
        ):
            hole[top : top + side, left : left + side] = True
        yield f"{count} box{'es' * (count > 1)} of {side} pixels", hole


def _psnr(filled: Pixels, pixels: Pixels, hole: Hole) -> float:
    error = filled[hole].astype(float) - pixels[hole]
    return float(10 * np.log10(255**2 / np.square(error).mean()))


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
