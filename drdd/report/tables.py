"""The tables of a report: metrics with intervals, verdicts and the champion's values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import pandas as pd

from drdd.gates.catalogue import gate_of
from drdd.gates.judgement import Comparison, GateResult, Judgement, TaskResult
from drdd.metrics.catalogue import METRICS, PSNR, metric_of
from drdd.metrics.quantity import Ends, Quantity
from drdd.report.comparison import COMPARED

PARTS = ("input", "reference", "output")
KEYS = ["task", "input_id", "target_id"]  # of a row of images.parquet


@dataclass(frozen=True)
class MetricRow:
    """One metric of a task. reference: "" if the task has none; change: output minus input.

    verdict: "better", "worse", or "" when the interval of the change contains 0 or there is nothing to
    compare.
    """

    metric: Quantity
    before: str
    reference: str
    after: str
    after_interval: str
    change: str
    change_interval: str
    champion: str
    verdict: str


def metric_rows(task: TaskResult, champion: Mapping[str, float]) -> list[MetricRow]:
    """The rows of metrics of pictures and of sets, in the order of METRICS.

    champion: the means of the champion's outputs, by metric.
    """
    before, reference, after = (
        {**getattr(task, part), **task.sets.get(part, {})} for part in PARTS
    )
    known = [name for name in METRICS if name in after or name in before]
    others = sorted((before.keys() | after.keys()) - METRICS.keys())
    return [
        _row(
            metric_of(name),
            (before.get(name), after.get(name)),
            reference.get(name),
            task.gain.get(name),
            task.intervals.output.get(name),
            task.intervals.gain.get(name),
            champion.get(name),
        )
        for name in [*known, *others]
    ]


def _row(
    metric: Quantity,
    values: tuple[float | None, float | None],
    reference: float | None,
    gain: float | None,
    after_interval: Ends,
    gain_interval: Ends,
    champion: float | None,
) -> MetricRow:
    before, after = values
    if gain is None and before is not None and after is not None:
        gain = after - before
    return MetricRow(
        metric,
        metric.value(before),
        "" if reference is None else metric.value(reference),
        metric.value(after),
        metric.interval(after_interval),
        metric.change(gain),
        metric.interval(gain_interval, signed=True),
        metric.value(champion),
        _verdict(metric, gain, gain_interval),
    )


def _verdict(metric: Quantity, gain: float | None, ends: Ends) -> str:
    if gain is None or not isfinite(gain) or round(gain, metric.digits) == 0:
        return ""
    if ends is not None and ends[0] <= 0 <= ends[1]:
        return ""
    return "better" if (gain < 0) == metric.lower else "worse"


def gate_rows(gates: Sequence[GateResult]) -> list[dict[str, Any]]:
    """The text of each gate: name, task, value and bound; missed gates first."""
    rows = []
    for result in sorted(gates, key=lambda result: result.passed):
        gate = gate_of(result.gate)
        value = Quantity(label=gate.label, digits=2, unit=result.unit)
        rows.append(
            {
                "name": gate.label,
                "task": result.task,
                "value": value.value(result.value),
                "needed": f"{gate.bound} {value.value(result.needed)} {value.unit}".strip(),
                "unit": value.unit if result.value is not None else "",
                "passed": result.passed,
                "said": result.said,
            }
        )
    return rows


def champion_row(one: Comparison) -> dict[str, str]:
    """A task's comparison with the champion; change: dB, above 0 if this version is better."""
    ends = one.interval
    return {
        "verdict": one.verdict,
        "before": PSNR.value(one.before),
        "after": PSNR.value(one.after),
        "change": PSNR.change(None if one.drop is None else -one.drop),
        "interval": PSNR.interval(None if ends is None else (-ends[1], -ends[0]), signed=True),
        "images": str(one.images),
        "allowance": PSNR.value(one.allowance),
    }


def baseline(
    metrics: Judgement, scores: pd.DataFrame, champion: pd.DataFrame | None
) -> pd.DataFrame:
    """The champion's rows for the compared tasks and the pictures in `scores`."""
    if champion is None:
        return scores.head(0)
    compared = [
        task
        for task, result in metrics.tasks.items()
        if result.champion and result.champion.verdict in COMPARED
    ]
    theirs = champion[champion["task"].isin(compared)].drop_duplicates(KEYS)
    return theirs.merge(scores[KEYS].drop_duplicates(), on=KEYS)


def output_means(rows: pd.DataFrame) -> dict[str, float]:
    """Means of the outputs by metric; {} without rows."""
    if rows.empty:
        return {}
    return {m: float(rows[f"output_{m}"].mean()) for m in METRICS if f"output_{m}" in rows}


def with_gains(scores: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Add two columns in dB: gain over the input, and champion_gain, NaN if `theirs` lacks the picture.

    theirs: as of `baseline`.
    """
    champion = theirs.assign(champion_gain=_gain(theirs))[[*KEYS, "champion_gain"]]
    return scores.assign(gain=_gain(scores)).merge(champion, on=KEYS, how="left")


def _gain(scores: pd.DataFrame) -> pd.Series:
    return scores["output_psnr_rgb"] - scores["input_psnr_rgb"]
