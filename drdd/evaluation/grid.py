"""The picture grid: input | after de-residual | output | target, a row a task."""

from collections.abc import Sequence

from PIL import Image

from drdd.drawing.sheets import Cell, sheet
from drdd.evaluation.trajectories import Trajectory

COLUMNS = ("input", "after de-residual", "output", "target")
REGRESSION = ("input", "output", "target")


def grid(trajectories: Sequence[Trajectory]) -> Image.Image:
    """One row a trajectory, about 1360 pixels wide; the same trajectories give the same pixels.

    There is a column for the state after the residual part where all trajectories have one.
    """
    shown = COLUMNS if all(one.deresidual is not None for one in trajectories) else REGRESSION
    return sheet(shown, [(one.task, _cells(one, shown)) for one in trajectories])


def _cells(one: Trajectory, columns: Sequence[str]) -> list[Cell]:
    cells = {
        "input": (one.input, f"{one.input_psnr:.1f} dB"),
        "output": (one.output, f"{one.output_psnr:.1f} dB"),
        "target": (one.target, ""),
    }
    if one.deresidual is not None:
        cells["after de-residual"] = (one.deresidual, "in fixed noise")
    return [cells[name] for name in columns]
