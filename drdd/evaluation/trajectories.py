"""Trajectories of a few held-out pictures, saved by evaluate for the report and the service."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from drdd.files import atomic_path
from drdd.pictures.opening import open_picture
from drdd.pictures.pixels import Pixels

SIDE = 640  # pixels, the longest side of a saved picture
FIRST, WORST = "first", "worst"
DERESIDUAL, DENOISE, ESTIMATE = "de-residual", "de-noise", "estimate"


@dataclass(frozen=True)
class Trajectory:
    """The trajectory of one held-out picture; each state is (H, W, 3) uint8.

    kind: FIRST for the first pictures of a task, WORST for those with the smallest gain.
    states: by name, in order: "noised input", "de-residual 1", ..., "estimate", "de-noise 1", ...;
    the last one is the output. reference: what the task's reference makes of the input, None without one;
    small: the input before it was enlarged, None if it was not; psnr in dB, RGB.
    """

    task: str
    image: str
    kind: str
    input: Pixels
    output: Pixels
    target: Pixels
    states: tuple[tuple[str, Pixels], ...]
    input_psnr: float
    output_psnr: float
    reference: Pixels | None = None
    reference_psnr: float | None = None
    small: Pixels | None = None

    @property
    def gain(self) -> float:
        """The gain of PSNR over the input, in dB."""
        return self.output_psnr - self.input_psnr

    @property
    def deresidual(self) -> Pixels | None:
        """The state after the residual part, with the fixed noise; None if the method has no such state."""
        states = [pixels for name, pixels in self.states if name.startswith(f"{DERESIDUAL} ")]
        return states[-1] if states else None


def write_trajectories(path: Path, trajectories: Sequence[Trajectory]) -> None:
    """Write a table with one row per state, in the order of `read_trajectories`; pictures as JPEG."""
    rows: list[dict[str, Any]] = []
    for number, one in enumerate(trajectories):
        pictures = [("input", one.input), *one.states]
        pictures += [("output", one.output), ("target", one.target)]
        beside = (("small", one.small), ("reference", one.reference))
        pictures += [(name, pixels) for name, pixels in beside if pixels is not None]
        rows += [
            {
                "trajectory": number,
                "task": one.task,
                "image": one.image,
                "kind": one.kind,
                "input_psnr": one.input_psnr,
                "output_psnr": one.output_psnr,
                "reference_psnr": one.reference_psnr,
                "name": name,
                "content": saved(pixels),
            }
            for name, pixels in pictures
        ]
    with atomic_path(path) as temporary:
        pd.DataFrame(rows).to_parquet(temporary, index=False)


def read_trajectories(path: Path) -> dict[str, list[Trajectory]]:
    """The trajectories by task, FIRST before WORST; pictures as saved, with sides of at most SIDE."""
    found: dict[str, list[Trajectory]] = {}
    for _, group in pd.read_parquet(path).groupby("trajectory"):
        rows: Any = group.to_dict("records")
        one = rows[0]
        pictures = [(row["name"], read_saved(row["content"])) for row in rows]
        named = dict(pictures)
        reference = pictures.pop()[1] if pictures[-1][0] == "reference" else None
        small = pictures.pop()[1] if pictures[-1][0] == "small" else None
        trajectory = Trajectory(
            task=one["task"],
            image=one["image"],
            kind=one["kind"],
            input=named["input"],
            output=named["output"],
            target=named["target"],
            states=tuple(pictures[1:-2]),
            input_psnr=float(one["input_psnr"]),
            output_psnr=float(one["output_psnr"]),
            reference=reference,
            reference_psnr=None if reference is None else float(one["reference_psnr"]),
            small=small,
        )
        found.setdefault(trajectory.task, []).append(trajectory)
    return dict(sorted(found.items()))


def read_samples(path: Path) -> dict[str, bytes]:
    """A held-out input of each task as JPEG, as it would be sent: the samples of the service's page."""
    rows = pd.read_parquet(path, columns=["task", "kind", "name", "content"])
    first = rows[rows["kind"] == FIRST]
    tasks = {}
    for task, of_task in first.groupby("task"):
        small = of_task["name"] == "small"
        sent = of_task[small if small.any() else of_task["name"] == "input"]
        tasks[str(task)] = list(sent["content"])
    # Tasks begin with different pictures, so that the service shows several.
    return {
        task: contents[turn % len(contents)] for turn, (task, contents) in enumerate(tasks.items())
    }


def saved(pixels: Pixels) -> bytes:
    """(H, W, 3) uint8 -> a JPEG file with sides of at most SIDE."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def read_saved(content: bytes) -> Pixels:
    return np.asarray(open_picture(content).convert("RGB"))
