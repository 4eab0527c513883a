"""What a map of uncertainty is worth: the deviation of samples beside the true error, by the base.

`python -m benchmarks.how_sure` restores the photographs that the default params hold out, which the base
never saw, with 8 samples. Degradations are those of params.yaml, and a hole. It prints means over the
photographs; `--picture FILE` also draws one photograph, a row a degradation. One thread.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from benchmarks.references import held_out
from drdd.degradations.catalogue import SCHEMAS
from drdd.degradations.chain import degrade
from drdd.drawing.sheets import Cell, sheet
from drdd.inference.engine import Restoration, Restorer
from drdd.inference.options import Options
from drdd.params import Params, load
from drdd.pictures.pixels import Pixels
from drdd.pictures.uncertainty import uncertainty_map

SAMPLES = 8
TENTH = 0.9  # quantile from which a pixel is among the least sure tenth
DRAWN = 0  # the photograph of the picture
COLUMNS = ("input", "mean of 8", "deviation", "true error", "target")
HOLE = SCHEMAS["box_mask"].model_validate({"kind": "box_mask"}).model_dump()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.how_sure", description=__doc__)
    parser.add_argument("--picture", type=Path)
    picture = parser.parse_args().picture
    torch.set_num_threads(1)
    params, restorer = load(), Restorer.from_pretrained("base")
    targets = list(held_out(params))
    table = Table(
        "degradation", "error", "deviation", "rank correlation", "error in the least sure tenth"
    )
    rows: list[tuple[str, list[Cell]]] = []
    for title, step in _degradations(params).items():
        degraded = [degrade(target, [step], 0, title, n) for n, target in enumerate(targets)]
        restored = [restorer.restore(pixels, Options(samples=SAMPLES)) for pixels in degraded]
        found = np.mean([_worth(*pair) for pair in zip(restored, targets, strict=True)], axis=0)
        table.add_row(title, *(f"{value:.2f}" for value in found[:3]), f"{100 * found[3]:.0f} %")
        rows.append((title, _cells(degraded[DRAWN], restored[DRAWN], targets[DRAWN])))
    Console(width=120).print(table)
    if picture:
        sheet(COLUMNS, rows).save(picture, quality=80)


def _degradations(params: Params) -> Mapping[str, Mapping[str, Any]]:
    found = {name: task.degradation[0].model_dump() for name, task in params.tasks.items()}
    return found | {"hole": HOLE}


def _error(restored: Restoration, target: Pixels) -> NDArray[np.float64]:
    """(H, W): the root of the mean over the channels of the squared error, in levels of 255."""
    error: NDArray[np.float64] = np.sqrt(
        ((restored.output.astype(float) - target) ** 2).mean(axis=2)
    )
    return error


def _worth(restored: Restoration, target: Pixels) -> tuple[float, float, float, float]:
    """Root mean squares of error and deviation; Spearman's correlation of both over the pixels; the share
    of the squared error that lies in the tenth of the pixels with the largest deviation.
    """
    error, deviation = _error(restored, target).ravel(), restored.deviation
    assert deviation is not None
    unsure = deviation.ravel() >= np.quantile(deviation, TENTH)
    return (
        float(np.sqrt(np.mean(error**2))),
        float(np.sqrt(np.mean(deviation**2))),
        float(spearmanr(error, deviation.ravel()).statistic),
        float((error[unsure] ** 2).sum() / (error**2).sum()),
    )


def _cells(degraded: Pixels, restored: Restoration, target: Pixels) -> list[Cell]:
    assert restored.deviation is not None
    maps = (restored.deviation, _error(restored, target))
    sure, error = (np.repeat(uncertainty_map(x)[..., None], 3, axis=2) for x in maps)
    said = ["", "", *(f"{np.sqrt(np.mean(x**2)):.1f} levels" for x in maps), ""]
    pictures = (degraded, restored.output, sure, error, target)
    return list(zip(pictures, said, strict=True))


if __name__ == "__main__":
    main()
