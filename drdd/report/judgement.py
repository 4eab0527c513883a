"""Compute metrics.json from the scores of pictures: means, intervals, comparison with the champion, gates.

All functions are pure; metrics.json has no times and no latencies.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pandas as pd

from drdd.errors import UserError
from drdd.gates.catalogue import RUN_GATES, TASK_GATES
from drdd.gates.gate import Gate, RunEvidence, TaskEvidence, Verdict
from drdd.gates.judgement import GateResult, Judgement, Means, TaskResult
from drdd.metrics.catalogue import METRICS, PictureMetric
from drdd.report.comparison import ChampionRecord, compare, notes
from drdd.report.means import (
    MAIN,
    holes,
    intervals,
    known,
    mean_over,
    means,
    metrics_of,
    parts_with,
)

NAMED = 5
Bounds = Mapping[str, float | None]
"""The bound of each gate, or None."""


@dataclass(frozen=True)
class Expected:
    """The pairs that evaluation must have of a task, and the bounds of its gates.

    pairs: (input id, target id) of its held-out pairs, without repetition; bounds: of TASK_GATES;
    gated: false if input and target show different scenes, so that PSNR is meaningless; reference: the
    name of the task's reference.
    """

    pairs: Sequence[tuple[str, str]]
    bounds: Bounds
    gated: bool = True
    reference: str | None = None


def judgement(
    scores: pd.DataFrame,
    measured: Mapping[str, Any],
    expected: Mapping[str, Expected],
    champion: ChampionRecord | None,
    run: RunEvidence,
    run_bounds: Bounds,
) -> Judgement:
    """metrics.json. scores: images.parquet; measured: sets.json (protocol, not_computed, tasks).

    Means and gains are over the pictures whose input and output both have a value. Raises UserError when a
    held-out pair or its PSNR is missing, or a pair occurs twice: missing pictures must not improve a mean.
    """
    metrics = metrics_of(scores)
    tasks = {}
    for task, wanted in sorted(expected.items()):
        rows = scores[scores["task"] == task]
        parts = parts_with(wanted.reference)
        _refuse_holes(task, rows, wanted)
        compared = None
        if champion is not None:
            allowance = float(wanted.bounds["max_drop_vs_champion"] or 0.0)
            compared = compare(task, rows, wanted.gated, allowance, champion, measured["protocol"])
        tasks[task] = TaskResult(
            images=len(rows),
            held_out=held_out_digest(wanted.pairs),
            gated=wanted.gated,
            reference_name=wanted.reference,
            **means(rows, metrics, parts),
            intervals=intervals(rows, metrics, parts),
            sets=measured["tasks"].get(task, {}),
            champion=compared,
        )
    against = champion.version if champion else None
    gates = [
        *_task_gates(tasks, expected, against),
        *(
            _result(gate, None, bound, verdict)
            for gate in RUN_GATES.values()
            if (bound := run_bounds.get(gate.name)) is not None
            if (verdict := gate.judge(run, bound)) is not None
        ),
    ]
    counted = [result for result in tasks.values() if result.gated] or list(tasks.values())
    return Judgement(
        protocol=measured["protocol"],
        not_computed=measured["not_computed"],
        tasks=tasks,
        mean=Means(
            input=mean_over([result.input for result in counted]),
            reference=mean_over([result.reference for result in counted]),
            output=mean_over([result.output for result in counted]),
            gain=mean_over([result.gain for result in counted]),
        ),
        against=against,
        gates=gates,
        notes=[
            *_seen(measured.get("seen_by_base", {})),
            *holes(scores, tasks),
            *(notes(tasks, champion) if champion else []),
        ],
        passed=all(gate.passed for gate in gates),
    )


def _seen(seen: Mapping[str, str]) -> list[str]:
    """A sentence on held-out pictures that are none, as the base learned from them."""
    if not seen:
        return []
    some = ", ".join(list(seen)[:NAMED]) + (", ..." if len(seen) > NAMED else "")
    of = "picture" if len(seen) == 1 else "pictures"
    return [
        f"the base learned from {len(seen)} held-out {of} ({some}): the numbers are better than on unseen "
        "ones; hold out others, or set start: scratch"
    ]


def headline(judged: Judgement) -> dict[str, Any]:
    """The main numbers of metrics.json, for `dvc metrics show`."""
    shown = {m.summary: m.name for m in METRICS.values() if isinstance(m, PictureMetric)}
    shown.pop("", None)
    numbers: dict[str, dict[str, float]] = {}
    for title, metric in shown.items():
        for part, result in {**judged.tasks, "mean": judged.mean}.items():
            if metric in result.gain:
                numbers.setdefault(title, {})[part] = result.gain[metric]
            if (over := result.over_reference(metric)) is not None:
                numbers.setdefault(f"{title}_over_reference", {})[part] = over
    return {"passed": judged.passed, **numbers}


def held_out_digest(pairs: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over the ids of a task's held-out pairs, independent of their order."""
    return sha256("".join(sorted(f"{a} {b}\n" for a, b in pairs)).encode()).hexdigest()


def _task_gates(
    tasks: Mapping[str, TaskResult], expected: Mapping[str, Expected], against: str | None
) -> list[GateResult]:
    """The results of task gates, ordered by gate, then by task, as in the report."""
    found = []
    for gate in TASK_GATES.values():
        for task, result in tasks.items():
            bound = expected[task].bounds.get(gate.name)
            if not result.gated or bound is None:
                continue
            verdict = gate.judge(TaskEvidence(task, result, against), bound)
            if verdict is not None:
                found.append(_result(gate, task, bound, verdict))
    return found


def _result(gate: Gate, task: str | None, bound: float, verdict: Verdict) -> GateResult:
    return GateResult(
        gate=gate.name,
        task=task,
        value=verdict.value,
        needed=float(bound),
        unit=gate.unit,
        passed=bool(verdict.passed),
        said=verdict.said,
    )


def _refuse_holes(task: str, rows: pd.DataFrame, expected: Expected) -> None:
    got = Counter(zip(rows["input_id"], rows["target_id"], strict=True))
    names = dict(
        zip(zip(rows["input_id"], rows["target_id"], strict=True), rows["image"], strict=True)
    )
    wanted = Counter(expected.pairs)
    said = [
        f"{word}: {', '.join(sorted(names.get(pair, pair[0][:12]) for pair in pairs))}"
        for word, pairs in (
            ("missing", wanted - got),
            ("twice, or not held out", got - wanted),
        )
        if pairs
    ]
    if said or not expected.pairs:
        raise UserError(f"evaluation of task {task}: {'; '.join(said) or 'no held-out image'}")
    if not (there := known(rows, MAIN, parts_with(expected.reference))).all():
        without = ", ".join(sorted(rows["image"][~there]))
        what = f" or of what {expected.reference} makes of it" if expected.reference else ""
        raise UserError(f"evaluation of task {task}: no PSNR of {without}{what}; evaluate again")
