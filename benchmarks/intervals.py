"""How often the bootstrap interval of a mean holds the true mean, by the number of targets.

`python -m benchmarks.intervals` simulates --sets sets of pictures for each number, with one picture a
target, and prints the share of the sets whose interval holds the mean that their values were drawn with.
The nominal share is 95 %. docs/evaluation.md has the table.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from drdd.report.statistics import interval

TARGETS = (2, 3, 4, 5, 8, 12, 30, 100)
MEAN = 1.0
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
VALUES: dict[str, Draw] = {
    "normal values": lambda generator, count: generator.normal(MEAN, 1, count),
    "exponential values": lambda generator, count: generator.exponential(MEAN, count),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intervals")
    parser.add_argument("--sets", type=int, default=2000)
    given = parser.parse_args()
    table = Table("targets", *VALUES)
    for targets in track(TARGETS, "simulating"):
        shares = [coverage(draw, targets, given.sets) for draw in VALUES.values()]
        table.add_row(str(targets), *(f"{100 * share:.0f} %" for share in shares))
    Console().print(table)


def coverage(draw: Draw, targets: int, sets: int) -> float:
    """The share of `sets` sets of `targets` values each whose interval holds MEAN."""
    generator, names = np.random.default_rng(targets), [str(n) for n in range(targets)]
    held = 0
    for _ in range(sets):
        found = interval(draw(generator, targets).tolist(), names)
        assert found is not None
        held += found[0] <= MEAN <= found[1]
    return held / sets


if __name__ == "__main__":
    main()
