"""What metrics.json says, in words: one place for the terminal, the flow, the report and the card."""

from collections.abc import Mapping, Sequence
from typing import Any

Metrics = Mapping[str, Any]


def gained_in_words(task: str, gain: float, least: float) -> str:
    """Such as "rain gained 1.32 dB of the 1.50 needed"; more digits where two would not tell them apart."""
    digits = _telling(gain, least)
    return f"{task} gained {gain:z.{digits}f} dB of the {least:.{digits}f} needed"


def drop_in_words(task: str, drop: float, version: str, allowance: float) -> str:
    """Such as "rain fell 0.61 dB below 1a2b3c (allowance 0.50)". drop: dB, negative for a rise."""
    digits = _telling(drop, allowance)
    if round(drop, digits) == 0:
        way = "is level with"
    elif drop > 0:
        way = f"fell {drop:.{digits}f} dB below"
    else:
        way = f"is {-drop:.{digits}f} dB above"
    return f"{task} {way} {version} (allowance {allowance:.{digits}f})"


def latency_in_words(passed: bool, most: float) -> str:
    return f"95 % of the pictures {'were' if passed else 'were not'} restored within {most:g} s"


def missed(metrics: Metrics) -> list[str]:
    """Why the alias must stay, a sentence a gate; [] when every gate is passed."""
    return [gate["said"] for gate in metrics["gates"] if not gate["passed"]]


def needed(metrics: Metrics, task: str) -> str:
    """The gain that a task must show, such as "+1.50"."""
    found = _gates(metrics, task, "min_psnr_gain")
    return f"{found[0]['needed']:+.2f}" if found else "none"


def verdict(metrics: Metrics, task: str) -> str:
    """Of all the gates of a task: "passed", "missed", "fell" (below the champion), "not gated"."""
    if not metrics["tasks"][task]["gated"]:
        return "not gated"
    failed = [gate["gate"] for gate in _gates(metrics, task) if not gate["passed"]]
    if "max_drop_vs_champion" in failed:
        return "fell"
    return "missed" if failed else "passed"


def outcome(metrics: Metrics, alias: str, reasons: Sequence[str]) -> str:
    """One line for a person. reasons: why the alias did not move."""
    said = f"alias {alias} moved"
    if reasons:
        what = "gate missed" if missed(metrics) else "not promoted"
        said = f"{what}: {', '.join(reasons)}, alias {alias} not moved"
    return "; ".join([said, *metrics["notes"]])


def against_champion(metrics: Metrics, task: str) -> str:
    """Such as "-0.12 dB (-0.30 to +0.05)", or why there is no comparison."""
    row = metrics["tasks"][task]["champion"]
    if row is None:
        return ""
    if row["drop"] is None:
        return str(row["verdict"])
    said = f"{-row['drop']:+z.2f} dB"
    if row["interval"]:
        low, high = row["interval"]
        said += f" ({-high:+z.2f} to {-low:+z.2f})"
    return said


def _telling(value: float, bound: float) -> int:
    """Two digits, or four where two would show a missed bound as if it were met."""
    return 2 if value == bound or f"{value:z.2f}" != f"{bound:z.2f}" else 4


def _gates(metrics: Metrics, task: str, kind: str | None = None) -> list[dict[str, Any]]:
    return [
        gate
        for gate in metrics["gates"]
        if gate["task"] == task and (kind is None or gate["gate"] == kind)
    ]
