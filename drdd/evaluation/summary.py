"""From one row a picture to metrics.json: means a task, gains, and the verdict of each gate."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drdd.errors import UserError
from drdd.evaluation.metrics import METRICS, PROTOCOL

DIGITS = 4
PARTS = ("input", "output")


@dataclass(frozen=True)
class Expected:
    """What evaluation must find for one task, and what the task must reach.

    images: its held-out pictures, once each; held_out: `held_out_digest` of their pixels;
    min_psnr_gain: dB over the input; max_drop_vs_champion: dB below the model that publish compares with;
    gated: false where input and target show different scenes, so that PSNR means nothing.
    """

    images: Sequence[str]
    held_out: str
    min_psnr_gain: float
    max_drop_vs_champion: float
    gated: bool = True


def held_out_digest(pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> str:
    """SHA-256 of a task's held-out pairs, (input, target) each (H, W, 3), in whatever order."""
    lines = sorted(f"{_digest(degraded)}  {_digest(target)}\n" for degraded, target in pairs)
    return sha256("".join(lines).encode()).hexdigest()


def summarise(
    scores: pd.DataFrame, expected: Mapping[str, Expected], crop_border: int
) -> dict[str, Any]:
    """scores: columns task, image, and <part>_<metric> for the parts input and output.

    A gated task passes when its mean RGB PSNR gain reaches its min_psnr_gain, any other task
    always; the mean is over the gated tasks, or over all where none is. Raises UserError when an
    image is missing or there twice: a hole must not become a better mean.
    """
    tasks: dict[str, dict[str, Any]] = {}
    for task, wanted in sorted(expected.items()):
        rows = scores[scores["task"] == task]
        _refuse_holes(task, list(rows["image"]), wanted.images)
        means = {
            part: {metric: float(rows[f"{part}_{metric}"].mean()) for metric in METRICS}
            for part in PARTS
        }
        gain = _gain(means["input"], means["output"])
        tasks[task] = {
            "images": len(rows),
            "held_out": wanted.held_out,
            **{part: _rounded(means[part]) for part in PARTS},
            "gain": _rounded(gain),
            "min_psnr_gain": float(wanted.min_psnr_gain),
            "max_drop_vs_champion": float(wanted.max_drop_vs_champion),
            "gated": wanted.gated,
            "passed": not wanted.gated or gain["psnr_rgb"] >= wanted.min_psnr_gain,
        }
    counted = [row for row in tasks.values() if row["gated"]] or list(tasks.values())
    return {
        "protocol": {**PROTOCOL, "crop_border": crop_border},
        "tasks": tasks,
        "mean": {part: _mean([row[part] for row in counted]) for part in (*PARTS, "gain")},
        "passed": all(row["passed"] for row in tasks.values()),
    }


def gate_in_words(row: Mapping[str, Any]) -> tuple[str, str]:
    """Of a task of metrics.json: the gain that it needs, in dB, and whether it was reached."""
    if not row["gated"]:
        return "none", "not gated"
    return f"{row['min_psnr_gain']:+.2f}", "passed" if row["passed"] else "missed"


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


def _digest(pixels: NDArray[np.uint8]) -> str:
    return sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _gain(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {metric: after[metric] - before[metric] for metric in METRICS}


def _mean(rows: Collection[Mapping[str, float]]) -> dict[str, float]:
    return _rounded({metric: sum(row[metric] for row in rows) / len(rows) for metric in METRICS})


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in values.items()}
