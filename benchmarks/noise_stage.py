"""What the noise stage is worth: its condition, the noise level, the steps, the mean of several seeds.

`python -m benchmarks.noise_stage` prints PSNR, SSIM and feature distance, means over the tasks of the
prepared data of this folder, of the input, of the residual stage's own estimate and of the output;
`--images N` is the budget of each training, params.yaml's by default; `--table` prints what was measured
before. Results: benchmarks/results/noise_stage.json. The residual stage begins from what params.yaml says
(the base, by default) at every noise level. So does the noise stage if the base knows its condition, else
from random weights. One training serves all step counts: it sees the times of 4 + 4 steps.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.method import PARTS, Judged, judged_by, parts, restorer_of
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.params import load
from drdd.pictures.pixels import Pixels

RESULTS = Path("benchmarks/results/noise_stage.json")
LEVELS = (0.05, 0.1, 0.15, 0.3, 1.0)
DETAILED = 0.1  # the level at which steps and seeds are compared
CONDITION_AND_START = {"estimate": ("estimate", "base"), "none, scratch": ("none", "scratch")}
CASES = list(product(CONDITION_AND_START, LEVELS))
ALL_WAYS = [(1, 1), (2, 1), (3, 1), (4, 1), (1, 4), (1, 8)]  # steps of each stage, seeds
ONE_WAY = ALL_WAYS[:1]
EVERY = 2  # every second held-out picture is judged: 14 of 28
MOST = "diffusion.residual_steps=4", "diffusion.noise_steps=4"
METRICS = {"psnr": 2, "ssim": 3, "features": 3}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise_stage")
    parser.add_argument("--images", type=int, help="budget of each training")
    parser.add_argument("--table", action="store_true", help="of what was measured before")
    given = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for key, measured in () if given.table else measurements(given.images):
        print(key, flush=True)
        found[key] = measured
        RESULTS.write_text(json.dumps(found) + "\n")
    print_table(found)


def measurements(images: int | None) -> Iterator[tuple[str, Judged]]:
    """Of each level and condition with one step and one seed; of steps and seeds at DETAILED."""
    sizes = [f"train.{stage}.images={images}" for stage in ("noise", "residual") if images]
    for stage, level in CASES:
        condition, start = CONDITION_AND_START[stage]
        noise = [f"train.noise.conditioning={condition}", f"train.noise.start={start}"]
        params = load(overrides=[*sizes, *MOST, *noise, f"diffusion.noise_level={level}"])
        restorer = restorer_of(params, {"noise": 1.0, "residual": 1.0})
        ways = ALL_WAYS if level == DETAILED else ONE_WAY
        judged = judged_by(_in_ways(restorer, ways), params, EVERY)
        for way in ways:
            yield f"{stage}, s = {level:g}, {_named(way)}", _of_way(judged, _named(way))


def _named(way: tuple[int, int]) -> str:
    steps, seeds = way
    return f"{steps} + {steps} steps, {seeds} seed{'s' if seeds > 1 else ''}"


def _of_way(judged: Judged, way: str) -> Judged:
    """The input, and the estimate and output in one way."""
    return {
        task: {part: values.get(f"{part}, {way}", values.get(part, {})) for part in PARTS}
        for task, values in judged.items()
    }


def _in_ways(
    restorer: Restorer, ways: list[tuple[int, int]]
) -> Callable[[Pixels], dict[str, Pixels]]:
    """Restores with so many steps of each stage, and averages the results of so many seeds."""

    def restore(degraded: Pixels) -> dict[str, Pixels]:
        found = {}
        for steps in sorted({steps for steps, _ in ways}):
            most = max(seeds for count, seeds in ways if count == steps)
            options = [Options(steps, steps, seed=seed, states=True) for seed in range(most)]
            drawn = [parts(restorer, degraded, one) for one in options]
            for way in (way for way in ways if way[0] == steps):
                for part in PARTS[1:]:
                    pictures = [one[part] for one in drawn[: way[1]]]
                    found[f"{part}, {_named(way)}"] = _average(pictures)
        return found

    return restore


def _average(pictures: list[Pixels]) -> Pixels:
    mean: NDArray[np.float64] = np.mean(pictures, axis=0)
    return mean.round().astype(np.uint8)


def print_table(found: dict[str, Judged]) -> None:
    """Means over tasks; then, of each noise stage and level with one step and seed, the means by task."""
    title = "means over tasks and held-out pictures"
    table = Table(box=None, title=title, title_justify="left")
    for heading in ("noise stage", "PSNR (dB)", "SSIM", "feature distance"):
        table.add_column(heading)
    first = next(iter(found.values()))
    table.add_row("input", *(_mean(first, ["input"], key, list(first)) for key in METRICS))
    for name, measured in found.items():
        cells = (_mean(measured, PARTS[1:], key, list(measured)) for key in METRICS)
        table.add_row(name, *cells)
    Console(width=170).print(table)
    by_task = Table(
        box=None, title="PSNR (dB), feature distance: estimate → output", title_justify="left"
    )
    for heading in ("noise stage", *first):
        by_task.add_column(heading)
    for stage, level in CASES:
        name = f"{stage}, s = {level:g}"
        if chosen := found.get(f"{name}, {_named(ONE_WAY[0])}"):
            of = [(task, key) for task in chosen for key in ("psnr", "features")]
            values = iter([_mean(chosen, PARTS[1:], key, [task]) for task, key in of])
            by_task.add_row(name, *(f"{a}, {b}" for a, b in zip(values, values, strict=True)))
    Console(width=170).print(by_task)


def _mean(measured: Judged, which: tuple[str, ...] | list[str], key: str, tasks: list[str]) -> str:
    means = [np.mean([np.mean(measured[task][part][key]) for task in tasks]) for part in which]
    return " → ".join(f"{mean:.{METRICS[key]}f}" for mean in means)


if __name__ == "__main__":
    main()
