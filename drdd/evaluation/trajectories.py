"""A few held-out pictures' ways through the model: evaluate leaves them for the report and the service."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from drdd.files import atomic_path
from drdd.pictures.pixels import Pixels
from drdd.report.findings import FIRST, Strip
from drdd.stages.paths import STRIPS

SIDE = 640  # pixels, the longest side of a picture


def write_strips(strips: Sequence[Strip]) -> None:
    """A row a picture, in the order in which `read_strips` finds them."""
    rows: list[dict[str, Any]] = []
    for number, strip in enumerate(strips):
        pictures = [("input", strip.input), *strip.states]
        pictures += [("output", strip.output), ("target", strip.target)]
        rows += [
            {
                "strip": number,
                "task": strip.task,
                "image": strip.image,
                "kind": strip.kind,
                "input_psnr": strip.input_psnr,
                "output_psnr": strip.output_psnr,
                "name": name,
                "content": _jpeg(pixels),
            }
            for name, pixels in pictures
        ]
    with atomic_path(STRIPS) as temporary:
        pd.DataFrame(rows).to_parquet(temporary, index=False)


def read_strips() -> dict[str, list[Strip]]:
    """By task: the first, then the worst; pictures as they are shown, no longer than SIDE."""
    found: dict[str, list[Strip]] = {}
    for _, group in pd.read_parquet(STRIPS).groupby("strip"):
        rows: Any = group.to_dict("records")
        one = rows[0]
        pictures = [(row["name"], _pixels(row["content"])) for row in rows]
        named = dict(pictures)
        strip = Strip(
            task=one["task"],
            image=one["image"],
            kind=one["kind"],
            input=named["input"],
            output=named["output"],
            target=named["target"],
            states=tuple(pictures[1:-2]),
            input_psnr=float(one["input_psnr"]),
            output_psnr=float(one["output_psnr"]),
        )
        found.setdefault(strip.task, []).append(strip)
    return dict(sorted(found.items()))


def read_samples() -> dict[str, bytes]:
    """A held-out input of each task, JPEG: what a service of the model offers to be tried with."""
    rows = pd.read_parquet(STRIPS, columns=["task", "kind", "name", "content"])
    inputs = rows[(rows["kind"] == FIRST) & (rows["name"] == "input")]
    tasks = {str(task): list(of_task["content"]) for task, of_task in inputs.groupby("task")}
    # Each task begins with another picture, so that the service shows several.
    return {
        task: contents[turn % len(contents)] for turn, (task, contents) in enumerate(tasks.items())
    }


def _jpeg(pixels: Pixels) -> bytes:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _pixels(content: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
