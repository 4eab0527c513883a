"""Differences between large photographs restored in tiles and restored whole, at tile seams and elsewhere.

`python -m benchmarks.tile_seams` takes the model of `drdd run` or `dvc repro` (or --model FOLDER) and
photographs scaled to --side pixels and degraded by each task of params.yaml. It prints the
difference of the outputs in grey levels (of 255): the mean, the 99th percentile, the largest, and the mean
where tiles fade into each other beside the mean elsewhere. Whole, 1200 pixels a side need 2 GB.
Results: benchmarks/results/tile_seams.json.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.train import told
from drdd.degradations.chain import degrade
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.inference.tiling import Tiles, tiles
from drdd.intake.decoding import read_picture
from drdd.params import load
from drdd.pictures.pixels import Pixels
from drdd.sources.packages import package_file
from drdd.stages.paths import CANDIDATE

RESULTS = Path("benchmarks/results/tile_seams.json")
PHOTOGRAPHS = ("skimage/data/retina.jpg", "skimage/data/rocket.jpg", "skimage/data/coffee.png")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tile_seams")
    parser.add_argument("--model", type=Path, default=CANDIDATE)
    parser.add_argument("--side", type=int, default=1200, help="the longer one, in pixels")
    given = parser.parse_args()
    if given.side <= Tiles().size:
        parser.error(f"--side must be above {Tiles().size}, else nothing is tiled")
    params, rows = load(), []
    tiled = Restorer.from_folder(given.model)
    whole = Restorer(tiled.model, tiles=replace(Tiles(), size=10**6))
    for name in PHOTOGRAPHS:
        picture = scaled(read_picture(package_file(name)), given.side)
        for task, settings in params.tasks.items():
            if not settings.degradation or settings.scale > 1:
                continue
            told(f"{Path(name).stem}, {task}")
            chain = [step.model_dump() for step in settings.degradation]
            degraded = degrade(picture, chain, 0, name, task, order=settings.order)
            error = difference(tiled, whole, degraded)
            rows.append({"photograph": Path(name).stem, "task": task, **described(error)})
    RESULTS.write_text(json.dumps({"side": given.side, "rows": rows}, indent=1) + "\n")
    table = Table("photograph", "task", "mean", "p99", "largest", "at seams", "elsewhere", box=None)
    for row in rows:
        numbers = [f"{value:.3f}" for value in row.values() if isinstance(value, float)]
        table.add_row(str(row["photograph"]), str(row["task"]), *numbers)
    Console().print(table)


def scaled(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = round(width * scale), round(height * scale)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def difference(tiled: Restorer, whole: Restorer, pixels: Pixels) -> NDArray[np.float64]:
    """(H, W, 3) grey levels."""
    ours, theirs = (one.restore(pixels, Options()).output for one in (tiled, whole))
    return np.abs(ours.astype(np.float64) - theirs.astype(np.float64))


def described(error: NDArray[np.float64]) -> dict[str, float]:
    seams = near_seams(error.shape, Tiles())
    return {
        "mean": float(error.mean()),
        "p99": float(np.quantile(error, 0.99)),
        "largest": float(error.max()),
        "at seams": float(error[seams].mean()),
        "elsewhere": float(error[~seams].mean()),
    }


def near_seams(shape: tuple[int, ...], sizes: Tiles) -> NDArray[np.bool_]:
    """(H, W), of a picture's shape: where a tile fades into the next, and as far again on both sides."""
    near = np.zeros(shape[:2], bool)
    for axis, length in enumerate(shape[:2]):
        for tile in tiles(length + -length % 32, sizes.size, sizes.overlap, 8)[1:]:
            band = slice(tile.inner - sizes.blend, tile.inner + sizes.blend)
            near[(band, slice(None)) if axis == 0 else (slice(None), band)] = True
    return near


if __name__ == "__main__":
    main()
