"""The gate of an alias: its task gains are reached, and no task fell below the model it points to.

It is asked at publication and not at evaluation, because the model that an alias points to is no
declared input: metrics.json stays a pure function of what dvc.yaml declares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from drdd.registry.registry import Version

DIGITS = 4  # of metrics.json: the last ones of a difference are float noise
Verdict = Literal[
    "kept",
    "fell",
    "new",
    "gone",
    "not gated",
    "held-out pictures changed, not compared",
    "metrics protocol changed, not compared",
]


@dataclass(frozen=True)
class Comparison:
    """One task in the current model and in the candidate.

    before, after: mean RGB PSNR of the held-out pictures in dB, None where a model lacks the task;
    drop: before - after, None where they are not compared; allowance: the largest drop, dB.
    """

    verdict: Verdict
    before: float | None
    after: float | None
    drop: float | None
    allowance: float | None


@dataclass(frozen=True)
class Gate:
    """against: the id of the current model, None when the alias points to none yet.

    missed: why the alias must stay, in words; notes: what was not compared, in words.
    """

    against: str | None
    tasks: Mapping[str, Comparison]
    missed: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.missed


def gate(metrics: Mapping[str, Any], current: Version | None) -> Gate:
    """metrics: the candidate's metrics.json; current: what the alias points to."""
    before = current.about.get("metrics", {}) if current else {}
    same_protocol = before.get("protocol") == metrics["protocol"]
    then, now = before.get("tasks", {}), metrics["tasks"]
    tasks = {
        task: _compared(then.get(task), now.get(task), same_protocol)
        for task in sorted({*then, *now})
    }
    name = current.id if current else ""
    short = [
        f"{task} gained {row['gain']['psnr_rgb']:.2f} dB of the {row['min_psnr_gain']:.2f} needed"
        for task, row in now.items()
        if not row["passed"]
    ]
    fell = [
        f"{task} fell {one.drop:.2f} dB below {name} (allowance {one.allowance:.2f})"
        for task, one in tasks.items()
        if one.verdict == "fell"
    ]
    notes = [
        f"{task} of {name} is gone" if one.verdict == "gone" else f"{task}: {one.verdict}"
        for task, one in tasks.items()
        if one.verdict == "gone" or one.verdict.endswith("not compared")
    ]
    return Gate(current.id if current else None, tasks, (*short, *fell), tuple(notes))


def outcome(verdict: Gate, alias: str) -> str:
    """One line for a person."""
    if verdict.passed:
        said = f"alias {alias} moved"
    else:
        said = f"gate missed: {', '.join(verdict.missed)}, alias {alias} not moved"
    return "; ".join([said, *verdict.notes])


def _compared(
    then: Mapping[str, Any] | None, now: Mapping[str, Any] | None, same_protocol: bool
) -> Comparison:
    if now is None:
        return Comparison("gone", _psnr(then) if then else None, None, None, None)
    after, allowance = _psnr(now), float(now["max_drop_vs_champion"])
    if then is None:
        return Comparison("new", None, after, None, allowance)
    before = _psnr(then)
    if (why := _incomparable(then, now, same_protocol)) is not None:
        return Comparison(why, before, after, None, allowance)
    drop = round(before - after, DIGITS)
    return Comparison("fell" if drop > allowance else "kept", before, after, drop, allowance)


def _incomparable(
    then: Mapping[str, Any], now: Mapping[str, Any], same_protocol: bool
) -> Verdict | None:
    if not now["gated"]:
        return "not gated"
    if then.get("held_out") != now["held_out"]:
        return "held-out pictures changed, not compared"
    return None if same_protocol else "metrics protocol changed, not compared"


def _psnr(row: Mapping[str, Any]) -> float:
    return float(row["output"]["psnr_rgb"])
