"""Means over pictures with intervals, from a table with one row per picture."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from drdd.gates.judgement import Ends, Intervals, Scores, TaskResult
from drdd.report.statistics import interval

DIGITS = 4  # further digits of a difference are rounding noise
PARTS = ("input", "output")
MAIN = "psnr_rgb"  # the metric that every picture must have


def metrics_of(scores: pd.DataFrame) -> list[str]:
    """The names of metrics with a column for outputs."""
    names = (str(column) for column in scores.columns)
    return sorted(name.removeprefix("output_") for name in names if name.startswith("output_"))


def means(
    rows: pd.DataFrame, metrics: Sequence[str], parts: Sequence[str] = PARTS
) -> dict[str, Scores]:
    """Means of each part and of the gain, without metrics that no picture has.

    parts: as of `parts_with`; a mean is over the pictures that have all of them.
    """
    of: dict[str, Scores] = {part: {} for part in (*parts, "gain")}
    for metric in metrics:
        kept = rows[known(rows, metric, parts)]
        if len(kept):
            values = {part: float(kept[f"{part}_{metric}"].mean()) for part in parts}
            values["gain"] = values["output"] - values["input"]
            for name, value in values.items():
                of[name][metric] = rounded(value)
    return of


def intervals(
    rows: pd.DataFrame, metrics: Sequence[str], parts: Sequence[str] = PARTS
) -> Intervals:
    """Intervals of the means of output and gain, over the same pictures as `means`."""
    output: dict[str, Ends] = {}
    gain: dict[str, Ends] = {}
    for metric in metrics:
        kept = rows[known(rows, metric, parts)]
        if len(kept):
            before, after = (kept[f"{part}_{metric}"] for part in PARTS)
            output[metric] = interval_of(after, kept)
            gain[metric] = interval_of(after - before, kept)
    return Intervals(output=output, gain=gain)


def known(rows: pd.DataFrame, metric: str, parts: Sequence[str] = PARTS) -> "pd.Series[bool]":
    """Whether each picture has a value for every part. A column that is not there has none."""
    columns = rows.reindex(columns=[f"{part}_{metric}" for part in parts])
    return columns.apply(np.isfinite).all(axis=1)


def interval_of(values: "pd.Series[float]", rows: pd.DataFrame) -> Ends:
    found = interval(values.tolist(), rows["target_id"].tolist())
    return None if found is None else (rounded(found[0]), rounded(found[1]))


def holes(scores: pd.DataFrame, tasks: Mapping[str, TaskResult]) -> list[str]:
    """Sentences on means that do not include all pictures."""
    single = [task for task, result in tasks.items() if result.images == 1]
    said = "one held-out picture each, so no intervals and no distances of sets"
    notes = [f"{', '.join(single)}: {said}"] if single else []
    for task, result in tasks.items():
        rows = scores[scores["task"] == task]
        for metric in result.gain:
            if (count := int(known(rows, metric, parts_with(result.reference_name)).sum())) < len(
                rows
            ):
                notes.append(f"{task}: {metric} has a value for {count} of {len(rows)} pictures")
    return notes


def parts_with(reference: str | None) -> tuple[str, ...]:
    """The parts of a task. reference: the name of its reference."""
    return PARTS if reference is None else (*PARTS, "reference")


def mean_over(rows: Sequence[Scores]) -> Scores:
    """Means over rows, of the metrics that all rows have."""
    shared = [m for m in rows[0] if all(m in row for row in rows)]
    return {m: rounded(float(np.mean([row[m] for row in rows]))) for m in shared}


def rounded(value: float) -> float:
    return round(value, DIGITS) + 0.0  # never -0.0
