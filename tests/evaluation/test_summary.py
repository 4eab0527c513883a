"""Means, gains and gates from rows whose answer is known; a hole is a failure, not a better mean."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from drdd.errors import UserError
from drdd.evaluation.metrics import METRICS
from drdd.evaluation.summary import (
    Expected,
    gate_in_words,
    headline,
    held_out_digest,
    summarise,
)

IMAGES = ["a", "b"]


def _row(task: str, image: str, before: float, after: float) -> dict[str, Any]:
    row: dict[str, Any] = {"task": task, "image": image}
    row |= {f"input_{metric}": before for metric in METRICS}
    return row | {f"output_{metric}": after for metric in METRICS}


ROWS = [
    _row("rain", "a", 20.0, 22.0),
    _row("rain", "b", 30.0, 31.0),
    _row("haze", "a", 10.0, 16.0),
    _row("haze", "b", 12.0, 14.0),
]


def _summary(rows: list[dict[str, Any]], **gains: float) -> dict[str, Any]:
    needed = {"rain": 1.5, "haze": 3.0} | gains
    expected = {task: Expected(IMAGES, task, gain, 0.5) for task, gain in needed.items()}
    return summarise(pd.DataFrame(rows), expected, 0)


def test_means_gains_and_gates() -> None:
    metrics = _summary(ROWS)
    assert metrics["tasks"]["rain"]["input"]["psnr_rgb"] == 25.0
    assert metrics["tasks"]["rain"]["gain"]["psnr_rgb"] == 1.5
    assert metrics["tasks"]["haze"]["gain"]["ssim_y"] == 4.0
    assert metrics["mean"]["gain"]["psnr_rgb"] == 2.75
    assert metrics["passed"] is True
    json.dumps(metrics, allow_nan=False)


def test_one_missed_gate_fails_the_whole() -> None:
    metrics = _summary(ROWS, rain=1.51)
    assert metrics["tasks"]["rain"]["passed"] is False
    assert metrics["tasks"]["haze"]["passed"] is True
    assert metrics["passed"] is False


def test_a_task_of_unaligned_pairs_has_no_gate_and_no_part_in_the_mean() -> None:
    worse = [_row("cats", "a", 10.0, 4.0), _row("cats", "b", 12.0, 4.0)]
    expected = {
        "rain": Expected(IMAGES, "", 1.5, 0.5),
        "cats": Expected(IMAGES, "", 0.0, 0.5, gated=False),
    }
    metrics = summarise(pd.DataFrame([*ROWS[:2], *worse]), expected, 0)
    assert (metrics["tasks"]["cats"]["gated"], metrics["tasks"]["cats"]["passed"]) == (False, True)
    assert metrics["tasks"]["cats"]["gain"]["psnr_rgb"] == -7.0
    assert metrics["mean"]["gain"]["psnr_rgb"] == 1.5
    assert metrics["passed"] is True
    words = {task: gate_in_words(row) for task, row in metrics["tasks"].items()}
    assert words == {"rain": ("+1.50", "passed"), "cats": ("none", "not gated")}
    alone = summarise(pd.DataFrame(worse), {"cats": expected["cats"]}, 0)
    assert alone["mean"]["gain"]["psnr_rgb"] == -7.0


def test_the_digest_of_held_out_pairs_is_of_their_pixels_whatever_their_order() -> None:
    generator = np.random.default_rng(0)
    a, b, c = (generator.integers(0, 256, (4, 6, 3), dtype=np.uint8) for _ in range(3))
    digest = held_out_digest([(a, b), (c, b)])
    assert digest == held_out_digest(iter([(c, b), (a, b)]))
    others = [[(a, b)], [(a, b), (b, c)], [(b, a), (c, b)], [(a, b), (a, b), (c, b)]]
    reshaped = [(a.reshape(6, 4, 3), b), (c, b)]
    assert digest not in {held_out_digest(pairs) for pairs in [*others, reshaped]}


def test_the_order_of_rows_changes_nothing() -> None:
    assert json.dumps(_summary(ROWS)) == json.dumps(_summary(ROWS[::-1]))


def test_a_missing_a_double_and_a_strange_image_are_named() -> None:
    with pytest.raises(UserError, match="task rain: missing: b"):
        _summary([ROWS[0], *ROWS[2:]])
    with pytest.raises(UserError, match="task haze: twice: a"):
        _summary([*ROWS, ROWS[2]])
    with pytest.raises(UserError, match="task haze: not held out: c"):
        _summary([*ROWS, _row("haze", "c", 1.0, 2.0)])


def test_the_headline_has_each_tasks_gain() -> None:
    short = headline(_summary(ROWS))
    assert short["psnr_gain"] == {"haze": 4.0, "rain": 1.5, "mean": 2.75}
    assert short["passed"] is True
