"""The comparison with the champion, on the pictures that both restored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from drdd.gates.judgement import Comparison, Judgement, TaskResult
from drdd.report.means import MAIN, interval_of, rounded
from drdd.shown import short

PAIR = ["input_id", "target_id"]
# The parts of a protocol that PSNR depends on.
COMPARABLE = ("pixels", "rgb", "psnr_cap_db", "crop_border")
ENOUGH = 0.5  # minimum share of the candidate's pictures that the champion must have restored
COMPARED = ("kept", "fell")  # the verdicts of tasks that were compared


@dataclass(frozen=True)
class ChampionRecord:
    """The model to which the alias points. metrics: None if not valid; scores: None if missing."""

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
    """Compare a task. rows: of images.parquet; allowance: dB; protocol: of the candidate's metrics."""

    def without(reason: str) -> Comparison:
        return Comparison(allowance=allowance, verdict=reason)

    both = _restored_by_both(task, rows, champion, protocol)
    if isinstance(both, str):
        return without(both)
    if not gated:
        return without("not gated")
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


def losses(
    task: str, rows: pd.DataFrame, champion: ChampionRecord, protocol: Mapping[str, Any]
) -> tuple[pd.DataFrame, str]:
    """The rows of a task that both restored, those that fell furthest below the champion first, and "".

    If they are not compared: all rows, those that gained least over the input first, and why.
    """
    both = _restored_by_both(task, rows, champion, protocol)
    if isinstance(both, str):
        found, against, why = rows, f"input_{MAIN}", both
    else:
        found, against, why = both, f"output_{MAIN}_before", ""
    order = found.assign(change=found[f"output_{MAIN}"] - found[against])
    return order.sort_values(["change", "image", "variant"], ignore_index=True), why


def _restored_by_both(
    task: str, rows: pd.DataFrame, champion: ChampionRecord, protocol: Mapping[str, Any]
) -> pd.DataFrame | str:
    """The rows that the champion has too, with its values as NAME_before; or why they are not compared."""
    scores, metrics = champion.scores, champion.metrics
    if scores is None:
        return "not evaluated, not compared"
    if metrics is None:
        return "its metrics.json cannot be read, not compared"
    if task not in metrics.tasks:
        return "new"
    if not {*PAIR, f"output_{MAIN}"} <= set(scores):
        return "its table has no picture ids, not compared"
    if any(metrics.protocol.get(name) != protocol.get(name) for name in COMPARABLE):
        return "metrics protocol changed, not compared"
    then = scores[scores["task"] == task].drop_duplicates(PAIR)
    then = then[np.isfinite(then[f"output_{MAIN}"])]
    both = rows.merge(then, on=PAIR, suffixes=("", "_before"))
    if len(both) < max(1, ENOUGH * len(rows)):
        return "held-out pictures changed, not compared"
    return both


def notes(tasks: Mapping[str, TaskResult], champion: ChampionRecord) -> list[str]:
    """Remarks on the comparison for the user."""
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
    return [*said, *(f"{task} of {short(champion.version)} is gone" for task in gone)]
