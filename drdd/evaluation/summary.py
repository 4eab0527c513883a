"""From one row a picture to metrics.json: means a task, gains, and the verdict of each gate."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from drdd.errors import UserError
from drdd.evaluation.metrics import METRICS, PROTOCOL

DIGITS = 4
PARTS = ("input", "output")


def summarise(
    scores: pd.DataFrame,
    expected: Mapping[str, Sequence[str]],
    min_psnr_gain: Mapping[str, float],
    crop_border: int,
) -> dict[str, Any]:
    """scores: columns task, image, and <part>_<metric> for the parts input and output.

    expected: the images that each task must have, once each. A task passes when its mean RGB PSNR
    gain reaches min_psnr_gain. Raises UserError when an image is missing or there twice: a hole
    must not become a better mean.
    """
    tasks: dict[str, dict[str, Any]] = {}
    for task in sorted(expected):
        rows = scores[scores["task"] == task]
        _refuse_holes(task, list(rows["image"]), expected[task])
        means = {
            part: {metric: float(rows[f"{part}_{metric}"].mean()) for metric in METRICS}
            for part in PARTS
        }
        gain = _gain(means["input"], means["output"])
        needed = float(min_psnr_gain[task])
        tasks[task] = {
            "images": len(rows),
            **{part: _rounded(means[part]) for part in PARTS},
            "gain": _rounded(gain),
            "min_psnr_gain": needed,
            "passed": gain["psnr_rgb"] >= needed,
        }
    return {
        "protocol": {**PROTOCOL, "crop_border": crop_border},
        "tasks": tasks,
        "mean": {
            part: _rounded(
                {m: sum(row[part][m] for row in tasks.values()) / len(tasks) for m in METRICS}
            )
            for part in (*PARTS, "gain")
        },
        "passed": all(row["passed"] for row in tasks.values()),
    }


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The few numbers of metrics.json that `dvc metrics show` puts side by side, RGB."""
    return {
        "passed": metrics["passed"],
        **{
            f"{metric}_gain": {
                **{task: row["gain"][f"{metric}_rgb"] for task, row in metrics["tasks"].items()},
                "mean": metrics["mean"]["gain"][f"{metric}_rgb"],
            }
            for metric in ("psnr", "ssim")
        },
    }


def _refuse_holes(task: str, got: Sequence[str], expected: Sequence[str]) -> None:
    missing = sorted(set(expected) - set(got))
    twice = sorted({image for image in got if list(got).count(image) > 1})
    strange = sorted(set(got) - set(expected))
    said = [
        f"{word}: {', '.join(images)}"
        for word, images in (("missing", missing), ("twice", twice), ("not held out", strange))
        if images
    ]
    if said or not expected:
        raise UserError(f"evaluation of task {task}: {'; '.join(said) or 'no held-out image'}")


def _gain(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {metric: after[metric] - before[metric] for metric in METRICS}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in values.items()}
