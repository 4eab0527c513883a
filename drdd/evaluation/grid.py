"""The picture grid, with a row per task: input | after de-residual | output | target."""

from collections.abc import Sequence

from PIL import Image

from drdd.drawing.sheets import Cell, sheet
from drdd.evaluation.trajectories import Trajectory

COLUMNS = ("input", "after de-residual", "output", "target")
REGRESSION = ("input", "output", "target")


def grid(trajectories: Sequence[Trajectory]) -> Image.Image:
    """One row per trajectory, about 1360 pixels wide; the same trajectories give the same pixels.

    The column after de-residual is present if all trajectories have this state.
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
