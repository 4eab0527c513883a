"""The sections of a report for its template."""

from hashlib import sha256
from math import isnan
from typing import Any

import pandas as pd
from markupsafe import Markup

from drdd.evaluation.trajectories import FIRST, WORST, Trajectory
from drdd.gates import min_psnr_gain
from drdd.gates.judgement import Ends, Judgement, TaskResult
from drdd.metrics.catalogue import METRICS, PSNR, Metric
from drdd.metrics.catalogue import listed as listed_metrics
from drdd.report.figures import shown
from drdd.report.findings import Findings
from drdd.report.plots import distribution, interval_mark, span_of
from drdd.report.tables import PARTS, metric_rows, output_means

LISTED = 2000  # maximum rows in the table of all pictures


def headline(metrics: Judgement) -> list[tuple[Metric, str]]:
    """Each listed metric with its mean change over all tasks."""
    gains = metrics.mean.gain
    return [(m, m.change(gains[name])) for name, m in listed_metrics().items() if name in gains]


def tasks(findings: Findings, scores: pd.DataFrame, theirs: pd.DataFrame) -> list[dict[str, Any]]:
    """The content of the page for each task with pictures.

    scores: as of tables.with_gains; theirs: the champion's, as of tables.baseline.
    """
    metrics = findings.metrics
    needed = {g.task: g.needed for g in metrics.gates if g.gate == min_psnr_gain.GATE.name}
    results = {task: result for task, result in metrics.tasks.items() if result.images}
    champions = {
        task: _mean(scores.loc[scores["task"] == task, "champion_gain"]) for task in results
    }
    ends = [end for result in results.values() for end in _interval(result) or ()]
    gains = [result.gain["psnr_rgb"] for result in results.values()]
    wanted = [needed[task] for task in results if task in needed]
    span = span_of([*ends, *gains, *wanted, *champions.values()])
    return [
        {
            "name": task,
            "entry": result,
            "gates": [gate.passed for gate in metrics.gates_of(task)],
            "psnr": _change(result, "psnr_rgb"),
            "reference": _reference(result),
            "gain": PSNR.change(result.gain["psnr_rgb"]),
            "interval": PSNR.interval(_interval(result), signed=True),
            "needed": PSNR.change(needed[task]) if task in needed else "none",
            "mark": Markup(
                interval_mark(
                    f"{task}: gain",
                    result.gain["psnr_rgb"],
                    _interval(result),
                    needed.get(task),
                    champions[task],
                    span,
                )
            ),
            "ssim": _change(result, "ssim_rgb"),
            "compared": champions[task] is not None,
            "rows": metric_rows(result, output_means(theirs[theirs["task"] == task])),
            "plots": _plots(task, scores[scores["task"] == task]),
            **_trajectories(findings, task),
        }
        for task, result in results.items()
    ]


def latency(table: pd.DataFrame) -> dict[str, Any]:
    """Seconds a picture; the one part of the page that differs from run to run."""
    seconds = table["seconds"].dropna()
    if seconds.empty:
        return {}
    megapixels = (table["width"] * table["height"])[seconds.index].sum() / 1e6
    p50, p95 = (float(seconds.quantile(share)) for share in (0.5, 0.95))
    return {
        "numbers": [
            (f"{p50:.2f} s", "median"),
            (f"{p95:.2f} s", "p95"),
            (f"{seconds.max():.2f} s", "slowest"),
            (f"{megapixels / seconds.sum():.2f}", "megapixels a second"),
        ],
        "plot": Markup(
            distribution({"": seconds}, "seconds a picture", "seconds a picture", [p50, p95])
        ),
    }


def listed(scores: pd.DataFrame) -> dict[str, Any]:
    """The table of all pictures: its metrics, and the text of the cells of each picture."""
    metrics = {n: m for n, m in listed_metrics().items() if f"output_{n}" in scores}
    parts = [part for part in PARTS if f"{part}_psnr_rgb" in scores]
    champion = scores["champion_gain"].notna().any()
    return {
        "metrics": list(metrics.values()),
        "parts": parts,
        "champion": champion,
        "total": len(scores),
        "rows": [
            {
                "text": [
                    row["task"],
                    row["image"],
                    row["corpus"],
                    f"{row['width']} x {row['height']}",
                ],
                "numbers": [
                    PSNR.change(row["gain"]),
                    *([PSNR.change(row["champion_gain"])] if champion else []),
                    *(
                        _cell(metric, row[f"{part}_{name}"], part)
                        for name, metric in metrics.items()
                        for part in parts
                    ),
                ],
            }
            for row in scores.head(LISTED).to_dict("records")
        ],
    }


def _cell(metric: Metric, value: float, part: str) -> str:
    """A task without a reference has empty cells."""
    return "" if part == "reference" and isnan(value) else metric.value(value)


def _reference(result: TaskResult) -> str:
    """The PSNR of what the reference of a task makes of the inputs; "" without one."""
    return PSNR.value(result.reference["psnr_rgb"]) if result.reference else ""


def _interval(result: TaskResult) -> Ends:
    return result.intervals.gain.get("psnr_rgb")


def _change(result: TaskResult, metric: str) -> str:
    shown = METRICS[metric].value
    return f"{shown(result.input[metric])} → {shown(result.output[metric])}"


def _trajectories(findings: Findings, task: str) -> dict[str, list[Any]]:
    """The trajectories to show, and the worst ones that are already among the first."""
    first, worst = (
        [one for one in findings.trajectories.get(task, ()) if one.kind == kind]
        for kind in (FIRST, WORST)
    )
    known = {_identity(one) for one in first}
    return {
        "first": [shown(one) for one in first],
        "worst": [shown(one) for one in worst if _identity(one) not in known],
        "repeated": [one for one in worst if _identity(one) in known],
    }


def _identity(one: Trajectory) -> tuple[str, bytes]:
    return one.image, sha256(one.input.tobytes()).digest()


def _plots(task: str, rows: pd.DataFrame) -> list[tuple[str, Markup]]:
    """The distributions of a task's PSNR and PSNR gains, beside those of the champion."""
    gains = {"this version": rows["gain"]}
    if rows["champion_gain"].notna().any():
        gains["champion"] = rows["champion_gain"]
    levels = {"output": rows["output_psnr_rgb"], "input": rows["input_psnr_rgb"]}
    return [
        (title, Markup(distribution(values, f"{task}: {title}", f"{title}, dB", marks)))
        for title, values, marks in (
            ("PSNR gain", gains, [float(rows["gain"].mean())]),
            ("PSNR", levels, []),
        )
    ]


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if values.notna().any() else None
