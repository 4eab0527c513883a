"""The picture grid, with a row per task: input | reference | after de-residual | output | target."""

from collections.abc import Sequence

from PIL import Image

from drdd.drawing.sheets import Cell, sheet
from drdd.evaluation.trajectories import Trajectory

COLUMNS = ("input", "reference", "after de-residual", "output", "target")


def grid(trajectories: Sequence[Trajectory]) -> Image.Image:
    """One row per trajectory, about 1650 pixels wide; the same trajectories give the same pixels.

    The column after de-residual is present if all trajectories have this state, that of the reference if
    any has one.
    """
    rows = [(one.task, _cells(one)) for one in trajectories]
    absent = set()
    if any(one.deresidual is None for one in trajectories):
        absent.add("after de-residual")
    if all(one.reference is None for one in trajectories):
        absent.add("reference")
    shown = [name for name in COLUMNS if name not in absent]
    return sheet(shown, [(task, [cells[name] for name in shown]) for task, cells in rows])


def _cells(one: Trajectory) -> dict[str, Cell]:
    return {
        "input": (one.input, f"{one.input_psnr:.1f} dB"),
        "reference": None
        if one.reference is None
        else (one.reference, f"{one.reference_psnr:.1f} dB"),
        "after de-residual": None if one.deresidual is None else (one.deresidual, "in fixed noise"),
        "output": (one.output, f"{one.output_psnr:.1f} dB"),
        "target": (one.target, ""),
    }
