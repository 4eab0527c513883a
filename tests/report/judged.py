"""Judgements of made-up rows, whose means are known."""

from typing import Any

import pandas as pd

from drdd.gates.gate import RunEvidence
from drdd.gates.judgement import Comparison, Judgement, TaskResult
from drdd.report.comparison import ChampionRecord
from drdd.report.judgement import Expected, judgement

METRICS = ("psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y", "ms_ssim")
MEASURED = {"protocol": {"crop_border": 0}, "not_computed": {"lpips": "no file"}, "tasks": {}}
ID = "1a2b3c4d5e6f"


def row(task: str, image: str, before: float, after: float, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"task": task, "image": image}
    row |= {"input_id": f"{task}-{image}", "target_id": image}
    row |= {f"input_{metric}": before for metric in METRICS}
    return row | {f"output_{metric}": after for metric in METRICS} | more


def with_reference(row: dict[str, Any], level: float) -> dict[str, Any]:
    """level: the value of every metric of what the reference makes of the input."""
    return row | {f"reference_{metric}": level for metric in METRICS}


ROWS = [
    row("rain", "a", 20.0, 22.0),
    row("rain", "b", 30.0, 31.0),
    row("haze", "a", 10.0, 16.0),
    row("haze", "b", 12.0, 14.0),
]


def judged(
    rows: list[dict[str, Any]],
    champion: ChampionRecord | None = None,
    latency: tuple[float, float | None] = (0.5, None),
    **changes: dict[str, Any],
) -> Judgement:
    """changes: of the expectation of a task; images: instead of a and b; reference: its name."""
    gains = {"rain": 1.5, "haze": 3.0}
    tasks = {row["task"] for row in rows}
    expected = {}
    for task in tasks:
        change = dict(changes.get(task, {}))
        images = change.pop("images", ["a", "b"])
        gated = change.pop("gated", True)
        reference = change.pop("reference", None)
        bounds = {"min_psnr_gain": gains.get(task, 0.0), "max_drop_vs_champion": 0.5} | change
        pairs = [(f"{task}-{name}", name) for name in images]
        expected[task] = Expected(pairs, bounds, gated, reference)
    p95, most = latency
    run, bounds = RunEvidence(p95), {"max_latency_p95": most}
    return judgement(pd.DataFrame(rows), MEASURED, expected, champion, run, bounds)


def champion_of(rows: list[dict[str, Any]], **metrics: Any) -> ChampionRecord:
    result = TaskResult(images=2, input={}, output={}, gain={})
    content = {"tasks": {row["task"]: result for row in rows}, "passed": True}
    content |= {"protocol": {"crop_border": 0}} | metrics
    return ChampionRecord(ID, Judgement.model_validate(content), pd.DataFrame(rows))


def compared(metrics: Judgement, task: str) -> Comparison:
    found = metrics.tasks[task].champion
    assert found is not None
    return found
