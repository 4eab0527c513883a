"""The comparison with the champion: picture by picture, on what both restored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from drdd.gates.judgement import Comparison, Judgement, TaskResult
from drdd.report.means import MAIN, interval_of, rounded

PAIR = ["input_id", "target_id"]
# What the numbers of PSNR depend on, in a protocol.
COMPARABLE = ("pixels", "rgb", "psnr_cap_db", "crop_border")
ENOUGH = 0.5  # of the candidate's pictures must be the champion's too, to be compared
COMPARED = ("kept", "fell")  # the verdicts of a task whose pictures the champion restored too


@dataclass(frozen=True)
class ChampionRecord:
    """The model that the alias points to. metrics: None where it has none that can be read;
    scores: as the candidate's, None where it has none.
    """

    version: str
    metrics: Judgement | None
    scores: pd.DataFrame | None


def compare(
    task: str,
    rows: pd.DataFrame,
    gated: bool,
    allowance: float,
    champion: ChampionRecord,
    protocol: Mapping[str, Any],
) -> Comparison:
    """rows: of images.parquet, of the task; allowance: dB; protocol: of the candidate's metrics."""

    def without(reason: str) -> Comparison:
        return Comparison(allowance=allowance, verdict=reason)

    scores, metrics = champion.scores, champion.metrics
    if scores is None:
        return without("not evaluated, not compared")
    if metrics is None:
        return without("its metrics.json cannot be read, not compared")
    if task not in metrics.tasks:
        return without("new")
    if not {*PAIR, f"output_{MAIN}"} <= set(scores):
        return without("its table has no picture ids, not compared")
    if not gated:
        return without("not gated")
    if any(metrics.protocol.get(name) != protocol.get(name) for name in COMPARABLE):
        return without("metrics protocol changed, not compared")
    then = scores[scores["task"] == task].drop_duplicates(PAIR)
    then = then[np.isfinite(then[f"output_{MAIN}"])]
    both = rows.merge(then, on=PAIR, suffixes=("", "_before"))
    if len(both) < max(1, ENOUGH * len(rows)):
        return without("held-out pictures changed, not compared")
    before, after = both[f"output_{MAIN}_before"], both[f"output_{MAIN}"]
    drop = rounded(float((before - after).mean()))
    return Comparison(
        before=rounded(float(before.mean())),
        after=rounded(float(after.mean())),
        drop=drop,
        interval=interval_of(before - after, both),
        images=len(both),
        allowance=allowance,
        verdict="fell" if drop > allowance else "kept",
    )


def notes(tasks: Mapping[str, TaskResult], champion: ChampionRecord) -> list[str]:
    """What a person must know of the comparison."""
    said = []
    for task, result in tasks.items():
        one = result.champion
        if one is None:
            continue
        if one.verdict.endswith("not compared"):
            said.append(f"{task}: {one.verdict}")
        elif one.drop is not None and one.images < result.images:
            said.append(
                f"{task}: compared on {one.images} of {result.images} pictures, which both restored"
            )
    gone = sorted(set(champion.metrics.tasks) - set(tasks)) if champion.metrics else []
    return [*said, *(f"{task} of {champion.version} is gone" for task in gone)]
