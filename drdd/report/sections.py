"""The sections of a report as its template reads them."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pandas as pd
from markupsafe import Markup

from drdd.report.distributions import distribution, interval_mark, span_of
from drdd.report.figures import shown
from drdd.report.findings import FIRST, WORST, Findings, Strip
from drdd.report.tables import (
    METRICS,
    PSNR,
    Metric,
    metric_rows,
    output_means,
)

LISTED = 2000  # rows of the table of all pictures
IN_LIST = ("psnr_rgb", "ssim_rgb", "ms_ssim", "feature_distance", "lpips", "niqe")


def headline(metrics: Mapping[str, Any]) -> list[tuple[Metric, str]]:
    """Each metric and its mean change over all tasks."""
    gains = metrics["mean"]["gain"]
    return [(METRICS[name], METRICS[name].change(gains[name])) for name in IN_LIST if name in gains]


def tasks(findings: Findings, scores: pd.DataFrame, theirs: pd.DataFrame) -> list[dict[str, Any]]:
    """What the page says of each task that has pictures.

    scores: as of tables.with_gains; theirs: the champion's, as of tables.rival.
    """
    metrics = findings.metrics
    needed = {gate["task"]: gate for gate in metrics["gates"] if gate["gate"] == "min_psnr_gain"}
    entries = {task: entry for task, entry in metrics["tasks"].items() if entry["images"]}
    intervals = {task: _interval(entry) for task, entry in entries.items()}
    champions = {
        task: _mean(scores.loc[scores["task"] == task, "champion_gain"]) for task in entries
    }
    wanted = {task: needed[task]["needed"] if task in needed else None for task in entries}
    ends = [end for interval in intervals.values() for end in interval or ()]
    gains = [entry["gain"]["psnr_rgb"] for entry in entries.values()]
    span = span_of([*ends, *gains, *wanted.values(), *champions.values()])
    return [
        {
            "name": task,
            "entry": entry,
            "gates": [gate["passed"] for gate in metrics["gates"] if gate["task"] == task],
            "psnr": f"{PSNR.value(entry['input']['psnr_rgb'])} → "
            f"{PSNR.value(entry['output']['psnr_rgb'])}",
            "gain": PSNR.change(entry["gain"]["psnr_rgb"]),
            "interval": PSNR.interval(intervals[task], signed=True),
            "needed": "none" if wanted[task] is None else PSNR.change(wanted[task]),
            "mark": Markup(
                interval_mark(
                    entry["gain"]["psnr_rgb"], intervals[task], wanted[task], champions[task], span
                )
            ),
            "ssim": " → ".join(
                METRICS["ssim_rgb"].value(entry[part]["ssim_rgb"]) for part in ("input", "output")
            ),
            "rivalled": champions[task] is not None,
            "rows": metric_rows(entry, output_means(theirs[theirs["task"] == task])),
            "plots": _plots(task, scores[scores["task"] == task]),
            **_strips(findings, task),
        }
        for task, entry in entries.items()
    ]


def latency(scores: pd.DataFrame) -> dict[str, Any]:
    """Seconds a picture; the one part of the page that differs from run to run."""
    seconds = scores["seconds"].dropna()
    if seconds.empty:
        return {}
    megapixels = (scores["width"] * scores["height"])[seconds.index].sum() / 1e6
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
    """The table of all pictures: its metrics and, for each picture, its cells as text."""
    names = [name for name in IN_LIST if f"output_{name}" in scores]
    champion = scores["champion_gain"].notna().any()
    return {
        "metrics": [METRICS[name] for name in names],
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
                        METRICS[name].value(row[f"{part}_{name}"])
                        for name in names
                        for part in ("input", "output")
                    ),
                ],
            }
            for row in scores.head(LISTED).to_dict("records")
        ],
    }


def _interval(entry: Mapping[str, Any]) -> list[float] | None:
    found: list[float] | None = entry["intervals"]["gain"].get("psnr_rgb")
    return found


def _strips(findings: Findings, task: str) -> dict[str, list[Any]]:
    """Those to show, and the worst ones that are among the first already."""
    first, worst = (
        [strip for strip in findings.strips.get(task, ()) if strip.kind == kind]
        for kind in (FIRST, WORST)
    )
    known = {_identity(strip) for strip in first}
    return {
        "first": [shown(strip) for strip in first],
        "worst": [shown(strip) for strip in worst if _identity(strip) not in known],
        "repeated": [strip for strip in worst if _identity(strip) in known],
    }


def _identity(strip: Strip) -> tuple[str, bytes]:
    return strip.image, sha256(strip.input.tobytes()).digest()


def _plots(task: str, rows: pd.DataFrame) -> list[tuple[str, Markup]]:
    """How the PSNR gains of a task's pictures lie beside the champion's, and the PSNR itself."""
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
