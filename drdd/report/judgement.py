"""From one row a picture to metrics.json: means with their intervals, the champion beside, the gates.

Everything here is a pure function of its arguments; metrics.json holds no time of day and no latency.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from drdd.errors import UserError
from drdd.report.statistics import interval
from drdd.report.wording import drop_in_words, gained_in_words, latency_in_words

DIGITS = 4  # the last ones of a difference are float noise
PARTS = ("input", "output")
MAIN = "psnr_rgb"  # what gates look at
PAIR = ["input_id", "target_id"]
# What the numbers of PSNR depend on, in a protocol.
COMPARABLE = ("pixels", "rgb", "psnr_cap_db", "crop_border")
ENOUGH = 0.5  # of the candidate's pictures must be the champion's too, to be compared


@dataclass(frozen=True)
class Expected:
    """What evaluation must find for one task, and what the task must reach.

    pairs: (input id, target id) of its held-out pairs, once each; min_psnr_gain: dB over the input;
    max_drop_vs_champion: dB below the champion; gated: false where input and target show different
    scenes, so that PSNR means nothing.
    """

    pairs: Sequence[tuple[str, str]]
    min_psnr_gain: float
    max_drop_vs_champion: float
    gated: bool = True


@dataclass(frozen=True)
class Former:
    """The model that the alias points to. scores: as the candidate's; None where it has none."""

    version: str
    metrics: Mapping[str, Any]
    scores: pd.DataFrame | None


@dataclass(frozen=True)
class Latency:
    """p95: seconds that 95 % of the pictures took at most; most: what the gate allows, None for no gate."""

    p95: float
    most: float | None


def judgement(
    scores: pd.DataFrame,
    measured: Mapping[str, Any],
    expected: Mapping[str, Expected],
    former: Former | None,
    latency: Latency,
) -> dict[str, Any]:
    """metrics.json. scores: images.parquet; measured: sets.json (protocol, not_computed, tasks).

    A mean, and a gain, is over the pictures whose input and output both have a value; PSNR must have one
    for each. Raises UserError when a held-out pair or its PSNR is missing, or a pair is there twice: a hole
    must not become a better mean.
    """
    metrics = sorted(
        str(c).removeprefix("output_") for c in scores.columns if str(c).startswith("output_")
    )
    tasks = {}
    for task, wanted in sorted(expected.items()):
        rows = scores[scores["task"] == task]
        _refuse_holes(task, rows, wanted.pairs)
        tasks[task] = {
            "images": len(rows),
            "held_out": held_out_digest(wanted.pairs),
            "gated": wanted.gated,
            **_means(rows, metrics),
            "intervals": _intervals(rows, metrics),
            "sets": measured["tasks"].get(task, {}),
            "champion": _compared(task, rows, wanted, former, measured["protocol"]),
        }
    gates = _gates(tasks, expected, former, latency)
    counted = [row for row in tasks.values() if row["gated"]] or list(tasks.values())
    return {
        "protocol": measured["protocol"],
        "not_computed": measured["not_computed"],
        "tasks": tasks,
        "mean": {part: _mean([row[part] for row in counted]) for part in (*PARTS, "gain")},
        "against": former.version if former else None,
        "gates": gates,
        "notes": [*_holes(scores, tasks), *_notes(tasks, former)],
        "passed": all(gate["passed"] for gate in gates),
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


def held_out_digest(pairs: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of a task's held-out pairs, by their pictures' ids, in whatever order."""
    return sha256("".join(sorted(f"{a} {b}\n" for a, b in pairs)).encode()).hexdigest()


def _means(rows: pd.DataFrame, metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    """Of each part and of the gain; a metric that no picture has is left out."""
    of: dict[str, dict[str, float]] = {part: {} for part in (*PARTS, "gain")}
    for metric in metrics:
        known = rows[_known(rows, metric)]
        if len(known):
            before, after = (float(known[f"{part}_{metric}"].mean()) for part in PARTS)
            values = {"input": before, "output": after, "gain": after - before}
            for name, value in values.items():
                of[name][metric] = _rounded(value)
    return of


def _known(rows: pd.DataFrame, metric: str) -> "pd.Series[bool]":
    """Which pictures have a value for the input and for the output."""
    return rows[[f"{part}_{metric}" for part in PARTS]].apply(np.isfinite).all(axis=1)


def _intervals(
    rows: pd.DataFrame, metrics: Sequence[str]
) -> dict[str, dict[str, list[float] | None]]:
    """Of the means of the output and of the gain, over the same pictures as these."""
    found: dict[str, dict[str, list[float] | None]] = {"output": {}, "gain": {}}
    for metric in metrics:
        known = rows[_known(rows, metric)]
        if len(known):
            before, after = (known[f"{part}_{metric}"] for part in PARTS)
            found["output"][metric] = _interval(after, known)
            found["gain"][metric] = _interval(after - before, known)
    return found


def _interval(values: "pd.Series[float]", rows: pd.DataFrame) -> list[float] | None:
    found = interval(values.tolist(), rows["target_id"].tolist())
    return None if found is None else [_rounded(edge) for edge in found]


def _compared(
    task: str,
    rows: pd.DataFrame,
    wanted: Expected,
    former: Former | None,
    protocol: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Picture by picture, on what both restored. None when there is no champion."""
    if former is None:
        return None
    allowance = float(wanted.max_drop_vs_champion)
    found: dict[str, Any] = dict.fromkeys(("before", "after", "drop", "interval"))
    found |= {"images": 0, "allowance": allowance}
    if former.scores is None or task not in former.metrics.get("tasks", {}):
        return found | {
            "verdict": "new" if former.scores is not None else "not evaluated, not compared"
        }
    if not {*PAIR, f"output_{MAIN}"} <= set(former.scores):
        return found | {"verdict": "its table has no picture ids, not compared"}
    then = former.scores[former.scores["task"] == task].drop_duplicates(PAIR)
    then = then[np.isfinite(then[f"output_{MAIN}"])]
    both = rows.merge(then, on=PAIR, suffixes=("", "_before"))
    if not wanted.gated:
        return found | {"verdict": "not gated"}
    former_protocol = former.metrics.get("protocol", {})
    if any(former_protocol.get(name) != protocol.get(name) for name in COMPARABLE):
        return found | {"verdict": "metrics protocol changed, not compared"}
    if len(both) < max(1, ENOUGH * len(rows)):
        return found | {"verdict": "held-out pictures changed, not compared"}
    before, after = both[f"output_{MAIN}_before"], both[f"output_{MAIN}"]
    drop = _rounded(float((before - after).mean()))
    return found | {
        "verdict": "fell" if drop > allowance else "kept",
        "before": _rounded(float(before.mean())),
        "after": _rounded(float(after.mean())),
        "drop": drop,
        "interval": _interval(before - after, both),
        "images": len(both),
    }


def _gates(
    tasks: Mapping[str, Any],
    expected: Mapping[str, Expected],
    former: Former | None,
    latency: Latency,
) -> list[dict[str, Any]]:
    """Every gate with its verdict, in the order in which a person reads them."""
    gates = []
    for task, wanted in sorted(expected.items()):
        if not wanted.gated:
            continue
        gain = tasks[task]["gain"][MAIN]
        said = gained_in_words(task, gain, wanted.min_psnr_gain)
        passed = gain >= wanted.min_psnr_gain
        gates.append(_gate("min_psnr_gain", task, gain, wanted.min_psnr_gain, "dB", passed, said))
    for task, row in sorted(tasks.items()):
        one = row["champion"]
        if former is None or one is None or one["drop"] is None:
            continue
        fell = one["verdict"] == "fell"
        said = drop_in_words(task, one["drop"], former.version, one["allowance"])
        gates.append(
            _gate("max_drop_vs_champion", task, one["drop"], one["allowance"], "dB", not fell, said)
        )
    if latency.most is not None:
        passed = latency.p95 <= latency.most
        said = latency_in_words(passed, latency.most)
        gates.append(_gate("max_latency_p95", None, None, latency.most, "s", passed, said))
    return gates


def _gate(
    gate: str,
    task: str | None,
    value: float | None,
    needed: float,
    unit: str,
    passed: bool,
    said: str,
) -> dict[str, Any]:
    return {
        "gate": gate,
        "task": task,
        "value": value,
        "needed": float(needed),
        "unit": unit,
        "passed": bool(passed),
        "said": said,
    }


def _holes(scores: pd.DataFrame, tasks: Mapping[str, Any]) -> list[str]:
    """Which means are not of all pictures."""
    single = [task for task, row in tasks.items() if row["images"] == 1]
    said = "one held-out picture each, so no intervals and no distances of sets"
    notes = [f"{', '.join(single)}: {said}"] if single else []
    for task, row in tasks.items():
        rows = scores[scores["task"] == task]
        for metric in row["gain"]:
            if (count := int(_known(rows, metric).sum())) < len(rows):
                notes.append(f"{task}: {metric} has a value for {count} of {len(rows)} pictures")
    return notes


def _notes(tasks: Mapping[str, Any], former: Former | None) -> list[str]:
    """What a person must know of the comparison with the champion."""
    if former is None:
        return []
    notes = []
    for task, row in tasks.items():
        one = row["champion"]
        if one["verdict"].endswith("not compared"):
            notes.append(f"{task}: {one['verdict']}")
        elif one["drop"] is not None and one["images"] < row["images"]:
            notes.append(
                f"{task}: compared on {one['images']} of {row['images']} pictures, which both restored"
            )
    gone = sorted(set(former.metrics.get("tasks", {})) - set(tasks))
    return [*notes, *(f"{task} of {former.version} is gone" for task in gone)]


def _refuse_holes(task: str, rows: pd.DataFrame, expected: Sequence[tuple[str, str]]) -> None:
    got = Counter(zip(rows["input_id"], rows["target_id"], strict=True))
    names = dict(
        zip(zip(rows["input_id"], rows["target_id"], strict=True), rows["image"], strict=True)
    )
    wanted = Counter(expected)
    said = [
        f"{word}: {', '.join(sorted(names.get(pair, pair[0][:12]) for pair in pairs))}"
        for word, pairs in (
            ("missing", wanted - got),
            ("twice, or not held out", got - wanted),
        )
        if pairs
    ]
    if said or not expected:
        raise UserError(f"evaluation of task {task}: {'; '.join(said) or 'no held-out image'}")
    if not (known := _known(rows, MAIN)).all():
        without = ", ".join(sorted(rows["image"][~known]))
        raise UserError(f"evaluation of task {task}: no PSNR of {without}; evaluate again")


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Over tasks, of the metrics that all of them have."""
    shared = [m for m in rows[0] if all(m in row for row in rows)]
    return {m: _rounded(float(np.mean([row[m] for row in rows]))) for m in shared}


def _rounded(value: float) -> float:
    return round(value, DIGITS) + 0.0  # never -0.0
